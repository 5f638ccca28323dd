"""Resource hooks that call a cluster, on threads of their own.

Pulumi's Python SDK blocks a thread of the event loop for each registration until the engine has created the resource,
hooks included. The event loop has four threads for each parallel operation of the engine: 32 on two processors, 4 with
`--parallel 1`. If registrations block all of them, a hook that needs one of these threads waits indefinitely. Many
releases are enough for that (https://github.com/pulumi/pulumi/pull/20362).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pulumi

Hook = Callable[[pulumi.ResourceHookArgs], Awaitable[None]]
_Value = TypeVar("_Value")

# The engine runs this many hooks in parallel on eight processors. On more processors, hooks queue without a deadlock.
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="hook")


def create_namespace_hook(call: Callable[[str], None]) -> Hook:
    """Return a hook that runs a blocking function with the namespace of its resource."""

    async def hook(args: pulumi.ResourceHookArgs) -> None:
        inputs = args.new_inputs or {}
        await asyncio.get_running_loop().run_in_executor(_THREADS, call, str(inputs["namespace"]))

    return hook


def create_inputs_hook(call: Callable[[Mapping[str, Any]], None]) -> Hook:
    """Return a hook that runs a blocking function with the new inputs of its resource, secrets included."""

    async def hook(args: pulumi.ResourceHookArgs) -> None:
        # Secrets among the inputs are outputs.
        inputs = await pulumi.Output.from_input(args.new_inputs or {}).future()
        await asyncio.get_running_loop().run_in_executor(_THREADS, call, inputs or {})

    return hook


def output_hook(output: pulumi.Output[_Value], call: Callable[[_Value], None]) -> Hook:
    """Return a hook that runs a blocking function with the value of an output.

    The output must be an input of the hook's resource, so that its value is known when the hook runs.
    """

    async def hook(_args: pulumi.ResourceHookArgs) -> None:
        value = await output.future()
        assert value is not None, "an input of a resource is known before the resource is created"
        await asyncio.get_running_loop().run_in_executor(_THREADS, call, value)

    return hook
