"""Rule against keys in Helm values: Helm stores values in the release, and `helm get values` prints them.

Follows https://helm.sh/docs/topics/advanced/#storage-backends.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from policy.charts import helm_values
from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource, list_items
from policy.rule import Rule, RuleFinding
from policy.violation import PropertyPath

_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_JWT = re.compile(r"\beyJ[\w-]{8,2000}\.eyJ[\w-]{8,}\.[\w-]*")
_KUBECONFIG = re.compile(r"\bclient-key-data\b|^\s*[\"']?kind[\"']?\s*:\s*[\"']?Config\b", re.MULTILINE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
# Ends of names of secret values, in lower-case letters and digits. Names of references to a Secret end differently.
_SECRET_NAME = re.compile(
    r"(password|passwd|passphrase|token|privatekey|accesskey|apikey|clientsecret|clientkeydata|keypem|tlskey|kubeconfig"
    r"|dockerconfigjson|htpasswd)$"
)
_MAX_BASE64_LAYERS = 2
_NAME_MESSAGE = "the name is typical of a key"
_REMEDY = "put the value into a Secret, and pass the Secret's name to the chart"


def _check_release(resource: PlannedResource, limits: LifetimeLimits) -> Iterator[RuleFinding]:
    for path, message in _check_values(helm_values(resource), ("values",)):
        yield path, message, _REMEDY


def _check_values(value: Any, path: PropertyPath) -> Iterator[tuple[PropertyPath, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _check_values(item, (*path, key))
        # Environment variables of a container.
        if isinstance(value.get("name"), str) and _has_content(value.get("value")) and _is_secret_name(value["name"]):
            yield (*path, "value"), _NAME_MESSAGE
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        message = _check_scalar(value, path)
        if message is not None:
            yield path, message
    for number, item in enumerate(list_items(value)):
        yield from _check_values(item, (*path, number))


def _check_scalar(value: str | float, path: PropertyPath) -> str | None:
    if value == SECRET:
        return "a secret of the stack, which `helm get values` would print"
    if isinstance(value, str) and value != UNKNOWN_VALUE:
        credential = find_credential(value)
        if credential is not None:
            return credential
    names = [part for part in path if isinstance(part, str)]
    if _has_content(value) and (_is_secret_name(names[-1]) or _is_tls_key(names)):
        return _NAME_MESSAGE
    return None


def find_credential(text: str) -> str | None:
    """Return the kind of credential that a text contains, or None.

    Args:
        text: any text. Base64 is decoded, up to two layers of it.
    """
    for _ in range(1 + _MAX_BASE64_LAYERS):
        if _PRIVATE_KEY.search(text):
            return "a private key"
        if _JWT.search(text):
            return "a token"
        if _KUBECONFIG.search(text):
            return "a kubeconfig"
        # The whole text can be one base64 value with line breaks, or contain several values.
        text = "\n".join(_decode(encoded) for encoded in (*_BASE64.findall(text), "".join(text.split())))
        if not text.strip():
            return None
    return None


def _decode(text: str) -> str:
    standard = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _has_content(value: Any) -> bool:
    """Return whether a value can be a key: a number, or a known text that is not empty."""
    if isinstance(value, str):
        return value.strip() not in ("", UNKNOWN_VALUE)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(re.sub(r"[^a-z0-9]", "", name.lower())) is not None


def _is_tls_key(names: list[str]) -> bool:
    """Return whether a path ends like `tls.key`. Elsewhere, `key` is the key of a taint or a label."""
    outer = [name.lower() for name in names[:-1]]
    return names[-1].lower() == "key" and any(name.endswith("tls") or name in ("ca", "cert") for name in outer)


RULE = Rule(
    name="keys",
    description="The values of a Helm release contain no key, token, password or kubeconfig.",
    level="mandatory",
    find=_check_release,
)
