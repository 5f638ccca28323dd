"""Hooks that run while all threads of the event loop are blocked."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pulumi

from components.sdk.hooks import create_namespace_hook, output_hook


def test_hook_runs_while_all_executor_threads_are_blocked() -> None:
    namespaces: list[str] = []
    created = threading.Event()

    async def program() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        registration = loop.run_in_executor(None, created.wait, 10)
        hook = create_namespace_hook(namespaces.append)
        args = pulumi.ResourceHookArgs(urn="", id="", name="", type="", new_inputs={"namespace": "linkerd"})
        try:
            await asyncio.wait_for(hook(args), timeout=5)
        finally:
            created.set()
            await registration

    asyncio.run(program())

    assert namespaces == ["linkerd"]


def test_output_hook_receives_value_of_output() -> None:
    values: list[tuple[str, bool]] = []

    async def program() -> None:
        loop_thread = threading.current_thread()
        output = pulumi.Output.secret("kubeconfig")
        hook = output_hook(output, lambda value: values.append((value, threading.current_thread() is loop_thread)))
        await hook(pulumi.ResourceHookArgs(urn="", id="", name="", type=""))

    asyncio.run(program())

    assert values == [("kubeconfig", False)]
