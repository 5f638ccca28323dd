"""Kubeconfigs: a merged one for users, and one per component."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from hack.lab import allocation as identities
from hack.lab.allocation import ClusterAllocation
from hack.lab.pki import Pki
from hack.lab.state_dir import StateDir, write_atomically

LOOPBACK_PEERS = {"name": "multicluster-mesh.lab", "extension": {"loopbackPeers": True}}
"""Marks clusters whose peers are on this machine, so that a loopback address is valid for their API servers."""


def component_kubeconfig(pki: Pki, allocation: ClusterAllocation, component: str) -> str:
    """Return the kubeconfig of a component, with the component's client certificate."""
    return _render(
        [_cluster_entry(allocation.name, allocation.api_server, {"certificate-authority": str(pki.certificate("ca"))})],
        [
            {
                "name": allocation.name,
                "user": {
                    "client-certificate": str(pki.certificate(component)),
                    "client-key": str(pki.key(component)),
                },
            }
        ],
    )


def token_kubeconfig(pki: Pki, allocation: ClusterAllocation, token_file: Path) -> str:
    """Return the kubeconfig of a pod's process, with a token file that is read again after each renewal."""
    return _render(
        [_cluster_entry(allocation.name, allocation.api_server, {"certificate-authority": str(pki.certificate("ca"))})],
        [{"name": allocation.name, "user": {"tokenFile": str(token_file)}}],
    )


def write_merged(state_dir: StateDir) -> None:
    """Write one kubeconfig with a context for every cluster that has data, stopped ones included."""
    clusters, users = [], []
    for name in state_dir.known_clusters():
        allocation = identities.read_allocation(state_dir.cluster(name))
        pki = Pki(folder=state_dir.cluster(name) / "pki")
        if allocation is None or not (pki.folder / "complete").exists():
            continue
        authority = {
            "certificate-authority-data": _encode_file(pki.certificate("ca")),
            "extensions": [LOOPBACK_PEERS],
        }
        clusters.append(_cluster_entry(name, allocation.api_server, authority))
        users.append(
            {
                "name": name,
                "user": {
                    "client-certificate-data": _encode_file(pki.certificate("admin")),
                    "client-key-data": _encode_file(pki.key("admin")),
                },
            }
        )
    content = _render(clusters, users)
    if not state_dir.kubeconfig.exists() or state_dir.kubeconfig.read_text() != content:
        write_atomically(state_dir.kubeconfig, content)


def _cluster_entry(name: str, server: str, rest: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "cluster": {"server": server, **rest}}


def _render(clusters: Iterable[dict[str, Any]], users: Iterable[dict[str, Any]]) -> str:
    clusters = list(clusters)
    names = [cluster["name"] for cluster in clusters]
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "users": list(users),
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
        "current-context": names[0] if names else "",
    }
    # The round trip through JSON removes shared objects, for which YAML would write anchors: some readers refuse them.
    return yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False)


def _encode_file(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
