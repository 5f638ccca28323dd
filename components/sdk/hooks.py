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
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pulumi
from pulumi.runtime.proto import engine_pb2
from pulumi.runtime.settings import get_engine

Hook = Callable[[pulumi.ResourceHookArgs], Awaitable[None]]
_Value = TypeVar("_Value")

# The engine runs this many hooks in parallel on eight processors. On more processors, hooks queue without a deadlock.
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="hook")


@dataclass(frozen=True, kw_only=True)
class HookStep:
    """The step of a resource that runs a hook."""

    urn: str
    inputs: Mapping[str, Any] = field(repr=False)  # new inputs, secrets included
    old_outputs: Mapping[str, Any] = field(repr=False)  # without the values of secrets; empty before a create

    def report_status(self, status: str) -> None:
        """Show a status in the resource's row of Pulumi's display, until the next one replaces it."""
        self._log(engine_pb2.INFO, status, ephemeral=True)

    def warn(self, message: str) -> None:
        """Show a warning on the resource, which stays in Pulumi's output."""
        self._log(engine_pb2.WARNING, message, ephemeral=False)

    def _log(self, severity: Any, message: str, *, ephemeral: bool) -> None:
        engine: Any = get_engine()
        engine.Log(
            engine_pb2.LogRequest(severity=severity, message=message, urn=self.urn, streamId=0, ephemeral=ephemeral)
        )


def create_step_hook(call: Callable[[HookStep], None]) -> Hook:
    """Return a hook that runs a blocking function with the step of its resource."""

    async def hook(args: pulumi.ResourceHookArgs) -> None:
        # Secrets among the inputs are outputs.
        inputs = await pulumi.Output.from_input(args.new_inputs or {}).future()
        step = HookStep(urn=args.urn, inputs=inputs or {}, old_outputs=args.old_outputs or {})
        await asyncio.get_running_loop().run_in_executor(_THREADS, call, step)

    return hook


def bind_step_hook(name: str, call: Callable[[HookStep], None]) -> pulumi.ResourceHookBinding:
    """Return a binding of a blocking function that runs before its resource is created or updated.

    Args:
        name: name of the hook, unique in the program.
        call: the function.
    """
    hook = pulumi.ResourceHook(name, create_step_hook(call))
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])


def create_namespace_hook(call: Callable[[str], None]) -> Hook:
    """Return a hook that runs a blocking function with the namespace of its resource."""

    async def hook(args: pulumi.ResourceHookArgs) -> None:
        inputs = args.new_inputs or {}
        await asyncio.get_running_loop().run_in_executor(_THREADS, call, str(inputs["namespace"]))

    return hook


def create_inputs_hook(call: Callable[[Mapping[str, Any]], None]) -> Hook:
    """Return a hook that runs a blocking function with the new inputs of its resource, secrets included."""

    return create_step_hook(lambda step: call(step.inputs))


def output_hook(output: pulumi.Output[_Value], call: Callable[[_Value], None]) -> Hook:
    """Return a hook that runs a blocking function with the value of an output.

    The output must be an input of the hook's resource, so that its value is known when the hook runs.
    """

    async def hook(_args: pulumi.ResourceHookArgs) -> None:
        value = await output.future()
        assert value is not None, "an input of a resource is known before the resource is created"
        await asyncio.get_running_loop().run_in_executor(_THREADS, call, value)

    return hook
