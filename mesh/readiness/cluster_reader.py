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
_MAX_LOGS = 6
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
        self._is_reachable = True
        self._log_count = 0
        self._unread: list[str] = []

    def take_unread(self) -> tuple[str, ...]:
        """Return, and forget, descriptions of what could not be read since the last call."""
        unread, self._unread = tuple(dict.fromkeys(self._unread)), []
        return unread

    def list_pods(self, namespace: str, selector: str) -> list[dict[str, Any]] | None:
        """Return the pods with some labels, or None if they cannot be read."""
        path = f"{_core(namespace)}/pods?{urlencode({'labelSelector': selector, 'limit': _MAX_PODS})}"
        content = self._get(path, f"pods in namespace {namespace}")
        return None if content is None else as_mappings(content.get("items"))

    def list_replica_sets(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return the metadata of the ReplicaSets with some labels."""
        query = urlencode({"labelSelector": selector, "limit": _MAX_PODS})
        path = f"/apis/apps/v1/namespaces/{quote_url(namespace, safe='')}/replicasets?{query}"
        content = self._get(path, f"replicasets in namespace {namespace}", METADATA_LIST_MEDIA_TYPE)
        return as_mappings((content or {}).get("items"))

    def list_warnings(self, live: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the warning events of an object, the latest first."""
        metadata = as_mapping(dict(live), "metadata")
        namespace, uid = as_text(metadata.get("namespace")), as_text(metadata.get("uid"))
        if not namespace or not uid:
            return []
        query = urlencode({"fieldSelector": "type=Warning", "limit": _MAX_EVENTS})
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
        query = urlencode({"fieldSelector": f"involvedObject.uid={uid}", "limit": _MAX_EVENTS})
        content = self._get(f"{_core(namespace)}/events?{query}", f"events in namespace {namespace}") or {}
        return _sort_events(content, uid)

    def read_claim(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a PersistentVolumeClaim, or None if it does not exist or cannot be read."""
        path = f"{_core(namespace)}/persistentvolumeclaims/{quote_url(name, safe='')}"
        return self._get(path, f"PersistentVolumeClaim {namespace}/{name}")

    def read_node(self, name: str) -> dict[str, Any] | None:
        """Return a node, or None if it does not exist or cannot be read."""
        return self._get(f"/api/v1/nodes/{quote_url(name, safe='')}", f"Node {name}")

    def is_missing(self, node_name: str) -> bool:
        """Return whether a node does not exist."""
        path = f"/api/v1/nodes/{quote_url(node_name, safe='')}"
        return self.read_node(node_name) is None and path not in self._failures

    def read_log(self, pod: Mapping[str, Any], container: str, *, is_previous: bool) -> tuple[str, ...]:
        """Return the last lines of a container's log, or one line with the reason why there are none.

        Args:
            pod: the pod.
            container: name of the container.
            is_previous: whether the log is that of the container before its last restart.
        """
        if not self._with_logs or not self._is_reachable or self._log_count >= _MAX_LOGS:
            return ()
        self._log_count += 1
        metadata = as_mapping(dict(pod), "metadata")
        name, namespace = as_text(metadata.get("name")), as_text(metadata.get("namespace"))
        query = {"container": container, "tailLines": _READ_LOG_LINES}
        if is_previous:
            query["previous"] = "true"
        path = f"{_core(namespace)}/pods/{quote_url(name, safe='')}/log?{urlencode(query)}"
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
            if not self._is_reachable:
                self._failures[path] = f"{subject} (the API server does not respond)"
            else:
                try:
                    self._responses[path] = self._client.get(path, subject, accept)
                    return self._responses[path]
                except NotReadableError as error:
                    self._failures[path] = to_single_line(error)
                except KubeError as error:
                    self._is_reachable = False
                    self._failures[path] = f"{subject} ({quote(str(error), 200)})"
        self._unread.append(self._failures[path])
        return None


def event_time(event: Mapping[str, Any]) -> str:
    """Return the time of the last occurrence of an event, in RFC 3339."""
    series = as_mapping(dict(event), "series")
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((each for each in map(as_text, times) if each), "") or as_text(
        as_mapping(dict(event), "metadata").get("creationTimestamp")
    )


def event_attempt(event: Mapping[str, Any]) -> str:
    """Return a text that changes with each occurrence of an event."""
    count = as_mapping(dict(event), "series").get("count") or event.get("count")
    return f"{event_time(event)}/{count}"


def _core(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote_url(namespace, safe='')}"


def _sort_events(content: Mapping[str, Any], uid: str) -> list[dict[str, Any]]:
    events = [
        each for each in as_mappings(content.get("items")) if as_mapping(each, "involvedObject").get("uid") == uid
    ]
    return sorted(events, key=event_time, reverse=True)
