"""Who may see the dashboards: a line for nginx, and a password that stays."""

from __future__ import annotations

from typing import Any

import pytest

from components.dashboard_user import _DashboardUserProvider
from components.htpasswd import apr1, line

# What `openssl passwd -apr1 -salt <salt> -stdin` says.
KNOWN = [
    ("secret", "abcdefgh", "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"),
    ("admin", "r31.XXXX", "$apr1$r31.XXXX$lXne2.N5sRERSp9mI45H9/"),
    ("", "saltsalt", "$apr1$saltsalt$a8ml/vK5HEjiZ5oypDWA7/"),
    ("a", "xyzxyzxy", "$apr1$xyzxyzxy$OxvpdWhdvdoDRYSY99gi3."),
    ("grüße €", "./Zz09aA", "$apr1$./Zz09aA$Mbn1VvwAKT4v9mS/iVM6u/"),
    ("sixteen letters!", "8letters", "$apr1$8letters$rwo5Lq81pOjZoWLKT4iG3/"),
    ("seventeen letters", "8letters", "$apr1$8letters$qsMfVLqy3ivJCpD4G0/nl1"),
    ("with:colon and spaces", "ab", "$apr1$ab$sc/KsCt/D6MSaOkrrGNyw1"),
    ("long " * 40 + "x", "12345678", "$apr1$12345678$/Ji.GTsna85t6hyyMEVtP1"),
]

PROVIDER = _DashboardUserProvider()
MADE = {"user": "admin", "given": None}
GIVEN = {"user": "admin", "given": "open sesame"}


def verified(found: dict[str, Any]) -> bool:
    """Whether nginx would let the user in by the password."""
    user, _, hashed = found["htpasswd"].partition(":")
    salt = hashed.split("$")[2]
    return bool(user == found["user"] and hashed == apr1(found["password"], salt))


def changes(olds: dict[str, Any], news: dict[str, Any]) -> bool:
    return bool(PROVIDER.diff("dashboard", olds, news).changes)


@pytest.mark.parametrize(("password", "salt", "hashed"), KNOWN, ids=[salt for _, salt, _ in KNOWN[:-1]] + ["long"])
def test_a_hash_is_the_one_that_other_programs_compute(password: str, salt: str, hashed: str) -> None:
    assert apr1(password, salt) == hashed


def test_of_a_salt_only_eight_characters_count() -> None:
    assert apr1("secret", "abcdefgh") == apr1("secret", "abcdefghijk")


def test_each_line_has_a_salt_of_its_own() -> None:
    lines = {line("admin", "secret") for _ in range(20)}

    assert len(lines) == 20
    assert all(each.startswith("admin:$apr1$") and len(each) == len("admin:$apr1$12345678$") + 22 for each in lines)


def test_a_password_is_made_that_nobody_guesses_and_another_one_for_each_stack() -> None:
    one, other = PROVIDER.create(MADE).outs, PROVIDER.create(MADE).outs

    assert one is not None
    assert other is not None
    assert len(one["password"]) == 32
    assert one["password"] != other["password"]
    assert verified(one)


def test_a_password_that_is_given_is_taken_as_it_is() -> None:
    found = PROVIDER.create(GIVEN).outs

    assert found is not None
    assert found["password"] == "open sesame"
    assert verified(found)


@pytest.mark.parametrize("props", [MADE, {"user": "admin"}, GIVEN], ids=["made", "made-without-the-key", "given"])
def test_nothing_changes_where_nothing_was_changed(props: dict[str, Any]) -> None:
    made = PROVIDER.create(props).outs

    assert made is not None
    assert not changes(made, props)


def test_another_user_keeps_the_password_that_was_made() -> None:
    made = PROVIDER.create(MADE).outs
    assert made is not None
    assert changes(made, {**MADE, "user": "ops"})

    found = PROVIDER.update("dashboard", made, {**MADE, "user": "ops"}).outs

    assert found is not None
    assert (found["user"], found["password"]) == ("ops", made["password"])
    assert verified(found)


def test_a_password_that_is_given_takes_the_place_of_the_one_that_was_made() -> None:
    made = PROVIDER.create(MADE).outs
    assert made is not None
    assert changes(made, GIVEN)

    found = PROVIDER.update("dashboard", made, GIVEN).outs

    assert found is not None
    assert found["password"] == "open sesame"
    assert verified(found)
    assert not changes(found, GIVEN)


def test_a_password_that_is_given_no_longer_is_nobodys() -> None:
    given = PROVIDER.create(GIVEN).outs
    assert given is not None
    assert changes(given, MADE)

    found = PROVIDER.update("dashboard", given, MADE).outs

    assert found is not None
    assert found["password"] != "open sesame"
    assert len(found["password"]) == 32
    assert verified(found)
    assert not changes(found, MADE)
