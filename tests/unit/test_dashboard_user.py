"""Who may see the dashboards: a password that stays, and a line for nginx that goes with it."""

from __future__ import annotations

from typing import Any

import pytest

from components.dynamic_providers import DashboardUserProvider
from components.linkerd.htpasswd import apr1

PROVIDER = DashboardUserProvider()
MADE = {"user": "admin", "given": None}
GIVEN = {"user": "admin", "given": "open sesame"}


def verified(found: dict[str, Any]) -> bool:
    """Whether nginx would let the user in by the password."""
    user, _, hashed = found["htpasswd"].partition(":")
    salt = hashed.split("$")[2]
    return bool(user == found["user"] and hashed == apr1(found["password"], salt))


def changes(olds: dict[str, Any], news: dict[str, Any]) -> bool:
    return bool(PROVIDER.diff("dashboard", olds, news).changes)


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
