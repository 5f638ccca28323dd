"""Who may see the dashboards of viz: one user, with a password of the stack's or one that is made here, once."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from components.linkerd import htpasswd

if TYPE_CHECKING:
    # The process that runs the provider doesn't need it.
    from mesh.config import Settings


class _DashboardUserProvider(ResourceProvider):
    """Runs in a process of its own; what it makes stays the same until what it was made of changes."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_="dashboard", outs=_made(props, props.get("given") or secrets.token_urlsafe(24)))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=any(_olds.get(key) != _news.get(key) for key in ("user", "given")))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        # A password that was made stays; one that was given, and is no longer, is nobody's.
        kept = _olds["password"] if not _olds.get("given") else secrets.token_urlsafe(24)
        return UpdateResult(outs=_made(_news, _news.get("given") or kept))


class DashboardUser(Resource, module="multicluster-mesh", name="DashboardUser"):
    """Who may see the dashboards: a name, a password, and both as nginx reads them.

    Args:
        name: the resource name.
        user: the user's name.
        password: the user's password; without one it is made here, once.
        opts: the usual resource options.
    """

    user: pulumi.Output[str]
    password: pulumi.Output[str]  # secret
    htpasswd: pulumi.Output[str]  # secret: a line of an htpasswd file

    def __init__(self, name: str, user: str, password: str | None, opts: pulumi.ResourceOptions | None = None) -> None:
        given = pulumi.Output.secret(password) if password is not None else None
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["given", "password", "htpasswd"])
        super().__init__(
            _DashboardUserProvider(),
            name,
            {"user": user, "given": given, "password": None, "htpasswd": None},
            pulumi.ResourceOptions.merge(opts, hidden),
        )


def dashboard_user(stack: Settings) -> DashboardUser | None:
    """Who may see the dashboards of a stack, if it has any."""
    user = stack.dashboard_user
    return DashboardUser("dashboard-user", user, stack.dashboard_password) if user is not None else None


def _made(props: dict[str, Any], password: str) -> dict[str, Any]:
    found = {"user": props["user"], "given": props.get("given"), "password": password}
    return {**found, "htpasswd": htpasswd.htpasswd_entry(props["user"], password)}
