"""Watches: lists of objects that the API server keeps current.

Follows https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes: list, then watch
from the list's resourceVersion. After a broken or expired watch (HTTP 410), list again.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from mesh.kube.client import KubeClient
from mesh.kube.errors import ApiStatusError, ApiUnreachableError, BadCredentialsError, KubeError, request_error
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.transport import JSON_MEDIA_TYPE

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

# The API server ends a watch after this time. A connection that is silently dead is noticed a little later.
WATCH_TIMEOUT_S = 30
_READ_TIMEOUT_S = WATCH_TIMEOUT_S + 5.0
# Between two attempts while the API server cannot be reached, or ends each watch at once.
_MIN_RETRY_DELAY_S, _MAX_RETRY_DELAY_S = 0.1, 3.0
_MAX_EVENT_BYTES = 64 * 2**20
_REFUSED_STATUSES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)

# Namespace (empty for a cluster-scoped object) and name.
ObjectName = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Objects of one kind, in one namespace or all, optionally limited by selectors."""

    path: str
    label_selector: str = ""
    field_selector: str = ""
    accept: str = JSON_MEDIA_TYPE  # media type of a list; metadata only, for example

    def query_path(self, **parameters: str) -> str:
        """Return the path with a query."""
        selectors = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        query = urlencode({key: value for key, value in {**selectors, **parameters}.items() if value})
        return f"{self.path}?{query}" if query else self.path


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The objects of a collection at one moment."""

    objects: Mapping[ObjectName, Mapping[str, Any]] = field(default_factory=dict)
    error: KubeError | None = None  # why the objects may be out of date


def _list_collection(client: KubeClient, collection: Collection) -> tuple[dict[ObjectName, dict[str, Any]], str]:
    """Return the objects of a collection and the resourceVersion of the list; raise as `client.request` does.

    A kind that the API server does not serve has no objects, and no resourceVersion.
    """
    content = client.request("GET", collection.query_path(), accept=collection.accept) or {}
    kind = as_text(content.get("kind")).removesuffix("List")
    # The objects of a list have no kind of their own.
    objects = {_object_name(each): {"kind": kind, **each} for each in as_mappings(content.get("items"))}
    return objects, as_text(as_mapping(content, "metadata").get("resourceVersion"))


class Watches:
    """Watches of several collections, each with a connection of its own, until the context ends.

    Args:
        client: the cluster's client.

    Use as a context manager. At its end, all connections are closed.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._changes: queue.SimpleQueue[tuple[Collection, Snapshot]] = queue.SimpleQueue()
        self._watches: list[_Watch] = []
        self._snapshots: dict[Collection, Snapshot] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for watch in self._watches:
            watch.close()

    def add(self, collection: Collection) -> Snapshot:
        """List a collection, and return its objects; the watch starts with `start`.

        Raises:
            ApiStatusError: the API server refuses the list.
            ApiUnreachableError, BadCredentialsError: there is no response.
        """
        objects, version = _list_collection(self._client, collection)
        snapshot = Snapshot(objects=objects)
        self._snapshots[collection] = snapshot
        self._watches.append(_Watch(self._client, collection, objects, version, self._changes.put))
        return snapshot

    def start(self) -> None:
        """Watch all collections that are not watched yet."""
        for watch in self._watches:
            watch.start()

    @property
    def snapshots(self) -> Mapping[Collection, Snapshot]:
        """Return the latest objects of each collection."""
        return self._snapshots

    def wait_for_change(self, timeout_s: float) -> Sequence[Collection]:
        """Wait for the next changes, and return the changed collections; none after the timeout."""
        changed: dict[Collection, None] = {}
        with suppress(queue.Empty):
            collection, snapshot = self._changes.get(timeout=max(0.0, timeout_s))
            while True:
                self._snapshots[collection] = snapshot
                changed[collection] = None
                collection, snapshot = self._changes.get_nowait()
        return list(changed)


def wait_until(
    client: KubeClient,
    collection: Collection,
    is_complete: Callable[[Mapping[ObjectName, Mapping[str, Any]]], bool],
    *,
    timeout_s: float,
) -> bool:
    """Wait until a condition on the objects of a collection is true; return whether it is.

    Args:
        client: the cluster's client.
        collection: the objects.
        is_complete: the condition; called with the objects by name after each change.
        timeout_s: seconds to wait.

    Raises:
        ApiStatusError: the API server refuses the list.
        ApiUnreachableError, BadCredentialsError: there is no response to the first list.
    """
    deadline = time.monotonic() + timeout_s
    with Watches(client) as watches:
        if is_complete(watches.add(collection).objects):
            return True
        watches.start()
        while (remaining_s := deadline - time.monotonic()) > 0:
            watches.wait_for_change(remaining_s)
            if is_complete(watches.snapshots[collection].objects):
                return True
    return False


