"""User of viz' dashboards. The password comes from the stack file, or is generated once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import DashboardUserProvider

if TYPE_CHECKING:
    # The provider's process does not need this import.
    from mesh.config import Settings


class DashboardUser(Resource, module="multicluster-mesh", name="DashboardUser"):
    """Name, password and htpasswd line of the dashboards' user.

    Args:
        name: name of the Pulumi resource.
        user: name of the user.
        password: password of the user; if None, the provider generates one at the first update.
        opts: resource options.
    """

    user: pulumi.Output[str]
    password: pulumi.Output[str]  # secret
    htpasswd: pulumi.Output[str]  # secret; a line of an htpasswd file

    def __init__(self, name: str, user: str, password: str | None, opts: pulumi.ResourceOptions | None = None) -> None:
        configured = pulumi.Output.secret(password) if password is not None else None
        secret_outputs = pulumi.ResourceOptions(additional_secret_outputs=["given", "password", "htpasswd"])
        super().__init__(
            DashboardUserProvider(),
            name,
            {"user": user, "given": configured, "password": None, "htpasswd": None},
            pulumi.ResourceOptions.merge(opts, secret_outputs),
        )


def create_dashboard_user(stack: Settings) -> DashboardUser | None:
    """Create the user if the stack has dashboards."""
    user = stack.dashboard_user
    return DashboardUser("dashboard-user", user, stack.dashboard_password) if user is not None else None
