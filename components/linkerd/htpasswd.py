"""A line of an htpasswd file with a hash that nginx computes itself, whatever its system's libcrypt can do.

Follows https://nginx.org/en/docs/http/ngx_http_auth_basic_module.html and Apache's apr1, of which its documentation
(https://httpd.apache.org/docs/2.4/misc/password_encryptions.html) leaves the details to the source. No library that is
still cared for has it; bcrypt would need a libcrypt that knows it.
"""

from __future__ import annotations

import hashlib
import secrets

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The order in which the digest's bytes are written, three by three.
_TRIPLES = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def htpasswd_entry(user: str, password: str) -> str:
    """`user:hash` with a new salt, which is another one each time."""
    return f"{user}:{apr1(password, ''.join(secrets.choice(_ALPHABET) for _ in range(8)))}"


def apr1(password: str, salt: str) -> str:
    """The apr1 hash of a password, as `htpasswd -m` and `openssl passwd -apr1` have it.

    Args:
        password: of any length.
        salt: eight characters; more are not looked at.
    """
    secret, salted = password.encode(), salt.encode()[:8]
    inner = _md5(secret + salted + secret)
    seed = secret + b"$apr1$" + salted
    seed += (inner * (len(secret) // 16 + 1))[: len(secret)]
    length = len(secret)
    while length:
        seed += b"\0" if length & 1 else secret[:1]
        length >>= 1
    digest = _md5(seed)
    for turn in range(1000):
        odd = turn & 1
        text = secret if odd else digest
        text += salted if turn % 3 else b""
        text += secret if turn % 7 else b""
        digest = _md5(text + (digest if odd else secret))
    numbers = [digest[one] << 16 | digest[two] << 8 | digest[three] for one, two, three in _TRIPLES]
    written = "".join(_to_base64(number, 4) for number in numbers) + _to_base64(digest[11], 2)
    return f"$apr1${salted.decode()}${written}"


def _to_base64(number: int, count: int) -> str:
    """A number as characters of six bits each, the lowest first."""
    return "".join(_ALPHABET[number >> 6 * place & 63] for place in range(count))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