class _Watch:
    """One collection, watched in a thread; each change is reported with the objects at that moment."""

    def __init__(
        self,
        client: KubeClient,
        collection: Collection,
        objects: dict[ObjectName, dict[str, Any]],
        version: str,
        report: Callable[[tuple[Collection, Snapshot]], None],
    ) -> None:
        self._client, self._collection, self._report = client, collection, report
        self._objects, self._version = objects, version
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._response: BaseHTTPResponse | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name=f"watch {self._collection.path}")
            self._thread.start()

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            response, self._response = self._response, None
        if response is not None:
            _shut_down(response)

    def _run(self) -> None:
        delay_s = _MIN_RETRY_DELAY_S
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                if not self._version:
                    self._objects, self._version = _list_collection(self._client, self._collection)
                    self._report_change()
                if self._version:
                    self._read_events()
                error: KubeError | None = None
            except KubeError as failure:
                error = failure
            # The next list contains all changes that the broken watch has missed.
            self._version = ""
            if self._closed.is_set():
                return
            if error is not None and not _is_expired(error):
                self._report_change(error)
            is_short = time.monotonic() - began < 1.0
            delay_s = min(2 * delay_s, _MAX_RETRY_DELAY_S) if error is not None and is_short else _MIN_RETRY_DELAY_S
            self._closed.wait(delay_s if is_short else 0)

    def _read_events(self) -> None:
        path = self._collection.query_path(
            watch="true",
            resourceVersion=self._version,
            timeoutSeconds=str(WATCH_TIMEOUT_S),
        )
        response = self._client.open_watch(
            path, accept=_event_media_type(self._collection.accept), read_timeout_s=_READ_TIMEOUT_S
        )
        with self._lock:
            if self._closed.is_set():
                response.close()
                return
            self._response = response
        try:
            for event in _read_lines(response):
                if not self._apply(event):
                    return
        except KubeError:
            raise
        except Exception as error:  # urllib3, http.client and ssl raise many types, also after `close`
            raise request_error(error, _READ_TIMEOUT_S) from None
        finally:
            with self._lock:
                self._response = None
            response.close()

    def _apply(self, event: Mapping[str, Any]) -> bool:
        """Apply an event; return whether the watch continues."""
        body, kind = as_mapping(event.get("object")), event.get("type")
        if kind in ("ADDED", "MODIFIED"):
            self._objects = {**self._objects, _object_name(body): body}
        elif kind == "DELETED":
            self._objects = {key: each for key, each in self._objects.items() if key != _object_name(body)}
        else:
            return kind == "BOOKMARK"  # an ERROR, such as status 410, ends the watch
        self._report_change()
        return True

    def _report_change(self, error: KubeError | None = None) -> None:
        if not self._closed.is_set():
            self._report((self._collection, Snapshot(objects=self._objects, error=error)))


def _event_media_type(accept: str) -> str:
    """Return the media type of single objects for that of a list."""
    return accept.replace("as=PartialObjectMetadataList", "as=PartialObjectMetadata")


def _is_expired(error: KubeError) -> bool:
    return isinstance(error, ApiStatusError) and error.status == HTTPStatus.GONE


def is_refused(error: KubeError) -> bool:
    """Return whether waiting does not help: the user may not list these objects, or has no valid credentials."""
    return isinstance(error, BadCredentialsError) or (
        isinstance(error, ApiStatusError) and error.status in _REFUSED_STATUSES
    )


def _object_name(body: Mapping[str, Any]) -> ObjectName:
    metadata = as_mapping(dict(body), "metadata")
    return as_text(metadata.get("namespace")), as_text(metadata.get("name"))


def _read_lines(response: BaseHTTPResponse) -> Iterator[Mapping[str, Any]]:
    buffer = bytearray()
    while part := response.read1(2**16):
        buffer += part
        if len(buffer) > _MAX_EVENT_BYTES:
            raise ApiUnreachableError("the API server sends an event that is too large")
        *lines, rest = buffer.split(b"\n")
        buffer = bytearray(rest)
        for line in lines:
            if line.strip():
                yield _parse_event(line)


def _parse_event(line: bytearray) -> Mapping[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        raise ApiUnreachableError("the API server sends an event that is not JSON") from None
    return event if isinstance(event, dict) else {}


def _shut_down(response: BaseHTTPResponse) -> None:
    """End a read in another thread; without support, that thread ends after the read timeout."""
    with suppress(Exception):  # urllib3 raises several types if the connection is closed or wrapped
        response.shutdown()
