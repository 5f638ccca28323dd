"""The floor: one fast client that applies objects as they are, or deletes them, and does nothing else.

    python -m benchmarks.apply up|down <plan.json>

The plan has, for each cluster, its API server, the files of its credentials, and its objects with their paths. Several
requests are under way at a time, on connections that stay open, and nothing is looked up. What Kubernetes itself wants
in an order comes in that order: namespaces and CRDs; accounts before their tokens; a link's credentials when there is a
token to make them of, and its controller after them.
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

_AT_ONCE = 8  # requests per cluster
_PATIENCE = 60  # seconds for what must come first
_APPLY = {"Content-Type": "application/apply-patch+yaml"}
_FIRST = ("Namespace", "CustomResourceDefinition")
_CREDENTIALS = "mirror.linkerd.io/remote-kubeconfig"


class PlannedCluster:
    """One cluster of the plan."""

    def __init__(self, name: str, plan: dict[str, Any]) -> None:
        self.name = name
        self.objects: list[dict[str, Any]] = plan["objects"]
        self._pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            plan["port"],
            maxsize=_AT_ONCE,
            ca_certs=plan["authority"],
            cert_file=plan["certificate"],
            key_file=plan["key"],
        )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and content of an answer."""
        text = None if body is None else json.dumps(body)
        query = "?fieldManager=floor&force=true" if method == "PATCH" else ""
        answer = self._pool.request(method, path + query, body=text, headers=_APPLY if body is not None else None)
        return answer.status, answer.json()

    def apply(self, found: dict[str, Any]) -> None:
        """Apply an object; again where what it needs is still on its way."""

        def applied() -> bool:
            status, content = self.ask("PATCH", found["path"], found["object"])
            if status not in (200, 201, 404, 409, 500):
                raise RuntimeError(f"{self.name}: {found['path']}: {status} {content.get('message')}")
            return status in (200, 201)

        _until(applied, f"{self.name}: {found['path']}")

    def token(self, name: str, namespace: str) -> str:
        """The token of a Secret, once there is one."""
        path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
        found: list[str] = []

        def there() -> bool:
            found[:] = [value for value in [(self.ask("GET", path)[1].get("data") or {}).get("token")] if value]
            return bool(found)

        _until(there, f"{self.name}: {path}")
        return base64.b64decode(found[0]).decode()


def up(clusters: dict[str, PlannedCluster]) -> None:
    """Apply everything."""
    for step in (_is_first, _is_account, _is_of_no_link):
        _on_all(clusters, step, lambda cluster, found: cluster.apply(found))
    _on_all(clusters, _is_credentials, lambda cluster, found: cluster.apply(_renewed(clusters, cluster, found)))
    _on_all(clusters, _is_mirror, lambda cluster, found: cluster.apply(found))


def down(clusters: dict[str, PlannedCluster]) -> None:
    """Delete everything: controllers first, so that they make nothing again, then namespaces and what is in none."""
    for step in (_is_mirror, _is_in_no_namespace):
        _on_all(clusters, step, lambda cluster, found: cluster.ask("DELETE", found["path"]))
    namespaces = [(c, f) for c in clusters.values() for f in c.objects if f["object"]["kind"] == "Namespace"]
    for cluster, found in namespaces:
        _until(lambda c=cluster, f=found: c.ask("GET", f["path"])[0] == 404, found["path"])  # type: ignore[misc]


def _on_all(
    clusters: dict[str, PlannedCluster],
    chosen: Callable[[dict[str, Any]], bool],
    act: Callable[[PlannedCluster, dict[str, Any]], object],
) -> None:
    jobs = [(cluster, found) for cluster in clusters.values() for found in cluster.objects if chosen(found["object"])]
    with ThreadPoolExecutor(max_workers=_AT_ONCE * len(clusters)) as pool:
        for done in [pool.submit(act, *job) for job in jobs]:
            done.result()


def _is_first(item: dict[str, Any]) -> bool:
    return item["kind"] in _FIRST


def _is_account(item: dict[str, Any]) -> bool:
    return bool(item["kind"] == "ServiceAccount")


def _is_credentials(item: dict[str, Any]) -> bool:
    return bool(item.get("type") == _CREDENTIALS)


def _is_mirror(item: dict[str, Any]) -> bool:
    return bool(item["kind"] == "Deployment" and item["metadata"]["name"].startswith("linkerd-service-mirror"))


def _is_of_no_link(item: dict[str, Any]) -> bool:
    return not any(each(item) for each in (_is_first, _is_account, _is_credentials, _is_mirror))


def _is_in_no_namespace(item: dict[str, Any]) -> bool:
    return "namespace" not in item["metadata"]


def _renewed(clusters: dict[str, PlannedCluster], source: PlannedCluster, found: dict[str, Any]) -> dict[str, Any]:
    """A link's credentials with the token that its target gives today."""
    item = found["object"]
    content = yaml.safe_load(base64.b64decode(item["data"]["kubeconfig"]))
    target = clusters[content["current-context"]]
    name = f"linkerd-service-mirror-remote-access-{source.name}"
    content["users"][0]["user"]["token"] = target.token(name, "linkerd-multicluster")
    encoded = base64.b64encode(yaml.safe_dump(content).encode()).decode()
    return {**found, "object": {**item, "data": {"kubeconfig": encoded}}}


def _until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {_PATIENCE} seconds")
        time.sleep(0.05)


def main(arguments: Sequence[str]) -> int:
    """Run a plan."""
    command, path = arguments
    plan = json.loads(Path(path).read_text())
    clusters = {name: PlannedCluster(name, found) for name, found in plan.items()}
    {"up": up, "down": down}[command](clusters)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
