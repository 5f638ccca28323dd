"""Quotations of events, messages and logs: no secret, no control character, bounded length."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.readiness.quotation import MAX_LOG_LINES, MAX_MESSAGE_LENGTH, quote, quote_log
from tests.helpers.certificates import IssuedCertificate
from tests.helpers.fuzz_strategies import fuzz_settings

KEY = IssuedCertificate().private_key
KEY_LINES = KEY.strip().splitlines()
JWT = ".".join(["eyJhbGciOiJSUzI1NiIsImtpZCI6In", "eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2", "c2lnbmF0dXJl"])
BASE64 = base64.b64encode(bytes(range(1, 60))).decode()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"cannot use key {KEY}", KEY_LINES[1]),
        (f"token is {JWT}.", JWT),
        ("password: open-sesame", "open-sesame"),
        ("password: open-sesame is wrong", "open-sesame"),
        ("password = open-sesame", "open-sesame"),
        ('password: "correct horse battery"', "horse"),
        ("passwd='correct horse battery'", "battery"),
        ("DB_PASSWORD=open-sesame", "open-sesame"),
        ("client_secret: open-sesame", "open-sesame"),
        ("secret=open-sesame", "open-sesame"),
        ("pwd: open-sesame", "open-sesame"),
        ("run with --token open-sesame", "open-sesame"),
        ("Authorization: Bearer open-sesame", "open-sesame"),
        ("Authorization: Basic b3Blbi1zZXNhbWU=", "b3Blbi1zZXNhbWU"),
        ("dial postgres://shop:open-sesame@db:5432/shop: refused", "open-sesame"),
        ('Get "https://open-sesame@registry.example.com/v2/": EOF', "open-sesame"),
        (f"data: {BASE64}", BASE64[:20]),
        (f"read {BASE64[:44]}", BASE64[20:44]),
        ("using ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnop"),
        ("key AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("key 3c6e0b8a9c15224a8228b9a98ca1531d3c6e0b8a9c15224a8228b9a98ca1531d", "9c15224a8228b9a98ca1531d"),
        (json.dumps({"level": "error", "password": "open sesame", "user": "shop"}), "open sesame"),
        (json.dumps({"msg": json.dumps({"token": "open sesame"})}), "open sesame"),
        (json.dumps({"msg": KEY}), KEY_LINES[1]),
        (json.dumps({"auths": {"cr.l5d.io": {"auth": "b3Blbi1zZXNhbWU="}}}), "b3Blbi1zZXNhbWU"),
        (f"{chr(27)}[31mpassword:{chr(27)}[0m open-sesame", "open-sesame"),
        (f"pass{chr(27)}[1mword: open-sesame", "open-sesame"),
    ],
    ids=range(27),  # a key differs in each process of a run, so it cannot be the id
)
def test_secret_is_not_quoted(text: str, secret: str) -> None:
    for quoted in (quote(text), "\n".join(quote_log(f"first line\n{text}\nlast line\n"))):
        assert secret not in quoted
        assert "[secret]" in quoted


@pytest.mark.parametrize("first", range(len(KEY_LINES)))
def test_end_of_private_key_is_not_quoted(first: int) -> None:
    log = "\n".join([*KEY_LINES[first:], "done"])
    quoted = "\n".join(quote_log(log))

    assert quoted.endswith("done")
    assert not any(line in quoted for line in KEY_LINES[1:-1])


@pytest.mark.parametrize("last", range(2, len(KEY_LINES)))
def test_beginning_of_private_key_is_not_quoted(last: int) -> None:
    quoted = "\n".join(quote_log("\n".join(["start", *KEY_LINES[:last]])))

    assert quoted.startswith("start")
    assert not any(line in quoted for line in KEY_LINES[1:])


@pytest.mark.parametrize(
    "text",
    [
        'pods "linkerd-proxy-injector-7d9c8f5b6d-x2x4z" is forbidden: exceeded quota: compute, requested: pods=1',
        'MountVolume.SetUp failed for volume "trust-roots" : configmap "linkerd-identity-trust-roots" not found',
        'secret "linkerd-identity-issuer" not found',
        "couldn't find key tls.crt in Secret linkerd/linkerd-identity-issuer",
        "references non-existent secret key: tls.crt",
        "cr.l5d.io/linkerd/proxy@sha256:3c6e0b8a9c15224a8228b9a98ca1531d3c6e0b8a9c15224a8228b9a98ca1531d: not found",
        "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }",
        'Readiness probe failed: Get "http://10.42.0.7:9990/ready": dial tcp 10.42.0.7:9990: connection refused',
        "orphaned pod 8f14e45f-ceea-467f-a0e6-1c1b7f4f7a11 at /var/lib/pods/8f14e45f-ceea-467f-a0e6-1c1b7f4f7a11",
        "open /var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory",
        "linkerd-destination.linkerd.svc.cluster.local:8086: connection refused",
    ],
)
def test_ordinary_message_is_quoted_unchanged(text: str) -> None:
    assert quote(text) == text


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ("failed to fetch anonymous token: unexpected status from GET request to https://a/: 403", "unexpected status"),
        ("repository does not exist or may require authorization: authorization failed", "authorization failed"),
        ("may require authorization: server message: insufficient_scope", "server message: insufficient_scope"),
    ],
)
def test_response_after_word_token_is_quoted(text: str, response: str) -> None:
    assert response in quote(text)


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31;1mred\x1b[0m",
        "\x1b]0;title\x07red",
        "\x1b]8;;https://example.com\x1b\\red\x1b]8;;\x1b\\",
        "\x9b31mred",
        "\x1bP1$r\x1b\\red",
        "\x1b(Bred",
        "\x00red\x08\x7f",
        "\u202ered\u202c",
    ],
)
def test_escape_sequence_is_not_quoted(text: str) -> None:
    assert quote(text) == "red"
    assert quote_log(text) == ("red",)


def test_log_has_its_last_lines_only() -> None:
    assert quote_log("".join(f"line {number}\n" for number in range(50))) == tuple(
        f"line {number}" for number in range(50 - MAX_LOG_LINES, 50)
    )


@given(text=st.text() | st.binary().map(lambda content: content.decode(errors="replace")))
@fuzz_settings
def test_any_text_is_quoted_within_bounds(text: str) -> None:
    for line in (quote(text), *quote_log(text)):
        assert len(line) <= MAX_MESSAGE_LENGTH
        assert line.isprintable()


@pytest.mark.parametrize("part", ["a", "password", "eyJ", "\x1b[", "://a", "-----BEGIN ", "{", "\\", '"a" ', "-token"])
def test_long_text_is_quoted_quickly(part: str) -> None:
    text = part * (2**20 // len(part))
    started_at = time.process_time()
    quote(text)
    quote_log(text)

    assert time.process_time() - started_at < 2
