"""Redaction: secrets are hidden in every form, and certificates are replaced by a summary.

Differences stay visible: two secrets that differ are unequal after redaction, although both have the same text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mesh import strict_yaml
from mesh.redaction import SECRET, compute_fingerprint, hide_secrets

# Shorter secrets would match parts of ordinary words.
MIN_SECRET_LENGTH = 6
# Shorter lines of a secret, such as `kind: Config`, are not secret by themselves.
_MIN_LINE_LENGTH = 32

_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{40,}(?:={1,2}\s*)?")
# Names of keys and environment variables with secret values.
_SECRET_NAME = re.compile(
    r"(?:^|[._-])(?:passw(?:or)?d|passphrase|token|secret|secret[._-]?key|api[._-]?key|private[._-]?key|auth"
    r"|client[._-]?secret|client[._-]?key[._-]?data|key[._-]?data|ca[._-]?key|tls[._-]?key|key[._-]?pem"
    r"|credentials|htpasswd|dockerconfigjson|dockercfg|kubeconfig)$",
    re.IGNORECASE,
)
# Names of references to a Secret, whose values are not secret.
_REFERENCE_NAME = re.compile(r"(?:existing|image[._-]?pull|credentials|name|ref)[._-]?secret$", re.IGNORECASE)
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Redacted:
    """A text without its secrets; two are equal only if their original texts are equal."""

    text: str = field(compare=False)  # without the secrets
    fingerprint: str = field(repr=False)

    def __str__(self) -> str:
        return self.text


def redact(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return a JSON value with `Redacted` in place of each text with a secret.

    Args:
        value: the value. The data of a Kubernetes Secret is redacted completely.
        secrets: further texts to hide.
    """
    return _redact(value, "", _sort_secrets(secrets))


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text, such as an error message, without the secrets in it."""
    return str(_redact_text(text, _sort_secrets(secrets)))


def secret_forms(text: str) -> set[str]:
    """Return all forms of a secret that must be hidden: the text, its long lines, its secret leaves, and base64."""
    forms = {text, text.strip()}
    if len(lines := text.strip().splitlines()) > 1:
        forms |= {line.strip() for line in lines if len(line.strip()) >= _MIN_LINE_LENGTH}
    try:
        content = strict_yaml.load(text)
    except strict_yaml.StrictYamlError:
        content = None
    if isinstance(content, (dict, list)):
        forms |= set(_find_secret_leaves(content))
    encoded = {base64.b64encode(each.encode(errors="surrogatepass")).decode() for each in forms}
    return {each for each in forms | encoded if len(each) >= MIN_SECRET_LENGTH}


def to_plain(value: Any) -> Any:
    """Return a redacted value as plain JSON, with the redacted text in place of each `Redacted`."""
    if isinstance(value, Redacted):
        return value.text
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, list) else value


def _sort_secrets(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the secrets that are long enough, longest first, because one can be a part of another."""
    return tuple(sorted({each for each in secrets if len(each) >= MIN_SECRET_LENGTH}, key=len, reverse=True))


def _redact(value: Any, name: str, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        is_secret = value.get("kind") == "Secret" and "apiVersion" in value
        redacted: dict[str, Any] = {}
        for key, item in value.items():
            key = str(key)
            if is_secret and key in ("data", "stringData") and isinstance(item, dict):
                redacted[key] = {inner: _hide(_decode_data(key, text)) for inner, text in item.items()}
            elif key == _LAST_APPLIED:
                redacted[key] = _hide(item)
            else:
                redacted[key] = _redact(item, key, secrets)
        label = value.get("name")
        if isinstance(label, str) and isinstance(value.get("value"), str) and _is_secret(label):
            redacted["value"] = _hide(value["value"])
        return redacted
    if isinstance(value, list):
        return [_redact(item, "", secrets) for item in value]
    if isinstance(value, str):
        return _hide(value) if value and _is_secret(name) else _redact_text(value, secrets)
    return value


def _is_secret(name: str) -> bool:
    words = _WORD_BOUNDARY.sub("_", name)
    return bool(_SECRET_NAME.search(words)) and not _REFERENCE_NAME.search(words)


def _hide(value: Any) -> Redacted:
    return Redacted(SECRET, compute_fingerprint(str(value)))


def _decode_data(key: str, value: Any) -> Any:
    """Return a value of a Secret in clear text, so that `data` and `stringData` compare as equal."""
    if key == "data" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            return value
    return value


@cache
def _redact_text(text: str, secrets: tuple[str, ...]) -> str | Redacted:
    if _BASE64.fullmatch(text) and (decoded := _from_base64(text)):
        # Base64 is decoded, and the clear text is redacted.
        decoded_text = hide_secrets(decoded, secrets)
        redacted = decoded_text if decoded_text != decoded else hide_secrets(text, secrets)
    elif _is_kubeconfig(text):
        redacted = SECRET
    else:
        redacted = hide_secrets(text, secrets)
    return text if redacted == text else Redacted(redacted, compute_fingerprint(text))


def _is_kubeconfig(text: str) -> bool:
    return all(part in text for part in ("clusters", "users", "contexts")) and "server" in text


def _from_base64(text: str) -> str | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return None


def _find_secret_leaves(value: Any, name: str = "") -> Iterable[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _find_secret_leaves(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _find_secret_leaves(item, name)
    elif isinstance(value, str) and value and _is_secret(name):
        yield value
        if (decoded := _from_base64(value)) and len(decoded) >= MIN_SECRET_LENGTH:
            yield decoded
