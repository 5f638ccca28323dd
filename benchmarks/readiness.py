"""Readiness check of a mesh, the same for all contenders, and fast enough to run ten times a second.

The mesh is ready if every Deployment is available, every mirror of the exported podinfo has endpoints, and every link's
gateway has answered its probe. Linkerd's own checks take seconds per cluster, so they run once per contender, outside
the measured time.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.environment import Environment
from hack.lab.api import ApiError

_POLL_INTERVAL_S = 0.1  # seconds
_ALIVE = re.compile(r'^gateway_alive\{.*target_cluster_name="([^"]+)".*\} 1$', re.MULTILINE)
_CONTROL_PLANE = ("linkerd-destination", "linkerd-identity", "linkerd-proxy-injector")


class NotReadyError(Exception):
    """The mesh is not ready in time; the message contains the missing parts."""


@dataclass(frozen=True, kw_only=True)
class ExpectedMesh:
    """The expected mesh: clusters that all export podinfo, and the targets of each."""

    targets: Mapping[str, Sequence[str]]
    namespace: str  # namespace of podinfo
    name: str = "podinfo"


def wait_until_ready(lab: Environment, expected_mesh: ExpectedMesh, seconds: float) -> None:
    """Wait until the mesh is ready.

    Raises:
        NotReadyError: the mesh is not ready after this number of seconds.
    """
    deadline = time.monotonic() + seconds
    missing = list(expected_mesh.targets)
    while True:
        # A ready cluster is not checked again, to keep the check cheap.
        reasons = {cluster: _describe_missing(lab, cluster, expected_mesh) for cluster in missing}
        missing = [cluster for cluster, reason in reasons.items() if reason]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise NotReadyError("; ".join(f"{cluster}: {reason}" for cluster, reason in reasons.items() if reason))
        time.sleep(_POLL_INTERVAL_S)


def _describe_missing(lab: Environment, cluster: str, expected_mesh: ExpectedMesh) -> str:
    """Return a description of the parts that a cluster lacks, or an empty string."""
    api, targets = lab.api(cluster), expected_mesh.targets[cluster]
    try:
        deployments = api.get("/apis/apps/v1/deployments")["items"]
        available = {deployment["metadata"]["name"] for deployment in deployments if _is_available(deployment)}
        expected = {
            *_CONTROL_PLANE,
            "linkerd-gateway",
            expected_mesh.name,
            *(f"linkerd-service-mirror-{t}" for t in targets),
        }
        if missing_deployments := sorted(expected - available):
            return f"not available: {', '.join(missing_deployments)}"
        for target in targets:
            endpoints = api.get(f"/api/v1/namespaces/{expected_mesh.namespace}/endpoints/{expected_mesh.name}-{target}")
            if not any(subset.get("addresses") for subset in endpoints.get("subsets") or ()):
                return f"{expected_mesh.name}-{target} has no endpoints"
    except ApiError as error:
        return str(error)
    if dead := sorted({*targets} - _alive_gateways(lab, cluster)):
        return f"gateways not alive: {', '.join(dead)}"
    return ""


def _is_available(deployment: dict[str, object]) -> bool:
    status, spec, metadata = (deployment[key] for key in ("status", "spec", "metadata"))
    assert isinstance(status, dict) and isinstance(spec, dict) and isinstance(metadata, dict)
    is_observed = status.get("observedGeneration", 0) >= metadata["generation"]
    return bool(is_observed and status.get("availableReplicas", 0) >= spec.get("replicas", 1))


def _alive_gateways(lab: Environment, cluster: str) -> set[str]:
    """Return the targets whose gateways have answered a probe, from the metrics of the cluster's mirrors."""
    targets: set[str] = set()
    for mirror in lab.state_dir.read_status()["clusters"][cluster]["mirrors"]:
        if not mirror["metrics"]:
            continue
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{mirror['metrics']}/metrics", timeout=2) as page:
                targets.update(_ALIVE.findall(page.read().decode()))
        except OSError:
            continue  # the mirror is starting
    return targets
