"""No keys in Helm values: Helm keeps those in its records, beside the release, and `helm get values` prints them.

Follows https://helm.sh/docs/topics/advanced/#storage-backends.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from policy.charts import values
from policy.limits import Bounds
from policy.planned_resource import SECRET, UNKNOWN, PlannedResource, items
from policy.rule import Found, Rule
from policy.violation import Path

_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_JWT = re.compile(r"\beyJ[\w-]{8,2000}\.eyJ[\w-]{8,}\.[\w-]*")
_KUBECONFIG = re.compile(r"\bclient-key-data\b|^\s*[\"']?kind[\"']?\s*:\s*[\"']?Config\b", re.MULTILINE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
# What a value is called that is a key, with nothing but letters: a Secret's name is called otherwise.
_CALLED = re.compile(
    r"(password|passwd|passphrase|token|privatekey|accesskey|apikey|clientsecret|clientkeydata|keypem|tlskey|kubeconfig"
    r"|dockerconfigjson|htpasswd)$"
)
_REMEDY = "put it into a Secret of its own, and give the chart that one's name"


def _find(resource: PlannedResource, bounds: Bounds) -> Iterator[Found]:
    for path, message in _in(values(resource), ("values",)):
        yield path, message, _REMEDY


def _in(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _in(item, (*path, key))
        # As the environment of a container is written.
        if isinstance(value.get("name"), str) and _is_material(value.get("value")) and _is_secret_name(value["name"]):
            yield (*path, "value"), "what is called so is a key"
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        message = _wrong(value, path)
        if message is not None:
            yield path, message
    for number, item in enumerate(items(value)):
        yield from _in(item, (*path, number))


def _wrong(value: str | float, path: Path) -> str | None:
    if value == SECRET:
        return "a secret of the stack, which anybody with Helm would see"
    if isinstance(value, str) and value != UNKNOWN:
        found = find_credential(value)
        if found is not None:
            return found
    names = [part for part in path if isinstance(part, str)]
    if _is_material(value) and (_is_secret_name(names[-1]) or _is_tls_key(names)):
        return "what is called so is a key"
    return None


def find_credential(text: str) -> str | None:
    """What of a text nobody should see; None: nothing.

    Args:
        text: any text; in base64, once or twice over, it is looked into.
    """
    for _ in range(3):
        if _PRIVATE_KEY.search(text):
            return "a private key"
        if _JWT.search(text):
            return "a token"
        if _KUBECONFIG.search(text):
            return "a kubeconfig"
        # Wrapped lines are one text; other texts may have several.
        text = "\n".join(_decoded(found) for found in (*_BASE64.findall(text), "".join(text.split())))
        if not text.strip():
            return None
    return None


def _decoded(text: str) -> str:
    plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _is_material(value: Any) -> bool:
    """Whether it could be something at all."""
    if isinstance(value, str):
        return value.strip() not in ("", UNKNOWN)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_secret_name(name: str) -> bool:
    return _CALLED.search(re.sub(r"[^a-z0-9]", "", name.lower())) is not None


def _is_tls_key(names: list[str]) -> bool:
    """`tls.key` and its like: elsewhere a `key` is a taint's, or a label's."""
    outer = [name.lower() for name in names[:-1]]
    return names[-1].lower() == "key" and any(name.endswith("tls") or name in ("ca", "cert") for name in outer)


RULE = Rule(
    name="keys",
    description="No key, token, password or kubeconfig is among the values of a Helm release.",
    level="mandatory",
    find=_find,
)
