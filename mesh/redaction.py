"""Secrets in text of any kind, by their form or by the word before them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache

# `pulumi preview --json` prints this text in place of a secret.
SECRET = "[secret]"

_PRIVATE_KEY_HEADER = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
_PATTERNS = [
    re.compile(_PRIVATE_KEY_HEADER + r".*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"eyJ[\w-]{8,2000}+\.eyJ[\w-]{8,}\.[\w-]*"),  # a JSON Web Token
    re.compile(r"\$(?:apr1|1|2[abxy]?|5|6|y)\$[^\s\"',]+"),  # htpasswd, crypt
    re.compile(r"\{SHA\}[\w+/=]{20,}"),
    re.compile(r"\b(?:gh[opsur]|github_pat|glpat|xox[abpr]|pul)[-_][\w-]{16,}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
]
# A secret follows these words. The lookbehind lets each word be scanned only once, from its start.
_INTRODUCED = re.compile(
    r"""((?:(?<![\w.-])[\w.-]*(?:passw(?:or)?d|passphrase|token|secret[_-]?key|api[_-]?key|private[_-]?key|client[_-]?secret"""
    r"""|client-key-data|_auth|authorization)["']?\s*[:=]\s*["']?(?:(?:Bearer|Basic)\s+)?)|\b(?:Bearer|Basic)\s+)"""
    r"""(?!["']?(?:true|false|null|none)\b)([^\s"',;}{]{3,})""",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/@:]*:)([^\s/@]+)(@)", re.IGNORECASE)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n?")


def hide_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text with `SECRET` in place of each secret, and a summary in place of each certificate.

    Args:
        text: the text.
        secrets: texts to hide in addition to those that look like secrets, longest first.
    """
    if text == SECRET:
        return text
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, SECRET)
    for pattern in _PATTERNS:
        text = pattern.sub(SECRET, text)
    text = _CERTIFICATE.sub(lambda match: _summarize_certificate(match[0]), text)
    text = _INTRODUCED.sub(lambda match: f"{match[1]}{SECRET}", text)
    return _USERINFO.sub(lambda match: f"{match[1]}{SECRET}{match[3]}", text)


def compute_fingerprint(text: str) -> str:
    """Return the SHA-256 digest of a text, which may contain lone surrogates."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@cache
def _summarize_certificate(pem: str) -> str:
    """Return the name, the expiry date and the fingerprint of a certificate."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = str(names[0].value) if names else certificate.subject.rfc4514_string()
        expires = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    except ValueError:
        return "unreadable certificate\n"
    # The fingerprint distinguishes certificates with equal names and dates. A certificate is not secret.
    return f"certificate {name}, expires {expires}, sha256 {compute_fingerprint(pem.strip())[:12]}\n"
