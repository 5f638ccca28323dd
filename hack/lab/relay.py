"""Copies of both directions of a connection, for proxies."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


async def relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target_reader: asyncio.StreamReader,
    target_writer: asyncio.StreamWriter,
) -> None:
    """Copy both directions until one ends, then close the target's side; TLS inside the connection needs both."""
    try:
        await _run_until_one_ends(_pump(reader, target_writer), _pump(target_reader, writer))
    finally:
        target_writer.close()


async def _run_until_one_ends(*pumps: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
