"""When a mesh is there: one look for every way to make it, cheap enough to be taken ten times a second.

Linkerd's own checks take seconds per cluster, so they are run once per way, after the clock has stopped. This look
stands for them: every Deployment is available, every mirror of the exported podinfo has endpoints, and every link's
gateway has answered its probe.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.environment import Environment
from hack.lab.api import ApiError

_EVERY = 0.1  # seconds
_ALIVE = re.compile(r'^gateway_alive\{.*target_cluster_name="([^"]+)".*\} 1$', re.MULTILINE)
_CONTROL_PLANE = ("linkerd-destination", "linkerd-identity", "linkerd-proxy-injector")


class NotReady(Exception):
    """The mesh did not come; the message says what was missing."""


@dataclass(frozen=True, kw_only=True)
class ExpectedMesh:
    """What is looked for: clusters that all export podinfo, and the targets of each."""

    targets: Mapping[str, Sequence[str]]
    namespace: str  # podinfo's
    name: str = "podinfo"


def wait(ground: Environment, wanted: ExpectedMesh, seconds: float) -> None:
    """Return as soon as the mesh is there.

    Raises:
        NotReady: it isn't within these seconds.
    """
    deadline = time.monotonic() + seconds
    missing = list(wanted.targets)
    while True:
        # A cluster that has come isn't asked again: the look shall cost little.
        said = {cluster: _missing(ground, cluster, wanted) for cluster in missing}
        missing = [cluster for cluster, what in said.items() if what]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise NotReady("; ".join(f"{cluster}: {what}" for cluster, what in said.items() if what))
        time.sleep(_EVERY)


def _missing(ground: Environment, cluster: str, wanted: ExpectedMesh) -> str:
    """What a cluster still lacks, in words, or nothing."""
    api, targets = ground.api(cluster), wanted.targets[cluster]
    try:
        deployments = api.get("/apis/apps/v1/deployments")["items"]
        available = {found["metadata"]["name"] for found in deployments if _available(found)}
        expected = {*_CONTROL_PLANE, "linkerd-gateway", wanted.name, *(f"linkerd-service-mirror-{t}" for t in targets)}
        if lacking := sorted(expected - available):
            return f"not available: {', '.join(lacking)}"
        for target in targets:
            endpoints = api.get(f"/api/v1/namespaces/{wanted.namespace}/endpoints/{wanted.name}-{target}")
            if not any(subset.get("addresses") for subset in endpoints.get("subsets") or ()):
                return f"{wanted.name}-{target} has no endpoints"
    except ApiError as error:
        return str(error)
    if dead := sorted({*targets} - _alive(ground, cluster)):
        return f"gateways not alive: {', '.join(dead)}"
    return ""


def _available(deployment: dict[str, object]) -> bool:
    status, spec, metadata = (deployment[key] for key in ("status", "spec", "metadata"))
    assert isinstance(status, dict) and isinstance(spec, dict) and isinstance(metadata, dict)
    seen = status.get("observedGeneration", 0) >= metadata["generation"]
    return bool(seen and status.get("availableReplicas", 0) >= spec.get("replicas", 1))


def _alive(ground: Environment, cluster: str) -> set[str]:
    """The targets whose gateways have answered, as the cluster's mirrors count it."""
    found: set[str] = set()
    for mirror in ground.home.read_status()["clusters"][cluster]["mirrors"]:
        if not mirror["metrics"]:
            continue
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{mirror['metrics']}/metrics", timeout=2) as page:
                found.update(_ALIVE.findall(page.read().decode()))
        except OSError:
            continue  # it is starting
    return found
