"""Settings: no message has a secret in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.config.schema_lookup import TOP_LEVEL_KEYS
from tests.helpers.certificate_authority import begins
from tests.helpers.fuzz_strategies import nested, quickly
from tests.helpers.stack_files import Environment, judged

SECRET = "hunter2-the-secret-of-the-stack"


@given(key=st.sampled_from([*TOP_LEVEL_KEYS, "token"]), value=nested(st.just(SECRET)))
@quickly
def test_no_message_has_a_secret_in_it(key: str, value: Any, small: Environment) -> None:
    config = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh", key: value}

    assert SECRET not in judged(config, [key], small)


@pytest.mark.parametrize(
    "config",
    [
        {"kubeconfigs": {"west": f"users: [{{user: {{token: {SECRET}}}"}},
        {"kubeconfigs": {"west": f"clusters: {SECRET}"}},
        {"kubeconfigs": {"west": f"{SECRET}: {{contexts: {SECRET}}}"}},
        {"kubeconfigs": {"west": f"!{SECRET} x"}},
        {"kubeconfigs": {"west": f"- {SECRET}"}},
        {"kubeconfigs": {"west": SECRET, "nobody": SECRET}},
        {"trust": {"anchor": {"certificate": f"-----BEGIN CERTIFICATE-----\n{SECRET}\n-----END CERTIFICATE-----"}}},
        {"trust": {"anchor": {"certificate": SECRET, "key": f"{begins('PRIVATE KEY')}\n{SECRET}"}}},
        {"trust": {"issuers": {"west": {"certificate": SECRET, "key": SECRET, "other": SECRET}}}},
        {"trust": {"certManager": {"issuerRef": {"name": SECRET, "kind": SECRET}}}},
        {"trust": {"lifetimes": {"issuer": SECRET, "root": SECRET}}},
        {"imagePullSecret": json.dumps({"auth": SECRET})},
        {"linkerd": {"values": {"linkerd-control-plane": {"identity": {"issuer": {"tls": {"keyPEM": SECRET}}}}}}},
        {"linkerd": {"version": SECRET, "values": {"x": SECRET}}},
        {"clusters": {"west": {"context": SECRET, "kubeconfig": SECRET, "apiServer": SECRET, "password": SECRET}}},
        {"links": [{"source": SECRET, "target": "west"}, SECRET]},
        {"topology": {"hub": SECRET, "except": [{"source": SECRET}]}},
        {"charts": {"repository": SECRET}},
        {"workloads": [{"podinfo": {"namespace": "test", "clusters": [SECRET], "exported": SECRET}}]},
    ],
    ids=lambda config: "-".join(config),
)
def test_no_message_has_a_secret_in_it_wherever_it_was_put(config: dict[str, Any], small: Environment) -> None:
    message = judged({"clusters": {"west": {}}, **config}, list(config), small)

    assert message
    assert SECRET not in message
