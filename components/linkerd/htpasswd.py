"""Lines of an htpasswd file, with Apache's apr1 hash.

nginx computes apr1 itself. Other hashes, such as bcrypt, need support in the libcrypt of nginx's system. No maintained
Python library has apr1. Follows https://nginx.org/en/docs/http/ngx_http_auth_basic_module.html,
https://httpd.apache.org/docs/2.4/misc/password_encryptions.html and Apache's source, which has the details.
"""

from __future__ import annotations

import hashlib
import secrets

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Order in which apr1 encodes the digest's bytes, in groups of three.
_TRIPLES = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def htpasswd_entry(user: str, password: str) -> str:
    """Return the line `user:hash` with a random salt."""
    return f"{user}:{apr1_hash(password, ''.join(secrets.choice(_ALPHABET) for _ in range(8)))}"


def apr1_hash(password: str, salt: str) -> str:
    """Return the apr1 hash of a password, as `htpasswd -m` and `openssl passwd -apr1` do.

    Args:
        password: password of any length.
        salt: salt; only the first eight characters count.
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
    groups = [digest[one] << 16 | digest[two] << 8 | digest[three] for one, two, three in _TRIPLES]
    encoded = "".join(_to_base64(group, 4) for group in groups) + _to_base64(digest[11], 2)
    return f"$apr1${salted.decode()}${encoded}"


def _to_base64(number: int, count: int) -> str:
    """Return a number as characters of six bits each, lowest bits first."""
    return "".join(_ALPHABET[number >> 6 * index & 63] for index in range(count))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
