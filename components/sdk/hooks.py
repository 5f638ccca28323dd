"""Hooks of resources that ask a cluster, on threads of their own.

Python's part of Pulumi waits on the threads of the event loop for the engine's answer to each registration: four for
each operation that the engine runs at a time, 32 with two processors, 4 with `--parallel 1`. The engine answers when
the resource is made, hooks included. So a hook that waited for one of the same threads would wait for ever where
registrations have taken all of them, as those of many releases do (https://github.com/pulumi/pulumi/pull/20362).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pulumi

Hook = Callable[[pulumi.ResourceHookArgs], Awaitable[None]]

# As many as the engine has hooks under way with eight processors; more wait their turn, which is for none of them.
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="hook")


def namespace_hook(call: Callable[[str], None]) -> Hook:
    """A hook that makes a call which may wait, with the namespace that its resource is about to have."""

    async def hook(args: pulumi.ResourceHookArgs) -> None:
        inputs = args.new_inputs or {}
        await asyncio.get_running_loop().run_in_executor(_THREADS, call, str(inputs["namespace"]))

    return hook
