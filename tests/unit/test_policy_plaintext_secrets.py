"""Policy rule that Helm values contain no key, token or password."""

from __future__ import annotations

import base64
import textwrap
from itertools import count
from typing import Any

import pytest

from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from tests.helpers.certificates import IssuedCertificate
from tests.helpers.planned_resources import broken_rules, check_resources, planned_release, planned_resource

_AUTHORITY = IssuedCertificate()


def private_key(label: str = "") -> str:
    """Return a new private key in a PEM block with this label."""
    return _AUTHORITY.private_key.replace("PRIVATE KEY", f"{label}PRIVATE KEY")


CERTIFICATE = _AUTHORITY.pem
TOKEN = ".".join(["eyJhbGciOiJSUzI1NiJ9", "eyJpc3MiOiJrdWJlcm5ldGVzIn0", "c2lnbmF0dXJl"])


def encode_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


KUBECONFIG = f"""
apiVersion: v1
kind: Config
users:
- name: one
  user:
    client-key-data: {encode_base64(private_key("RSA "))}
"""


@pytest.mark.parametrize(
    "value",
    [
        private_key(),
        private_key("EC "),
        private_key("ENCRYPTED "),
        private_key("OPENSSH "),
        CERTIFICATE + private_key("RSA "),
        encode_base64(private_key()),
        encode_base64(private_key()).rstrip("="),
        encode_base64(encode_base64(private_key())),
        "\n".join(textwrap.wrap(encode_base64(private_key()), 64)),
        f"tls.key: {encode_base64(private_key())}\n",
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        encode_base64(TOKEN),
        KUBECONFIG,
        encode_base64(KUBECONFIG),
        '{"kind": "Config",\n "kind": "Config"}\nkind: Config',
        SECRET,
    ],
    ids=count(),  # the key differs in each process of a run, so it cannot be the id
)
def test_key_under_any_name_is_reported_without_value(value: str) -> None:
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
def test_value_named_like_credential_is_reported(values: dict[str, Any], path: str) -> None:
    assert broken_rules(planned_release(values)) == [("keys", path)]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"identity": {"issuer": {"scheme": "kubernetes.io/tls"}}, "identityTrustAnchorsPEM": CERTIFICATE},
        {"proxyInjector": {"externalSecret": True, "caBundle": CERTIFICATE}},
        {
            "caBundle": encode_base64(CERTIFICATE),
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
    ids=[
        "empty",
        "certificates",
        "external-secret",
        "checksum",
        "credentials-checksum",
        "toleration-key",
        "empty-key",
        "secret-names",
        "no-values",
        "secret-reference",
        "public-key",
        "unknown",
        "none",
    ],
)
def test_public_or_empty_values_are_not_reported(values: Any) -> None:
    assert broken_rules(planned_release(values)) == []


def test_secret_values_as_whole_are_one_violation() -> None:
    assert broken_rules(planned_release(SECRET)) == [("keys", "values")]


def test_key_as_property_name_is_not_shown() -> None:
    (violation,) = check_resources(planned_release({private_key(): {"password": "abc"}}))

    assert violation.path == 'values["…"].password'


def test_key_outside_helm_values_is_allowed() -> None:
    assert broken_rules(planned_resource("kubernetes:core/v1:Secret", stringData={"tls.key": private_key()})) == []
    assert (
        broken_rules(
            planned_resource("kubernetes:helm.sh/v3:Release", chart="./some", repositoryOpts={"password": SECRET})
        )
        == []
    )
