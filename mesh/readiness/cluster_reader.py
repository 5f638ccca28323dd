"""Requests of one diagnosis: each is sent once, and a failure hides nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote as quote_url
from urllib.parse import urlencode

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.errors import ApiStatusError, KubeError, NotReadableError, to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.readiness.quotation import quote, quote_log

# A namespace of the program has fewer. In one with more, the events of each object are read by themselves.
_MAX_EVENTS = 500
_MAX_PODS = 500
# A node that does not respond takes the API server some time per log.
_MAX_LOGS = 8
# More than is quoted, because a secret can begin above the quoted lines.
_READ_LOG_LINES = 60
_MAX_LOG_BYTES = 2**18


class ClusterReader:
    """Reads objects of one cluster for one diagnosis.

    Args:
        client: the cluster's client.
        with_logs: whether logs are read too.
    """

    def __init__(self, client: KubeClient, *, with_logs: bool) -> None:
        self._client, self._with_logs = client, with_logs
        self._responses: dict[str, dict[str, Any] | None] = {}
        self._failures: dict[str, str] = {}
        self._outage: KubeError | None = None
        self._log_keys: set[tuple[str, str, str]] = set()
        self._unread: list[str] = []

    def take_unread(self) -> tuple[str, ...]:
        """Return, and forget, descriptions of what could not be read since the last call."""
        unread, self._unread = tuple(dict.fromkeys(self._unread)), []
        return unread

    def list_pods(self, namespace: str, selector: str) -> list[dict[str, Any]] | None:
        """Return the pods with some labels, or None if they cannot be read."""
        path = f"{_core(namespace)}/pods?{_query(labelSelector=selector, limit=_MAX_PODS)}"
        content = self._get(path, f"pods in namespace {namespace}")
        return None if content is None else as_mappings(content.get("items"))

    def list_replica_sets(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the metadata of the ReplicaSets with some labels."""
        query = _query(labelSelector=selector, limit=_MAX_PODS)
        path = f"/apis/apps/v1/namespaces/{_segment(namespace)}/replicasets?{query}"
        content = self._get(path, f"replicasets in namespace {namespace}", METADATA_LIST_MEDIA_TYPE)
        return as_mappings((content or {}).get("items"))

    def list_warnings(self, live: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the warning events of an object, the latest first."""
        metadata = as_mapping(dict(live), "metadata")
        namespace, uid = as_text(metadata.get("namespace")), as_text(metadata.get("uid"))
        if not namespace or not uid:
            return []
        query = _query(fieldSelector="type=Warning", limit=_MAX_EVENTS)
        content = self._get(f"{_core(namespace)}/events?{query}", f"events in namespace {namespace}") or {}
        if as_mapping(content, "metadata").get("continue"):
            return [each for each in self.list_events(live) if each.get("type") == "Warning"]
        return _sort_events(content, uid)

    def list_events(self, live: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the events of an object, also those that are no warnings, the latest first."""
        metadata = as_mapping(dict(live), "metadata")
        namespace, uid = as_text(metadata.get("namespace")), as_text(metadata.get("uid"))
        if not namespace or not uid:
            return []
        query = _query(fieldSelector=f"involvedObject.uid={uid}", limit=_MAX_EVENTS)
        content = self._get(f"{_core(namespace)}/events?{query}", f"events in namespace {namespace}") or {}
        return _sort_events(content, uid)

    def read_claim(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a PersistentVolumeClaim, or None if it does not exist or cannot be read."""
        path = f"{_core(namespace)}/persistentvolumeclaims/{_segment(name)}"
        return self._get(path, f"PersistentVolumeClaim {namespace}/{name}")

    def read_node(self, name: str) -> dict[str, Any] | None:
        """Return a node, or None if it does not exist or cannot be read."""
        return self._get(f"/api/v1/nodes/{_segment(name)}", f"Node {name}")

    def is_missing(self, node_name: str) -> bool:
        """Return whether a node does not exist."""
        path = f"/api/v1/nodes/{_segment(node_name)}"
        return self.read_node(node_name) is None and path not in self._failures

    def read_log(self, pod: Mapping[str, Any], container: str, *, is_previous: bool) -> tuple[str, ...]:
        """Return the last lines of a container's log, or one line with the reason why there are none.

        The log of one pod stands for those of all pods with the same owner.

        Args:
            pod: the pod.
            container: name of the container.
            is_previous: whether the log is that of the container before its last restart.
        """
        metadata = as_mapping(dict(pod), "metadata")
        name, namespace = as_text(metadata.get("name")), as_text(metadata.get("namespace"))
        key = (namespace, next(iter(_owner_uids(metadata)), name), container)
        is_read_enough = key in self._log_keys or len(self._log_keys) >= _MAX_LOGS
        if not self._with_logs or self._outage is not None or is_read_enough:
            return ()
        self._log_keys.add(key)
        query = _query(container=container, tailLines=_READ_LOG_LINES, previous="true" if is_previous else "false")
        path = f"{_core(namespace)}/pods/{_segment(name)}/log?{query}"
        try:
            text = self._client.read_text(path, max_bytes=_MAX_LOG_BYTES)
        except ApiStatusError as error:
            if error.status == 403:
                return ("(the log cannot be read: not allowed)",)
            return (f"(the log cannot be read: {quote(error.message, 200)})",)
        except KubeError as error:
            return (f"(the log cannot be read: {quote(str(error), 200)})",)
        if text is None:
            return ("(the log cannot be read: the pod no longer exists)",)
        return quote_log(text) or ("(the log is empty)",)

    def _get(self, path: str, subject: str, accept: str = "application/json") -> dict[str, Any] | None:
        if path in self._responses:
            return self._responses[path]
        if path not in self._failures:
            try:
                if self._outage is not None:
                    raise self._outage
                self._responses[path] = self._client.get(path, subject, accept)
                return self._responses[path]
            except NotReadableError as error:
                self._failures[path] = to_single_line(error)
            except KubeError as error:
                # Each further request would last as long.
                self._outage = error
                self._failures[path] = quote(f"{subject} ({error})", 300)
        self._unread.append(self._failures[path])
        return None


def _owner_uids(metadata: Mapping[str, Any]) -> list[str]:
    return [as_text(each.get("uid")) for each in as_mappings(metadata.get("ownerReferences"))]


def event_time(event: Mapping[str, Any]) -> str:
    """Return the time of the last occurrence of an event, in RFC 3339."""
    series = as_mapping(dict(event), "series")
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((each for each in map(as_text, times) if each), "") or as_text(
        as_mapping(dict(event), "metadata").get("creationTimestamp")
    )


def event_message(event: Mapping[str, Any]) -> str:
    """Return the message of an event, without the words that client-go adds to the message of several events."""
    return as_text(event.get("message")).removeprefix("(combined from similar events): ")


def event_attempt(event: Mapping[str, Any]) -> str:
    """Return a text that changes with each occurrence of an event."""
    count = as_mapping(dict(event), "series").get("count") or event.get("count")
    return f"{event_time(event)}/{count}"


def _segment(name: str) -> str:
    """Return a name as a segment of a path."""
    return quote_url(name, safe="", errors="replace")


def _query(**parameters: object) -> str:
    return urlencode(parameters, errors="replace")


def _core(namespace: str) -> str:
    return f"/api/v1/namespaces/{_segment(namespace)}"


def _sort_events(content: Mapping[str, Any], uid: str) -> list[dict[str, Any]]:
    events = [
        each for each in as_mappings(content.get("items")) if as_mapping(each, "involvedObject").get("uid") == uid
    ]
    return sorted(events, key=event_time, reverse=True)
