"""The hash of the dashboard's password: what `openssl passwd -apr1` prints, and what nginx reads."""

from __future__ import annotations

import pytest

from components.linkerd.htpasswd import apr1, htpasswd_entry


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
def test_a_hash_is_the_one_that_openssl_prints(password: str, salt: str, hashed: str) -> None:
    assert apr1(password, salt) == hashed


def test_of_a_salt_only_eight_characters_count() -> None:
    assert apr1("secret", "abcdefgh") == apr1("secret", "abcdefghijk")


def test_each_line_has_a_salt_of_its_own() -> None:
    one, other = htpasswd_entry("admin", "word"), htpasswd_entry("admin", "word")

    assert one != other
    assert one.startswith("admin:$apr1$")
    assert apr1("word", one.split("$")[2]) == one.removeprefix("admin:")
