"""Local copy of a collection of objects, kept by a list and a watch.

https://pkg.go.dev/k8s.io/client-go/tools/cache
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from hack.lab.api import ApiClient, ApiError

_RETRY_INTERVAL_S = 0.5
_LIST_TIMEOUT_S = 20.0
_log = logging.getLogger(__name__)

OnChange = Callable[[dict[str, Any], bool], None]
"""Called with an object, and whether it was deleted."""


class Informer:
    """The objects of one collection, by namespace and name; all methods belong to the event loop's thread."""

    def __init__(
        self, api: ApiClient, path: str, *, on_change: OnChange | None = None, field_selector: str = ""
    ) -> None:
        """Prepare the informer without starting it.

        Args:
            api: client of the API server.
            path: path of the collection.
            on_change: called after each change, in the event loop's thread.
            field_selector: a field selector of the collection's objects; empty for all.
        """
        self._api = api
        self._path = path
        self._field_selector = field_selector
        self._on_change = on_change
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}
        self._changed = asyncio.Condition()
        self._synced = asyncio.Event()

    def start(self) -> None:
        """Begin to list and watch, in a thread that ends with the process."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop,), name=self._path, daemon=True).start()

    async def wait_until_synced(self) -> None:
        """Wait for the first list."""
        await self._synced.wait()

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None if there is none."""
        return self._objects.get((namespace, name))

    def list_all(self) -> list[dict[str, Any]]:
        """Return all objects."""
        return list(self._objects.values())

    def list_namespace(self, namespace: str) -> Iterator[dict[str, Any]]:
        """Yield the objects of a namespace."""
        for (its_namespace, _), item in self._objects.items():
            if its_namespace == namespace:
                yield item

    async def wait_for_change(self) -> None:
        """Wait until any object changes."""
        async with self._changed:
            await self._changed.wait()

    async def _replace(self, items: list[dict[str, Any]]) -> None:
        before = self._objects
        self._objects = {_key(item): item for item in items}
        for key, item in before.items():
            now = self._objects.get(key)
            if now is None or now["metadata"]["uid"] != item["metadata"]["uid"]:
                self._report(item, is_deleted=True)
        for key, item in self._objects.items():
            if before.get(key, {}).get("metadata", {}).get("resourceVersion") != item["metadata"]["resourceVersion"]:
                self._report(item, is_deleted=False)
        self._synced.set()
        await self._notify()

    async def _apply(self, event: dict[str, Any]) -> None:
        item, is_deleted = event["object"], event["type"] == "DELETED"
        if is_deleted:
            self._objects.pop(_key(item), None)
        else:
            self._objects[_key(item)] = item
        self._report(item, is_deleted=is_deleted)
        await self._notify()

    def _report(self, item: dict[str, Any], *, is_deleted: bool) -> None:
        if self._on_change is not None:
            self._on_change(item, is_deleted)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            while True:
                try:
                    self._watch_once(loop)
                except (ApiError, OSError, ValueError, KeyError) as error:
                    # The API server restarts, or the watch expired: start again with a list.
                    _log.info("%s: %s; retrying", self._path, error)
                    time.sleep(_RETRY_INTERVAL_S)

    def _watch_once(self, loop: asyncio.AbstractEventLoop) -> None:
        answer = self._api.get(self._path, timeout=_LIST_TIMEOUT_S, fieldSelector=self._field_selector)
        asyncio.run_coroutine_threadsafe(self._replace(answer["items"]), loop).result()
        version = answer["metadata"]["resourceVersion"]
        while True:
            for event in self._api.watch(self._path, fieldSelector=self._field_selector, resourceVersion=version):
                if event["type"] == "ERROR":
                    raise ValueError(event["object"].get("message", "watch ended"))
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    asyncio.run_coroutine_threadsafe(self._apply(event), loop).result()


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
