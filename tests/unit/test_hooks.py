"""Hooks that ask a cluster, while Pulumi waits for all else."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pulumi

from components.sdk.hooks import namespace_hook


def test_a_hook_is_run_although_registrations_that_wait_for_it_have_taken_all_threads_of_the_loop() -> None:
    called: list[str] = []
    made = threading.Event()

    async def program() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        registration = loop.run_in_executor(None, made.wait, 10)
        hook = namespace_hook(called.append)
        args = pulumi.ResourceHookArgs(urn="", id="", name="", type="", new_inputs={"namespace": "linkerd"})
        try:
            await asyncio.wait_for(hook(args), timeout=5)
        finally:
            made.set()
            await registration

    asyncio.run(program())

    assert called == ["linkerd"]
