"""Lower bound of the measured times: a fast client that only applies or deletes given objects.

    python -m benchmarks.apply up|down <plan.json>

The plan contains for each cluster the API server, the credential files, and the objects with their paths. The client
sends several requests at a time on open connections, and looks nothing up. The order is the one that Kubernetes
requires: namespaces and CRDs first, ServiceAccounts before their tokens, a link's credentials after the token, and the
link's controller last.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import urllib3
import yaml

from mesh.kube.constants import REMOTE_KUBECONFIG_TYPE

_MAX_CONCURRENT_REQUESTS = 8  # per cluster
_WAIT_TIMEOUT_S = 60  # for objects that must exist first
_APPLY_HEADERS = {"Content-Type": "application/apply-patch+yaml"}
_FIRST_KINDS = ("Namespace", "CustomResourceDefinition")


class PlannedCluster:
    """One cluster of the plan, and the client of its API server."""

    def __init__(self, name: str, plan: dict[str, Any]) -> None:
        self.name = name
        self.objects: list[dict[str, Any]] = plan["objects"]
        self._pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            plan["port"],
            maxsize=_MAX_CONCURRENT_REQUESTS,
            ca_certs=plan["authority"],
            cert_file=plan["certificate"],
            key_file=plan["key"],
        )

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Send a request; return status and content of the response."""
        text = None if body is None else json.dumps(body)
        query = "?fieldManager=raw-apply&force=true" if method == "PATCH" else ""
        answer = self._pool.request(
            method, path + query, body=text, headers=_APPLY_HEADERS if body is not None else None
        )
        return answer.status, answer.json()

    def apply(self, planned: dict[str, Any]) -> None:
        """Apply an object; retry while an object that it needs does not exist yet."""

        def is_applied() -> bool:
            status, content = self.request("PATCH", planned["path"], planned["object"])
            if status not in (200, 201, 404, 409, 500):
                raise RuntimeError(f"{self.name}: {planned['path']}: {status} {content.get('message')}")
            return status in (200, 201)

        _wait_until(is_applied, f"{self.name}: {planned['path']}")

    def read_token(self, name: str, namespace: str) -> str:
        """Wait for the token of a Secret, and return it."""
        path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
        tokens: list[str] = []

        def has_token() -> bool:
            tokens[:] = [value for value in [(self.request("GET", path)[1].get("data") or {}).get("token")] if value]
            return bool(tokens)

        _wait_until(has_token, f"{self.name}: {path}")
        return base64.b64decode(tokens[0]).decode()


def apply_all(clusters: dict[str, PlannedCluster]) -> None:
    """Apply all objects."""
    for step in (_is_first, _is_account, _is_outside_links):
        _run_on_all(clusters, step, lambda cluster, planned: cluster.apply(planned))
    _run_on_all(
        clusters,
        _is_credentials,
        lambda cluster, planned: cluster.apply(_renew_credentials(clusters, cluster, planned)),
    )
    _run_on_all(clusters, _is_mirror, lambda cluster, planned: cluster.apply(planned))


def delete_all(clusters: dict[str, PlannedCluster]) -> None:
    """Delete all objects: controllers first, because they would re-create objects, then cluster-scoped objects."""
    for step in (_is_mirror, _is_cluster_scoped):
        _run_on_all(clusters, step, lambda cluster, planned: cluster.request("DELETE", planned["path"]))
    namespaces = [(c, f) for c in clusters.values() for f in c.objects if f["object"]["kind"] == "Namespace"]
    for cluster, namespace in namespaces:
        _wait_until(lambda c=cluster, f=namespace: c.request("GET", f["path"])[0] == 404, namespace["path"])  # type: ignore[misc]


def _run_on_all(
    clusters: dict[str, PlannedCluster],
    is_selected: Callable[[dict[str, Any]], bool],
    act: Callable[[PlannedCluster, dict[str, Any]], object],
) -> None:
    jobs = [
        (cluster, planned)
        for cluster in clusters.values()
        for planned in cluster.objects
        if is_selected(planned["object"])
    ]
    with ThreadPoolExecutor(max_workers=_MAX_CONCURRENT_REQUESTS * len(clusters)) as pool:
        for future in [pool.submit(act, *job) for job in jobs]:
            future.result()


def _is_first(item: dict[str, Any]) -> bool:
    return item["kind"] in _FIRST_KINDS


def _is_account(item: dict[str, Any]) -> bool:
    return bool(item["kind"] == "ServiceAccount")


def _is_credentials(item: dict[str, Any]) -> bool:
    return bool(item.get("type") == REMOTE_KUBECONFIG_TYPE)


def _is_mirror(item: dict[str, Any]) -> bool:
    return bool(item["kind"] == "Deployment" and item["metadata"]["name"].startswith("linkerd-service-mirror"))


def _is_outside_links(item: dict[str, Any]) -> bool:
    return not any(each(item) for each in (_is_first, _is_account, _is_credentials, _is_mirror))


def _is_cluster_scoped(item: dict[str, Any]) -> bool:
    return "namespace" not in item["metadata"]


def _renew_credentials(
    clusters: dict[str, PlannedCluster], source: PlannedCluster, planned: dict[str, Any]
) -> dict[str, Any]:
    """Return a link's credentials with the current token of its target."""
    item = planned["object"]
    content = yaml.safe_load(base64.b64decode(item["data"]["kubeconfig"]))
    target = clusters[content["current-context"]]
    name = f"linkerd-service-mirror-remote-access-{source.name}"
    content["users"][0]["user"]["token"] = target.read_token(name, "linkerd-multicluster")
    encoded = base64.b64encode(yaml.safe_dump(content).encode()).decode()
    return {**planned, "object": {**item, "data": {"kubeconfig": encoded}}}


def _wait_until(condition: Callable[[], bool], condition_name: str) -> None:
    deadline = time.monotonic() + _WAIT_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition_name}: not complete within {_WAIT_TIMEOUT_S} seconds")
        time.sleep(0.05)


def main(arguments: Sequence[str]) -> int:
    """Apply or delete the objects of a plan; return the exit code."""
    command, path = arguments
    plan = json.loads(Path(path).read_text())
    clusters = {name: PlannedCluster(name, entry) for name, entry in plan.items()}
    {"up": apply_all, "down": delete_all}[command](clusters)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
