"""What a mesh has made in a cluster, without what differs from one run to the next."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

# What is derived from other objects: it comes and goes by itself, under names that nobody chooses.
_DERIVED = {"Pod", "ReplicaSet", "ControllerRevision", "Endpoints", "EndpointSlice", "IPAddress", "Job", "PodMetrics"}
_CHANGING = {"uid", "creationTimestamp", "clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort"}
_CHANGING_ANNOTATIONS = {
    "deployment.kubernetes.io/revision",
    # Only where a link's credentials have changed since its controller started.
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
    """What must be the same after every run, however it went.

    Of what Kubernetes derives, that is how many pods run for whom; of a Helm release, the status of its newest record;
    of a Secret, its keys.

    Args:
        objects: of `tests.deployment.everything`.
    """
    found: dict[str, Any] = {}
    pods: Counter[str] = Counter()
    newest: dict[str, tuple[int, str]] = {}
    for key, item in objects.items():
        if item["kind"] == "Pod" and "deletionTimestamp" not in item["metadata"]:
            pods[_pod_owner(item)] += 1
        elif item.get("type") == _RELEASE_SECRET_TYPE:
            labels = item["metadata"]["labels"]
            release = f"release/{item['metadata']['namespace']}/{labels['name']}"
            newest[release] = max(newest.get(release, (0, "")), (int(labels["version"]), labels["status"]))
        elif item["kind"] not in _DERIVED:
            found[key] = _mask(item)
    found |= {f"pods of {owner}": number for owner, number in pods.items() if owner}
    return found | {release: status for release, (_, status) in newest.items()}


def diff_objects(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What is missing, too much, or otherwise than wanted, one line for each."""
    missing = [f"missing: {key}" for key in wanted.keys() - found.keys()]
    more = [f"too much: {key}" for key in found.keys() - wanted.keys()]
    both = wanted.keys() & found.keys()
    other = [f"{key}{line}" for key in both for line in _diff_values("", wanted[key], found[key])]
    return sorted([*missing, *more, *other])


def _diff_values(path: str, wanted: Any, found: Any) -> list[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = sorted(wanted.keys() | found.keys())
        return [line for key in keys for line in _diff_values(f"{path}.{key}", wanted.get(key), found.get(key))]
    return [] if wanted == found else [f"{path}: {found!r} in place of {wanted!r}"]


def _pod_owner(pod: Mapping[str, Any]) -> str:
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences", [])
    if any(owner["kind"] == "Job" for owner in owners):  # of a CronJob, at its own times
        return ""
    name = owners[0]["name"] if owners else metadata["name"]
    template = metadata.get("labels", {}).get("pod-template-hash", "")
    return f"{metadata['namespace']}/{name.removesuffix(f'-{template}')}"


def _mask(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _mask(found) for key, found in value.items() if key not in _CHANGING | _CHANGING_ANNOTATIONS}
        if value.get("kind") == "Secret":
            kept["data"] = sorted(value.get("data", {}))
        if not kept.get("annotations", True):
            del kept["annotations"]
        return kept
    if isinstance(value, list):
        return [_mask(item) for item in value]
    if isinstance(value, str):
        for mask, pattern in _MASKS.items():
            value = pattern.sub(mask, value)
    return value
