"""Who may see the dashboards of viz: one user, with a password of the stack's or one that is made here, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import DashboardUserProvider

if TYPE_CHECKING:
    # The process that runs the provider doesn't need it.
    from mesh.config import Settings


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
            DashboardUserProvider(),
            name,
            {"user": user, "given": given, "password": None, "htpasswd": None},
            pulumi.ResourceOptions.merge(opts, hidden),
        )


def dashboard_user(stack: Settings) -> DashboardUser | None:
    """Who may see the dashboards of a stack, if it has any."""
    user = stack.dashboard_user
    return DashboardUser("dashboard-user", user, stack.dashboard_password) if user is not None else None
