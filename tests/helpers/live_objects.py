"""Objects of a cluster, without the fields that differ from one run to the next."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

# Controllers create and delete these objects themselves, with generated names.
_DERIVED = {"Pod", "ReplicaSet", "ControllerRevision", "Endpoints", "EndpointSlice", "IPAddress", "Job", "PodMetrics"}
_CHANGING = {"uid", "creationTimestamp", "clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort"}
_CHANGING_ANNOTATIONS = {
    "deployment.kubernetes.io/revision",
    # Present only if a link's credentials have changed since its controller started.
    "multicluster-mesh/credentials-checksum",
    "mirror.linkerd.io/remote-resource-version",
}
_RELEASE_SECRET_TYPE = "helm.sh/release.v1"
_MASKS = {
    "<PEM>": re.compile(r"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----\s*", re.DOTALL),
    "<PEM in base64>": re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+"),
    "<sha256>": re.compile(r"\b[0-9a-f]{64}\b"),
    "<uid>": re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
    "<time>": re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
}


def normalize_objects(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a cluster's objects that must be equal after every run.

    Pods count per owner. A Helm release is reduced to the status of its newest revision, and a Secret to its keys.

    Args:
        objects: objects of `tests.helpers.stack_under_test.list_all_objects`.
    """
    normalized: dict[str, Any] = {}
    pods: Counter[str] = Counter()
    newest_revisions: dict[str, tuple[int, str]] = {}
    for key, item in objects.items():
        if item["kind"] == "Pod" and "deletionTimestamp" not in item["metadata"]:
            pods[_pod_owner(item)] += 1
        elif item.get("type") == _RELEASE_SECRET_TYPE:
            labels = item["metadata"]["labels"]
            release = f"release/{item['metadata']['namespace']}/{labels['name']}"
            newest_revisions[release] = max(
                newest_revisions.get(release, (0, "")), (int(labels["version"]), labels["status"])
            )
        elif item["kind"] not in _DERIVED:
            normalized[key] = _mask(item)
    normalized |= {f"pods of {owner}": number for owner, number in pods.items() if owner}
    return normalized | {release: status for release, (_, status) in newest_revisions.items()}


def diff_objects(expected: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Return one line per missing, extra or different object."""
    missing = [f"missing: {key}" for key in expected.keys() - live.keys()]
    extra = [f"extra: {key}" for key in live.keys() - expected.keys()]
    common = expected.keys() & live.keys()
    changed = [f"{key}{line}" for key in common for line in _diff_values("", expected[key], live[key])]
    return sorted([*missing, *extra, *changed])


def _diff_values(path: str, expected: Any, live: Any) -> list[str]:
    if isinstance(expected, dict) and isinstance(live, dict):
        keys = sorted(expected.keys() | live.keys())
        return [line for key in keys for line in _diff_values(f"{path}.{key}", expected.get(key), live.get(key))]
    return [] if expected == live else [f"{path}: {live!r}, expected {expected!r}"]


def _pod_owner(pod: Mapping[str, Any]) -> str:
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences", [])
    if any(owner["kind"] == "Job" for owner in owners):  # a CronJob starts its pods on its own schedule
        return ""
    name = owners[0]["name"] if owners else metadata["name"]
    template = metadata.get("labels", {}).get("pod-template-hash", "")
    return f"{metadata['namespace']}/{name.removesuffix(f'-{template}')}"


def _mask(value: Any) -> Any:
    if isinstance(value, dict):
        masked = {
            key: _mask(item_value) for key, item_value in value.items() if key not in _CHANGING | _CHANGING_ANNOTATIONS
        }
        if value.get("kind") == "Secret":
            masked["data"] = sorted(value.get("data", {}))
        if not masked.get("annotations", True):
            del masked["annotations"]
        return masked
    if isinstance(value, list):
        return [_mask(item) for item in value]
    if isinstance(value, str):
        for mask, pattern in _MASKS.items():
            value = pattern.sub(mask, value)
    return value
