"""Resource registry: its wait until the engine has registered all resources."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, set_mocks

from components.sdk.resource_registry import ResourceRegistry


class Thing(pulumi.CustomResource):
    def __init__(self, name: str, after: pulumi.Input[str] | None = None) -> None:
        super().__init__("test:index:Thing", name, {"after": after})


class RefusingEngine(Mocks):
    """Engine that refuses resources by their name."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if args.name.startswith("refused"):
            raise ValueError(f"{args.name}: refused")
        return f"{args.name}-id", dict(args.inputs)

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None


def register_chain(*names: str) -> list[Any]:
    """Register a chain of dependent resources; return their URNs or errors after the wait."""

    async def program() -> list[Any]:
        set_mocks(RefusingEngine(), project="test", stack="test")
        registry = ResourceRegistry()
        things: list[Thing] = []
        for name in names:
            things.append(Thing(name, things[-1].id if things else None))
        await asyncio.wait_for(registry.wait_until_registered(), 20)
        futures = [asyncio.ensure_future(thing.urn.future()) for thing in things]
        # After the wait, every future is done at once.
        await asyncio.wait(futures, timeout=0.5)
        assert all(future.done() for future in futures)
        return [future.exception() or future.result() for future in futures]

    return asyncio.run(program())


def test_all_urns_are_resolved_after_wait() -> None:
    assert [urn.rpartition("::")[2] for urn in register_chain("one", "two", "three")] == ["one", "two", "three"]


def test_refused_resource_does_not_block_wait() -> None:
    first, refused, after = register_chain("one", "refused", "three")

    assert first.endswith("::one")
    assert isinstance(refused, Exception)
    assert isinstance(after, Exception), "it depends on the refused one"
