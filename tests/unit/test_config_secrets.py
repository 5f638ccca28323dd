"""Absence of secrets from configuration errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.config.schema_lookup import TOP_LEVEL_KEYS
from tests.helpers.certificates import pem_header
from tests.helpers.fuzz_strategies import fuzz_settings, nest
from tests.helpers.stack_files import Environment, error_message

SECRET = "hunter2-the-secret-of-the-stack"


@pytest.mark.thorough
@given(key=st.sampled_from([*TOP_LEVEL_KEYS, "token"]), value=nest(st.just(SECRET)))
@fuzz_settings
def test_error_never_contains_secret(key: str, value: Any, small_environment: Environment) -> None:
    stack_config = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh", key: value}

    assert SECRET not in error_message(stack_config, [key], small_environment)


@pytest.mark.parametrize(
    "stack_config",
    [
        {"kubeconfigs": {"west": f"users: [{{user: {{token: {SECRET}}}"}},
        {"kubeconfigs": {"west": f"clusters: {SECRET}"}},
        {"kubeconfigs": {"west": f"{SECRET}: {{contexts: {SECRET}}}"}},
        {"kubeconfigs": {"west": f"!{SECRET} x"}},
        {"kubeconfigs": {"west": f"- {SECRET}"}},
        {"kubeconfigs": {"west": SECRET, "nobody": SECRET}},
        {"trust": {"anchor": {"certificate": f"-----BEGIN CERTIFICATE-----\n{SECRET}\n-----END CERTIFICATE-----"}}},
        {"trust": {"anchor": {"certificate": SECRET, "key": f"{pem_header('PRIVATE KEY')}\n{SECRET}"}}},
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
    ids=lambda stack_config: "-".join(stack_config),
)
def test_error_never_contains_misplaced_secret(stack_config: dict[str, Any], small_environment: Environment) -> None:
    message = error_message({"clusters": {"west": {}}, **stack_config}, list(stack_config), small_environment)

    assert message
    assert SECRET not in message
