"""User of the dashboards: a stable password and its htpasswd entry."""

from __future__ import annotations

from typing import Any

import pytest

from components.dynamic_providers import DashboardUserProvider
from components.linkerd.htpasswd import apr1_hash

PROVIDER = DashboardUserProvider()
GENERATED = {"user": "admin", "given": None}
CONFIGURED = {"user": "admin", "given": "open sesame"}


def is_accepted_by_nginx(outputs: dict[str, Any]) -> bool:
    """Return whether nginx accepts the password of the user."""
    user, _, hashed = outputs["htpasswd"].partition(":")
    salt = hashed.split("$")[2]
    return bool(user == outputs["user"] and hashed == apr1_hash(outputs["password"], salt))


def has_changes(olds: dict[str, Any], news: dict[str, Any]) -> bool:
    return bool(PROVIDER.diff("dashboard", olds, news).changes)


def test_generated_password_is_long_and_unique() -> None:
    one, other = PROVIDER.create(GENERATED).outs, PROVIDER.create(GENERATED).outs

    assert one is not None
    assert other is not None
    assert len(one["password"]) == 32
    assert one["password"] != other["password"]
    assert is_accepted_by_nginx(one)


def test_configured_password_is_used_unchanged() -> None:
    outputs = PROVIDER.create(CONFIGURED).outs

    assert outputs is not None
    assert outputs["password"] == "open sesame"
    assert is_accepted_by_nginx(outputs)


@pytest.mark.parametrize(
    "props", [GENERATED, {"user": "admin"}, CONFIGURED], ids=["generated", "generated-without-the-key", "configured"]
)
def test_unchanged_inputs_cause_no_diff(props: dict[str, Any]) -> None:
    outputs = PROVIDER.create(props).outs

    assert outputs is not None
    assert not has_changes(outputs, props)


def test_new_user_keeps_generated_password() -> None:
    olds = PROVIDER.create(GENERATED).outs
    assert olds is not None
    assert has_changes(olds, {**GENERATED, "user": "ops"})

    news = PROVIDER.update("dashboard", olds, {**GENERATED, "user": "ops"}).outs

    assert news is not None
    assert (news["user"], news["password"]) == ("ops", olds["password"])
    assert is_accepted_by_nginx(news)


def test_configured_password_replaces_generated_password() -> None:
    olds = PROVIDER.create(GENERATED).outs
    assert olds is not None
    assert has_changes(olds, CONFIGURED)

    news = PROVIDER.update("dashboard", olds, CONFIGURED).outs

    assert news is not None
    assert news["password"] == "open sesame"
    assert is_accepted_by_nginx(news)
    assert not has_changes(news, CONFIGURED)


def test_removed_password_is_replaced_by_generated_password() -> None:
    olds = PROVIDER.create(CONFIGURED).outs
    assert olds is not None
    assert has_changes(olds, GENERATED)

    news = PROVIDER.update("dashboard", olds, GENERATED).outs

    assert news is not None
    assert news["password"] != "open sesame"
    assert len(news["password"]) == 32
    assert is_accepted_by_nginx(news)
    assert not has_changes(news, GENERATED)
