"""Redaction of secrets in a review, with their changes still visible."""

from __future__ import annotations

import base64
import json
from itertools import count
from typing import Any

import pytest
import yaml

from review.diff import diff_fields
from review.redaction import redact, redact_text, secret_forms, to_plain
from tests.helpers.certificates import IssuedCertificate

KEY = IssuedCertificate().private_key
KEY_LINE = KEY.splitlines()[1]
TOKEN = ".".join(["eyJhbGciOiJSUzI1NiIsImtpZCI6In", "eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2", "c2lnbmF0dXJl"])
KUBECONFIG = yaml.safe_dump(
    {
        "clusters": [{"name": "west", "cluster": {"server": "https://west.example.com"}}],
        "contexts": [{"name": "west", "context": {"cluster": "west", "user": "admin"}}],
        "users": [{"name": "admin", "user": {"password": "open-sesame-7"}}],
    }
)


def encode_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ({"tls.key": KEY}, KEY_LINE),
        ({"bundle": encode_base64(KEY)}, encode_base64(KEY)[60:70]),
        ({"note": f"take {TOKEN} and go"}, TOKEN),
        ({"kubeconfig.yaml": KUBECONFIG}, "open-sesame-7"),
        ({"file": KUBECONFIG}, "open-sesame-7"),
        ({"users": "admin:$apr1$salt1234$Rr1QeRtyUiOpAsDfGhJk/."}, "Rr1QeRtyUiOpAsDfGhJk"),
        ({"users": "admin:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="}, "W6ph5Mm5Pz8GgiULbPgzG37mj9g"),
        ({"adminPassword": "open-sesame-7"}, "open-sesame-7"),
        ({"password": "open-sesame-7"}, "open-sesame-7"),
        ({"api-key": "open-sesame-7"}, "open-sesame-7"),
        ({"env": [{"name": "DB_PASSWORD", "value": "open-sesame-7"}]}, "open-sesame-7"),
        ({"args": ["--token=open-sesame-7"]}, "open-sesame-7"),
        ({"args": ["--db", "postgres://shop:open-sesame-7@db.example.com/shop"]}, "open-sesame-7"),
        ({"config.yaml": "user: shop\npassword: open-sesame-7\n"}, "open-sesame-7"),
        ({"header": "Authorization: Bearer open-sesame-7"}, "open-sesame-7"),
        ({".dockerconfigjson": json.dumps({"auths": {"r": {"auth": "b3Blbi1zZXNhbWU="}}})}, "b3Blbi1zZXNhbWU"),
        ({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x=open-7"}}}, "open-7"),
        (
            {"apiVersion": "v1", "kind": "Secret", "data": {"anything": encode_base64("open-sesame-7")}},
            "b3Blbi1zZXNhbWU",
        ),
        ({"apiVersion": "v1", "kind": "Secret", "stringData": {"anything": "open-sesame-7"}}, "open-sesame-7"),
    ],
    ids=count(),  # the key differs in each process of a run, so it cannot be the id
)
def test_secret_is_redacted_and_its_change_is_shown(value: dict[str, Any], secret: str) -> None:
    redacted = json.dumps(to_plain(redact(value)))
    assert secret not in redacted
    assert "[secret]" in redacted

    # Replace it with another secret of the same form.
    other = secret[:-3] + "Zq9"
    changed = diff_fields(redact(value), redact(json.loads(json.dumps(value).replace(secret, other))))
    assert len(changed) == 1
    assert not any(text in line for line in changed[0].lines for text in (secret, other))
    assert changed[0].lines[0].endswith("(changed)")


@pytest.mark.parametrize(
    "value",
    [
        {"automountServiceAccountToken": False},
        {"externalSecret": True, "secretName": "linkerd-identity"},
        {"clusterCredentialsSecret": "cluster-credentials-east"},
        {"existingSecret": "mine"},
        {"imagePullSecrets": [{"name": "registry"}]},
        {"image": "example.com/token-reviewer:1.2.3"},
        {"env": [{"name": "LINKERD_PROXY_TOKEN_FILE", "value": "/var/run/token"}]},
        {"text": "the token: null"},
    ],
    ids=[
        "service-account-token",
        "external-secret",
        "link-credentials",
        "existing-secret",
        "pull-secrets",
        "image",
        "token-file",
        "text",
    ],
)
def test_references_to_secrets_are_not_redacted(value: dict[str, Any]) -> None:
    assert redact(value) == value


def test_certificate_is_shown_with_name_and_expiry() -> None:
    certificate = IssuedCertificate().pem
    redacted = redact({"caBundle": encode_base64(certificate), "pem": certificate})

    assert str(redacted["pem"]).startswith("certificate root.linkerd.cluster.local, expires 20")
    assert str(redacted["caBundle"]) == str(redacted["pem"])


def test_data_and_string_data_have_equal_redaction() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret"}
    one = redact({**secret, "data": {"key": encode_base64("open-sesame-7")}})
    other = redact({**secret, "stringData": {"key": "open-sesame-7"}})

    assert one["data"]["key"] == other["stringData"]["key"]


def test_stack_file_secrets_are_redacted_also_in_base64() -> None:
    secrets = secret_forms("a rather long pass phrase") | secret_forms(KUBECONFIG)

    for text in ("a rather long pass phrase", encode_base64("a rather long pass phrase"), "open-sesame-7"):
        assert str(redact({"x": f"before {text} after"}, secrets)["x"]) == "before [secret] after"
        assert redact_text(f"error: {text}", secrets) == "error: [secret]"


def test_secret_change_in_unnamed_list_entries_is_shown() -> None:
    before, after = ([{"verb": "x", "password": text}, {"verb": "y"}] for text in ("open-sesame-7", "open-sesame-8"))

    assert [field.lines for field in diff_fields(redact(before), redact(after), "rules")] == [
        ["! rules[0].password: [secret] (changed)"]
    ]


def test_short_words_are_not_redacted() -> None:
    assert redact({"mode": "lab mode"}, secret_forms("lab")) == {"mode": "lab mode"}
