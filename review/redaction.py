"""Values as they may be shown: secrets hidden in every form, certificates by what they say.

What is hidden can still be told apart: two values that differ stay different, whatever is shown of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from mesh import strict_yaml
from policy.planned_resource import SECRET

# Shorter secrets would be found in words that are none.
SHORTEST = 6

_KEY = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
_PATTERNS = [
    re.compile(_KEY + r".*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"eyJ[\w-]{8,2000}+\.eyJ[\w-]{8,}\.[\w-]*"),  # a JSON Web Token
    re.compile(r"\$(?:apr1|1|2[abxy]?|5|6|y)\$[^\s\"',]+"),  # htpasswd, crypt
    re.compile(r"\{SHA\}[\w+/=]{20,}"),
    re.compile(r"\b(?:gh[opsur]|github_pat|glpat|xox[abpr]|pul)[-_][\w-]{16,}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
]
# What comes after these words is a secret. A word is looked through once, from its beginning.
_INTRODUCED = re.compile(
    r"""((?:(?<![\w.-])[\w.-]*(?:passw(?:or)?d|passphrase|token|secret[_-]?key|api[_-]?key|private[_-]?key|client[_-]?secret"""
    r"""|client-key-data|_auth|authorization)["']?\s*[:=]\s*["']?(?:(?:Bearer|Basic)\s+)?)|\b(?:Bearer|Basic)\s+)"""
    r"""(?!["']?(?:true|false|null|none)\b)([^\s"',;}{]{3,})""",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/@:]*:)([^\s/@]+)(@)", re.IGNORECASE)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n?")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{40,}(?:={1,2}\s*)?")
# A mapping's key, or an environment variable, by whose name its text is a secret.
_NAMED = re.compile(
    r"(?:^|[._-])(?:passw(?:or)?d|passphrase|token|secret|secret[._-]?key|api[._-]?key|private[._-]?key|auth"
    r"|client[._-]?secret|client[._-]?key[._-]?data|key[._-]?data|ca[._-]?key|tls[._-]?key|key[._-]?pem"
    r"|credentials|htpasswd|dockerconfigjson|dockercfg|kubeconfig)$",
    re.IGNORECASE,
)
# Names that end so and hold the name of something else.
_HARMLESS = re.compile(r"(?:existing|image[._-]?pull|credentials|name|ref)[._-]?secret$", re.IGNORECASE)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Masked:
    """A text of which not all is shown; two are equal only if what they stand for is."""

    shown: str = field(compare=False)
    fingerprint: str = field(repr=False)

    def __str__(self) -> str:
        return self.shown


def masked(value: Any, known: Iterable[str] = ()) -> Any:
    """A value of YAML or JSON with `Masked` in place of each text that tells a secret.

    Args:
        value: the value; a Kubernetes Secret, or any value with one in it, is recognised.
        known: further secrets, wherever they stand.
    """
    return _masked(value, "", tuple(sorted({text for text in known if len(text) >= SHORTEST}, key=len, reverse=True)))


def scrubbed(text: str, known: Iterable[str] = ()) -> str:
    """A text, such as an error message, without the secrets in it."""
    return str(_of_text(text, tuple(sorted({each for each in known if len(each) >= SHORTEST}, key=len, reverse=True))))


def secrets_of(text: str) -> set[str]:
    """What must be hidden of a secret of the stack file: itself, its lines, what is in it, and all in base64."""
    found = {text, text.strip()}
    if len(lines := text.strip().splitlines()) > 1:
        found |= {line.strip() for line in lines if len(line.strip()) >= 32}
    try:
        content = strict_yaml.load(text)
    except strict_yaml.StrictYamlError:
        content = None
    if isinstance(content, (dict, list)):
        found |= set(_secret_leaves(content))
    encoded = {base64.b64encode(each.encode(errors="surrogatepass")).decode() for each in found}
    return {each for each in found | encoded if len(each) >= SHORTEST}


def plain(value: Any) -> Any:
    """A masked value with the shown texts in it, as JSON can have it."""
    if isinstance(value, Masked):
        return value.shown
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _masked(value: Any, name: str, known: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        secret = value.get("kind") == "Secret" and "apiVersion" in value
        found: dict[str, Any] = {}
        for key, item in value.items():
            key = str(key)
            if secret and key in ("data", "stringData") and isinstance(item, dict):
                found[key] = {inner: _hidden(_decoded(key, text)) for inner, text in item.items()}
            elif key == _LAST_APPLIED:
                found[key] = _hidden(item)
            else:
                found[key] = _masked(item, key, known)
        label = value.get("name")
        if isinstance(label, str) and isinstance(value.get("value"), str) and _is_secret(label):
            found["value"] = _hidden(value["value"])
        return found
    if isinstance(value, list):
        return [_masked(item, "", known) for item in value]
    if isinstance(value, str):
        return _hidden(value) if value and _is_secret(name) else _of_text(value, known)
    return value


def _is_secret(name: str) -> bool:
    words = _WORDS.sub("_", name)
    return bool(_NAMED.search(words)) and not _HARMLESS.search(words)


def _hidden(value: Any) -> Masked:
    return Masked(SECRET, _fingerprint(str(value)))


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _decoded(key: str, value: Any) -> Any:
    """The same whether a Secret has it in `data` or in `stringData`."""
    if key == "data" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            return value
    return value


@cache
def _of_text(text: str, known: tuple[str, ...]) -> str | Masked:
    shown = text
    if _BASE64.fullmatch(text) and (inside := _from_base64(text)):
        # What is in base64 is judged, and shown, by what it says.
        shown_inside = _shown(inside, known)
        shown = shown_inside if shown_inside != inside else _shown(text, known)
    elif _is_kubeconfig(text):
        shown = SECRET
    else:
        shown = _shown(text, known)
    return text if shown == text else Masked(shown, _fingerprint(text))


def _shown(text: str, known: tuple[str, ...]) -> str:
    if text == SECRET:
        return text
    for secret in known:
        if secret in text:
            text = text.replace(secret, SECRET)
    for pattern in _PATTERNS:
        text = pattern.sub(SECRET, text)
    text = _CERTIFICATE.sub(lambda found: _certificate(found[0]), text)
    text = _INTRODUCED.sub(lambda found: f"{found[1]}{SECRET}", text)
    return _USERINFO.sub(lambda found: f"{found[1]}{SECRET}{found[3]}", text)


def _is_kubeconfig(text: str) -> bool:
    return all(part in text for part in ("clusters", "users", "contexts")) and "server" in text


@cache
def _certificate(pem: str) -> str:
    """What a reviewer wants to know of a certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = str(names[0].value) if names else certificate.subject.rfc4514_string()
        ends = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    except ValueError:
        return "certificate that can't be read\n"
    # Two of the same name and day are told apart; a certificate is no secret.
    return f"certificate {name}, until {ends}, sha256 {_fingerprint(pem.strip())[:12]}\n"


def _from_base64(text: str) -> str | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return None


def _secret_leaves(value: Any, name: str = "") -> Iterable[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secret_leaves(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _secret_leaves(item, name)
    elif isinstance(value, str) and value and _is_secret(name):
        yield value
        if (inside := _from_base64(value)) and len(inside) >= SHORTEST:
            yield inside
