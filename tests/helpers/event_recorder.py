"""Recorder of all changes to the objects that decide where requests go, on several clusters.

Each kind is listed once and then watched from the list's resourceVersion, so no change is missed. A custom kind joins
once its CRD is established. The end is deterministic: it waits until the clusters are quiet, reads from each collection
what is written but has not arrived, and requires that the log leads to the objects of a last list.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.conditions import find_condition
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import ApiStatusError, ApiUnreachableError, request_error
from mesh.kube.transport import JSON_MEDIA_TYPE
from mesh.kube.watch import Collection
from tests.helpers.event_log import Event, EventLog, ObjectKey, Operation

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_BUILT_IN = {
    "deployments.apps": Collection(path="/apis/apps/v1/deployments"),
    "endpointslices.discovery.k8s.io": Collection(path="/apis/discovery.k8s.io/v1/endpointslices"),
    "pods": Collection(path="/api/v1/pods"),
    # Without their data, which nothing here reads.
    "secrets": Collection(path="/api/v1/secrets", accept=METADATA_LIST_MEDIA_TYPE),
    "services": Collection(path="/api/v1/services"),
}
# Names of CRDs.
_CUSTOM = (
    "authorizationpolicies.policy.linkerd.io",
    "grpcroutes.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "httproutes.policy.linkerd.io",
    "links.multicluster.linkerd.io",
    "meshtlsauthentications.policy.linkerd.io",
    "serverauthorizations.policy.linkerd.io",
    "servers.policy.linkerd.io",
    "serviceprofiles.linkerd.io",
    "trafficsplits.split.smi-spec.io",
)
_CRDS = Collection(path=CRDS_PATH, accept=METADATA_LIST_MEDIA_TYPE)

_Report = Callable[[Operation, ObjectKey, dict[str, Any]], None]

# A watch is never idle for so long, because the API server ends it before.
_READ_TIMEOUT_S = 2 * 3600.0
_RETRY_DELAYS_S = (0.0, 0.1, 0.5, 1.0, 1.0, 1.0)
# Mirrors and endpoints follow a change within this time.
_QUIET_S = 0.5
_QUIET_TIMEOUT_S = 20.0
# Events that are already written are sent at once.
_LAST_WATCH_S = 1


class Recording:
    """A recording of several clusters; `log` is complete after `record_events`."""

    log: EventLog

    def __init__(self, clients: Mapping[str, KubeClient]) -> None:
        self._began = time.monotonic()
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._last_event_s = 0.0
        self._clusters = [_ClusterRecorder(name, client, self._add) for name, client in clients.items()]

    def start(self) -> None:
        """List all collections, then watch them."""
        # Each watch has a connection of its own, which urllib3's pool cannot keep.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        for cluster in self._clusters:
            cluster.start()
        self._began = time.monotonic()

    def stop(self) -> None:
        """Wait until the clusters are quiet, read the rest, and set `log`.

        Raises:
            AssertionError: a change can be missing.
        """
        deadline = time.monotonic() + _QUIET_TIMEOUT_S
        while time.monotonic() < deadline and self._elapsed_s() - self._last_event_s < _QUIET_S:
            time.sleep(_QUIET_S / 10)
        for cluster in self._clusters:
            cluster.begin_close()
        for cluster in self._clusters:
            cluster.finish_close()
        self.log = EventLog.from_events(self._events, [each.name for each in self._clusters], self._elapsed_s())

    def _add(self, cluster: str, operation: Operation, key: ObjectKey, body: dict[str, Any]) -> None:
        arrived_s = 0.0 if operation == "listed" else self._elapsed_s()
        version = _version(body)
        with self._lock:
            self._last_event_s = max(self._last_event_s, arrived_s)
            event = Event(
                cluster=cluster, arrived_s=arrived_s, version=version, operation=operation, key=key, body=body
            )
            self._events.append(event)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began


@contextmanager
def record_events(clients: Mapping[str, KubeClient]) -> Iterator[Recording]:
    """Record the changes on several clusters until exit.

    Args:
        clients: clients by the cluster's name in the stack.

    Raises:
        AssertionError: a change can be missing.
    """
    recording = Recording(clients)
    recording.start()
    try:
        yield recording
    finally:
        recording.stop()


class _ClusterRecorder:
    """Recorder of one cluster, with a thread per collection."""

    def __init__(self, name: str, client: KubeClient, add: Callable[[str, Operation, ObjectKey, Any], None]) -> None:
        self.name = name

        def report(operation: Operation, key: ObjectKey, body: dict[str, Any]) -> None:
            add(name, operation, key, body)

        built_in = [_BuiltInRecorder(client, key, each, report) for key, each in _BUILT_IN.items()]
        self._custom = {name: _CustomRecorder(client, name, report) for name in _CUSTOM}
        crds = _BuiltInRecorder(client, "crds", _CRDS, self._follow_crd)
        self._all: list[_CollectionRecorder] = [*built_in, *self._custom.values(), crds]

    def _follow_crd(self, operation: Operation, key: ObjectKey, _: dict[str, Any]) -> None:
        recorder = self._custom.get(key.name)
        if recorder is not None and operation != "listed":
            recorder.request_list()

    def start(self) -> None:
        for recorder in self._all:
            recorder.list_objects("listed")
        for recorder in self._all:
            recorder.start()

    def begin_close(self) -> None:
        for recorder in self._all:
            recorder.begin_close()

    def finish_close(self) -> None:
        for recorder in self._all:
            recorder.finish_close()


class _CollectionRecorder:
    """Recorder of one collection."""

    can_change = False  # whether the API server can stop serving the collection meanwhile

    def __init__(self, client: KubeClient, resource: str, report: _Report) -> None:
        self._client, self._resource, self._report = client, resource, report
        self._collection: Collection | None = None
        self._version = ""  # the last event; empty: the API server does not serve the collection
        self._objects: dict[ObjectKey, dict[str, Any]] = {}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._response: BaseHTTPResponse | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"record {resource}")

    def find_collection(self) -> Collection | None:
        """Return the collection, or None if the API server does not serve it."""
        raise NotImplementedError

    def wait_for_kind(self) -> None:
        """Wait until the API server may serve the collection."""
        raise NotImplementedError

    def list_objects(self, operation: Operation) -> bool:
        """Report what has changed since the last list or event; return whether the API server serves the collection."""
        self._collection = self.find_collection()
        content = None if self._collection is None else self._read_list(self._collection)
        self._version = "" if content is None else content["metadata"]["resourceVersion"]
        objects = {self._key(body): body for body in (content or {}).get("items") or ()}
        for key, body in objects.items():
            known = self._objects.get(key)
            if known is None or _version(known) != _version(body):
                self._apply(operation if known is None else "modified", body)
        for key in self._objects.keys() - objects.keys():
            known = self._objects[key]
            version = self._version or known["metadata"]["resourceVersion"]
            self._apply("deleted", {**known, "metadata": {**known["metadata"], "resourceVersion": version}})
        return content is not None

    def start(self) -> None:
        self._thread.start()

    def begin_close(self) -> None:
        self._closed.set()
        with self._lock:
            if self._response is not None:
                with suppress(Exception):  # the connection can have ended
                    self._response.shutdown()

    def finish_close(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise AssertionError(f"the recording of {self._resource} has a gap") from self._error
        if self._version and self._collection is not None:
            assert self._is_complete(self._collection), f"the recording of {self._resource} is incomplete"

    def _is_complete(self, collection: Collection) -> bool:
        content = self._read_list(collection)
        if content is None:
            return True
        live = {self._key(body): _version(body) for body in content.get("items") or ()}
        return live == {key: _version(body) for key, body in self._objects.items()}

    def _read_list(self, collection: Collection) -> dict[str, Any] | None:
        return self._client.request("GET", collection.path, accept=collection.accept)

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                if self._version and self._collection is not None:
                    self._watch_if_served(self._collection, is_last=False)
                elif not self.list_objects("added"):
                    self.wait_for_kind()
        except Exception as error:
            if not self._closed.is_set():
                self._error = error
        try:
            if self._version and self._collection is not None:
                self._watch_if_served(self._collection, is_last=True)
        except Exception as error:
            self._error = error

    def _watch_if_served(self, collection: Collection, *, is_last: bool) -> None:
        """Watch from the last event, also after a broken connection, which loses nothing."""
        for delay_s in (*_RETRY_DELAYS_S, None):
            try:
                self._watch(collection, is_last=is_last)
                return
            except (ApiUnreachableError, ApiStatusError) as error:
                if self._closed.is_set() and not is_last:
                    return
                status = error.status if isinstance(error, ApiStatusError) else None
                # A changed CRD ends the watches of its objects, and their history. A deleted one ends the objects too.
                if self.can_change and status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                    self._version = ""
                    return
                # The API server prepares the storage of a changed CRD, or is overloaded.
                if delay_s is None or status not in (None, HTTPStatus.TOO_MANY_REQUESTS):
                    raise
                time.sleep(delay_s)

    def _watch(self, collection: Collection, *, is_last: bool) -> None:
        timeout = {"timeoutSeconds": str(_LAST_WATCH_S)} if is_last else {}
        path = collection.query_path(watch="true", resourceVersion=self._version, **timeout)
        accept = METADATA_MEDIA_TYPE if collection.accept == METADATA_LIST_MEDIA_TYPE else JSON_MEDIA_TYPE
        response = self._client.open_watch(path, accept=accept, read_timeout_s=_READ_TIMEOUT_S)
        try:
            with self._lock:
                if not is_last:
                    if self._closed.is_set():
                        return
                    self._response = response
            for line in _read_lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiStatusError(path, status.get("code", 0), status.get("message", ""))
                operation: Operation = event["type"].lower()
                self._version = event["object"]["metadata"]["resourceVersion"]
                self._apply(operation, event["object"])
        finally:
            with self._lock:
                self._response = None
            response.close()

    def _apply(self, operation: Operation, body: dict[str, Any]) -> None:
        key = self._key(body)
        if operation == "deleted":
            self._objects.pop(key, None)
        else:
            self._objects[key] = body
        body["metadata"].pop("managedFields", None)
        self._report(operation, key, body)

    def _key(self, body: Mapping[str, Any]) -> ObjectKey:
        metadata = body["metadata"]
        return ObjectKey(self._resource, metadata.get("namespace", ""), metadata["name"])


class _BuiltInRecorder(_CollectionRecorder):
    """Recorder of a kind that every API server has."""

    def __init__(self, client: KubeClient, resource: str, collection: Collection, report: _Report) -> None:
        super().__init__(client, resource, report)
        self._fixed = collection

    def find_collection(self) -> Collection:
        return self._fixed

    def wait_for_kind(self) -> None:
        raise AssertionError(f"the API server does not serve {self._resource}")


class _CustomRecorder(_CollectionRecorder):
    """Recorder of a kind whose CRD can be created, changed and deleted meanwhile."""

    can_change = True

    def __init__(self, client: KubeClient, crd: str, report: _Report) -> None:
        super().__init__(client, crd, report)
        self._changed = threading.Event()

    def request_list(self) -> None:
        """List the objects again if the kind was not served, because its CRD has changed."""
        self._changed.set()

    def find_collection(self) -> Collection | None:
        crd = self._client.request("GET", f"{CRDS_PATH}/{self._resource}")
        if crd is None or find_condition(crd, "Established").get("status") != "True":
            return None
        spec = crd["spec"]
        version = next(each["name"] for each in spec["versions"] if each["storage"])
        return Collection(path=f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")

    def wait_for_kind(self) -> None:
        self._changed.wait()
        self._changed.clear()

    def begin_close(self) -> None:
        super().begin_close()
        self._changed.set()


def _version(body: Mapping[str, Any]) -> int:
    return int(body["metadata"]["resourceVersion"])


def _read_lines(response: BaseHTTPResponse) -> Iterator[bytes]:
    buffer = bytearray()
    while part := _read_part(response):
        buffer += part
        *lines, rest = buffer.split(b"\n")
        buffer = bytearray(rest)
        yield from (bytes(line) for line in lines if line.strip())


def _read_part(response: BaseHTTPResponse) -> bytes:
    try:
        return response.read1(2**16)
    except Exception as error:  # urllib3, http.client and ssl raise many types
        raise request_error(error, _READ_TIMEOUT_S) from None
