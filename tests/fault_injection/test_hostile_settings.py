"""Hostile configuration in Pulumi's format: it yields settings or errors within the resource limits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mesh import certificate_validation
from mesh.config.value_checks import is_regex
from mesh.pulumi_constants import SIGNATURE_KEY, UNKNOWN_VALUE
from tests.helpers.certificates import DAY, IssuedCertificate, pem_header
from tests.helpers.resource_limits import limited_resources as limited_resources
from tests.helpers.stack_files import Environment, error_message

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("limited_resources")]

VALUES_PATH = "linkerd.values.linkerd-viz"
LONG_TEXT = "x" * 2**20


def chart_value_json(text: str) -> str:
    """Return the JSON of the key `linkerd` with a chart value."""
    return f'{{"values": {{"linkerd-viz": {{"a": {text}}}}}}}'


@pytest.mark.parametrize(
    ("key", "text", "error"),
    [
        ("linkerd", '{"cni": true, "cni": false}', 'linkerd: …: duplicate key "cni"; remove one of the two'),
        (
            "linkerd",
            '{"values": {"linkerd-viz": {"\\u0000": 1, "\\u0000": 2}}}',
            'duplicate key "\\u0000"; remove one of the two',
        ),
        ("links", '[{"source": "west", "source": "west"}]', 'links: …: duplicate key "source"; remove one of the two'),
        (
            "kubeconfigs",
            '{"west": "a", "west": "b"}',
            "kubeconfigs: …: duplicate key in one mapping; remove one of the",
        ),
        (
            "linkerd",
            chart_value_json("[" * 100 + "]" * 100),
            "linkerd.values.linkerd-viz.…: …: nested more than 50 levels deep",
        ),
        ("linkerd", chart_value_json("[" * 2000 + "]" * 2000), "linkerd: "),
        ("linkerd", "[" * 100_000, "linkerd: "),
        ("linkerd", chart_value_json("1e999"), f"{VALUES_PATH}.a: Infinity: number too large for Pulumi"),
        ("linkerd", chart_value_json("-1e999"), f"{VALUES_PATH}.a: -Infinity: number too large for Pulumi"),
        (
            "linkerd",
            chart_value_json("9007199254740993"),
            f"{VALUES_PATH}.a: 9007199254740993: number too large for Pulumi",
        ),
        ("linkerd", chart_value_json("9" * 400), "number too large for Pulumi"),
        ("linkerd", chart_value_json("9" * 5000), "linkerd: "),
        ("linkerd", chart_value_json("NaN"), "linkerd: "),
        ("linkerd", chart_value_json('"\\ud800"'), f"{VALUES_PATH}.a: "),
        (
            "linkerd",
            chart_value_json('{"\\udfff": 1}'),
            f"{VALUES_PATH}.a: {{…}}: contains characters that are not valid text",
        ),
        ("linkerd", '{"nodeSelector": {"\\ud800": "x"}}', "linkerd.nodeSelector"),
        (
            "linkerd",
            chart_value_json(f'{{"{SIGNATURE_KEY}": "c44067f5952c0a294b673a41bacd8c17", "path": "/etc/passwd"}}'),
            "reserved by Pulumi for special values",
        ),
        ("linkerd", chart_value_json(f'"{UNKNOWN_VALUE}"'), "reserved by Pulumi for special values"),
        ("linkerd", '{"tolerations": [{"effect": "NoExecute", "tolerationSeconds": 1e999}]}', "linkerd.tolerations[0]"),
        ("linkerd", f'{{"tolerations": [{{"effect": "NoExecute", "tolerationSeconds": {"9" * 400}}}]}}', "too large"),
        ("linkerd", json.dumps({LONG_TEXT[: 2**18]: 1}), "unknown key"),
        ("linkerd", json.dumps({"namespace": LONG_TEXT}), "not a valid Kubernetes name"),
        ("linkerd", json.dumps({"registry": f"a/{'a-' * 100_000}"}), "not a registry"),
        ("workloads", json.dumps([{"podinfo": {"images": {"podinfo": "a/" + "a-" * 100_000}}}]), "not an image name"),
        ("charts", json.dumps({"repository": f"https://{LONG_TEXT}"}), ""),
        ("links", json.dumps([{"source": LONG_TEXT, "target": LONG_TEXT}]), "no such cluster"),
        (LONG_TEXT, "{}", "unknown key"),
        ("clusters", json.dumps({f"c\u202e{number}": {} for number in range(1000)}), "\\u202e"),
        ("clusters", json.dumps({"west\u200b": {}}), 'clusters["west\\u200b"]'),
    ],
    ids=lambda text: text[:40],
)
def test_hostile_configuration_is_a_settings_error(
    key: str, text: str, error: str, small_environment: Environment
) -> None:
    message = error_message({"clusters": {"west": {}}, key: text}, ["kubeconfigs"], small_environment)

    assert error in message
    assert len(message) < 500_000
    assert message or not error


def test_encodable_numbers_are_accepted(small_environment: Environment) -> None:
    assert not error_message(
        {"clusters": {"west": {}}, "linkerd": json.loads(chart_value_json("[9007199254740991, 1e308]"))},
        [],
        small_environment,
    )


@pytest.mark.parametrize(
    "expression", ["/" + "(a{1000}){1000}", "/" + "(a*)*" * 3000, "/" + "a|" * 20_000, "/" + "(" * 50_000]
)
def test_hostile_regular_expression_is_validated_within_limits(expression: str) -> None:
    assert is_regex(expression) in (True, False)


HEADER, FOOTER = f"{pem_header('CERTIFICATE')}\n", "-----END CERTIFICATE-----\n"
KEY_HEADER = f"{pem_header('EC PRIVATE KEY')}\n"


@pytest.mark.parametrize(
    "text",
    [
        HEADER * 6000,
        (HEADER + FOOTER) * 6000,
        HEADER + "A" * 2**21 + "\n" + FOOTER,
        HEADER + "\ud800\n" + FOOTER,
        HEADER + "\0\n" + FOOTER,
        HEADER.replace("\n", " " * 100_000),
        KEY_HEADER * 6000,
        HEADER + "MIIB\n" * 10_000 + FOOTER,
    ],
    ids=["beginnings", "empty", "long", "surrogate", "NUL", "spaces", "keys", "no DER"],
)
def test_hostile_certificate_is_a_finding(text: str) -> None:
    now = datetime.now(UTC)

    findings = certificate_validation.check_anchor(text, now=now)
    findings += certificate_validation.check_anchor_key(text, text)
    findings += certificate_validation.check_issuer(text, text, anchor=text, now=now)

    assert findings
    assert all(finding.rule.isprintable() and len(finding.rule) < 200 and finding.remedy for finding in findings)


def test_ambiguous_certificate_chain_is_validated_within_limits() -> None:
    now = datetime.now(UTC)
    anchors = [IssuedCertificate(name="same.example", begin=now - DAY, end=now + 30 * DAY) for _ in range(40)]
    issuer = IssuedCertificate(
        name="west.example", signer=anchors[0], begin=now - DAY, end=now + 10 * DAY, path_length=0
    )
    intermediates: Any = "".join(anchor.pem for anchor in anchors[1:])

    findings = certificate_validation.check_issuer(
        issuer.pem + intermediates, issuer.private_key, anchor=anchors[0].pem, now=now
    )

    assert findings == []
