"""APR1 hash of the dashboard's password, as `openssl passwd -apr1` prints it and nginx reads it."""

from __future__ import annotations

import pytest

from components.linkerd.htpasswd import apr1_hash, htpasswd_entry


@pytest.mark.parametrize(
    ("password", "salt", "hashed"),
    [
        ("admin", "abcdefgh", "$apr1$abcdefgh$mMZnMi5KMcUTRCidnJ3Px0"),
        ("x-longer-password-äö", "abcdefgh", "$apr1$abcdefgh$dwWuxlGdZfF3D8p1TBZ950"),
        ("", "abcdefgh", "$apr1$abcdefgh$L.PT565ESX4Tp2bqNs7Ie."),
        ("a" * 40, "./Zz09aA", "$apr1$./Zz09aA$F8KWhrB4JTrEAXFbUQMvD."),
        ("sixteen letters!", "8letters", "$apr1$8letters$rwo5Lq81pOjZoWLKT4iG3/"),
        ("seventeen letters", "8letters", "$apr1$8letters$qsMfVLqy3ivJCpD4G0/nl1"),
        ("with:colon and €", "r31.XXXX", "$apr1$r31.XXXX$7Q/sJz9JbKdaiauVPsmFB0"),
        ("secret", "ab", "$apr1$ab$jiiV6N7hIIuIoJbc1hxOE/"),
        ("long " * 40 + "x", "12345678", "$apr1$12345678$/Ji.GTsna85t6hyyMEVtP1"),
    ],
    ids=[
        "short",
        "beyond a block",
        "empty",
        "long",
        "a block",
        "a block and one",
        "other letters",
        "a short salt",
        "200",
    ],
)
def test_hash_equals_output_of_openssl(password: str, salt: str, hashed: str) -> None:
    assert apr1_hash(password, salt) == hashed


def test_salt_is_truncated_to_eight_characters() -> None:
    assert apr1_hash("secret", "abcdefgh") == apr1_hash("secret", "abcdefghijk")


def test_each_entry_has_its_own_salt() -> None:
    one, other = htpasswd_entry("admin", "word"), htpasswd_entry("admin", "word")

    assert one != other
    assert one.startswith("admin:$apr1$")
    assert apr1_hash("word", one.split("$")[2]) == one.removeprefix("admin:")
