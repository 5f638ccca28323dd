"""Everything that the program has asked for, and the wait until the engine has answered all of it."""

from __future__ import annotations

import asyncio

import pulumi

from mesh.stack_state import StateResource


class ResourceRegistry:
    """Remembers every resource that the program asks for, to be named by its type and name in a state."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], pulumi.Resource] = {}
        pulumi.runtime.register_stack_transformation(self._remember)

    def _remember(self, args: pulumi.ResourceTransformationArgs) -> None:
        self._found[args.type_, args.name] = args.resource

    def find(self, resource: StateResource | None) -> pulumi.Resource | None:
        """The registered resource that one of the state is."""
        return self._found.get((resource.type, resource.name)) if resource is not None else None

    async def wait_until_registered(self) -> None:
        """Return when each resource is registered or has failed.

        Left to itself, Pulumi's SDK looks at all that is under way each time that something is done: the time of a
        large mesh would grow with the square of its resources.
        """
        # What failed is told by the SDK.
        await asyncio.gather(*(each.urn.future() for each in self._found.values()), return_exceptions=True)
