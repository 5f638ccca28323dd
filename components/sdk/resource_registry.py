"""Registry of the program's resources, and the wait until all of them are registered."""

from __future__ import annotations

import asyncio

import pulumi

from mesh.stack_state import StateResource


class ResourceRegistry:
    """All resources that the program registers, by type and name."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str], pulumi.Resource] = {}
        pulumi.runtime.register_stack_transformation(self._add)

    def _add(self, args: pulumi.ResourceTransformationArgs) -> None:
        self._resources[args.type_, args.name] = args.resource

    def find(self, resource: StateResource | None) -> pulumi.Resource | None:
        """Return the registered resource that has the type and name of a resource in the stack state."""
        return self._resources.get((resource.type, resource.name)) if resource is not None else None

    @property
    def custom_resources(self) -> list[pulumi.Resource]:
        """Return all registered resources but components."""
        return [each for each in self._resources.values() if isinstance(each, pulumi.CustomResource)]

    async def wait_until_registered(self) -> None:
        """Wait until each resource is registered or has failed.

        Without this wait, Pulumi's SDK checks all pending registrations each time that one completes. The time would
        grow with the square of the number of resources.
        """
        # The SDK itself reports the failures.
        await asyncio.gather(*(each.urn.future() for each in self._resources.values()), return_exceptions=True)
