"""The rule that no key is among the values of a Helm release."""

from __future__ import annotations

import base64
import textwrap
from itertools import count
from typing import Any

import pytest

from mesh.pulumi_constants import UNKNOWN_VALUE
from policy.planned_resource import SECRET
from tests.helpers.certificates import IssuedCertificate
from tests.helpers.planned_resources import broken_rules, check_resources, planned_release, planned_resource

_MADE = IssuedCertificate()


def key(label: str = "") -> str:
    """A private key, made for this run, in a block of PEM of that kind."""
    return _MADE.private_key.replace("PRIVATE KEY", f"{label}PRIVATE KEY")


CERTIFICATE = _MADE.pem
TOKEN = ".".join(["eyJhbGciOiJSUzI1NiJ9", "eyJpc3MiOiJrdWJlcm5ldGVzIn0", "c2lnbmF0dXJl"])


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


KUBECONFIG = f"""
apiVersion: v1
kind: Config
users:
- name: one
  user:
    client-key-data: {encoded(key("RSA "))}
"""


@pytest.mark.parametrize(
    "value",
    [
        key(),
        key("EC "),
        key("ENCRYPTED "),
        key("OPENSSH "),
        CERTIFICATE + key("RSA "),
        encoded(key()),
        encoded(key()).rstrip("="),
        encoded(encoded(key())),
        "\n".join(textwrap.wrap(encoded(key()), 64)),
        f"tls.key: {encoded(key())}\n",
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        encoded(TOKEN),
        KUBECONFIG,
        encoded(KUBECONFIG),
        '{"kind": "Config",\n "kind": "Config"}\nkind: Config',
        SECRET,
    ],
    ids=count(),  # a key is another one in each process of a run
)
def test_a_key_is_found_whatever_it_is_called_and_is_not_told(value: str) -> None:
    (violation,) = check_resources(planned_release({"harmless": {"list": [["plain", value]]}}))

    assert (violation.rule, violation.path, violation.level) == ("keys", "values.harmless.list[0][1]", "mandatory")
    assert "MIGH" not in repr(violation)
    assert TOKEN not in repr(violation)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"auth": {"adminPassword": "hunter2"}}, "values.auth.adminPassword"),
        ({"auth": {"admin_password": 12345}}, "values.auth.admin_password"),
        ({"registry-token": "abc"}, "values.registry-token"),
        ({"identity": {"issuer": {"tls": {"keyPEM": "abc"}}}}, "values.identity.issuer.tls.keyPEM"),
        ({"tls": {"ca": {"key": "abc"}}}, "values.tls.ca.key"),
        ({"server": [{"tls": {"key": "abc"}}]}, "values.server[0].tls.key"),
        ({"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}, "values.env[0].value"),
        ({"my.key/kubeconfig": "abc"}, 'values["my.key/kubeconfig"]'),
        ({"basic": {"htpasswd": "admin:hash"}}, "values.basic.htpasswd"),
    ],
)
def test_what_is_called_as_keys_are_is_one(values: dict[str, Any], path: str) -> None:
    assert broken_rules(planned_release(values)) == [("keys", path)]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"identity": {"issuer": {"scheme": "kubernetes.io/tls"}}, "identityTrustAnchorsPEM": CERTIFICATE},
        {"proxyInjector": {"externalSecret": True, "caBundle": CERTIFICATE}},
        {
            "caBundle": encoded(CERTIFICATE),
            "checksum": "43d56a268c963fa5ada837f41179ebe0706443c967173175e15fb0b905dd60ca",
        },
        {"credentialsChecksum": "e0508ce10b1089903e923ceac9ce86a86aab01d15a8636d6ddf177116cbe314f"},
        {"tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]},
        {"tls": {"auto": {"enabled": True, "method": "provided"}, "key": ""}},
        {"imagePullSecrets": [{"name": "registry"}], "passwordSecret": "a-name", "tokenFile": "/var/run/token"},
        {"automountServiceAccountToken": False, "password": None, "token": UNKNOWN_VALUE},
        {"env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]},
        {"description": "kind: ConfigMap", "text": "-----BEGIN PUBLIC KEY-----"},
        UNKNOWN_VALUE,
        None,
    ],
)
def test_what_charts_are_rightly_told_is_no_key(values: Any) -> None:
    assert broken_rules(planned_release(values)) == []


def test_all_values_being_secret_is_one_violation() -> None:
    assert broken_rules(planned_release(SECRET)) == [("keys", "values")]


def test_a_key_in_place_of_a_name_is_not_told() -> None:
    (violation,) = check_resources(planned_release({key(): {"password": "abc"}}))

    assert violation.path == 'values["…"].password'


def test_a_key_outside_helm_values_is_where_it_belongs() -> None:
    assert broken_rules(planned_resource("kubernetes:core/v1:Secret", stringData={"tls.key": key()})) == []
    assert (
        broken_rules(
            planned_resource("kubernetes:helm.sh/v3:Release", chart="./some", repositoryOpts={"password": SECRET})
        )
        == []
    )
