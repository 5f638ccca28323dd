"""Kubeconfigs: the merged one for people, and one per component."""

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
"""Says that the clusters' peers live on this machine, so that a loopback API server address is right for them."""


def for_component(pki: Pki, identity: ClusterAllocation, component: str) -> str:
    """A kubeconfig for a process of the cluster, by the client certificate of that name."""
    return _render(
        [_cluster(identity.name, identity.api_server, {"certificate-authority": str(pki.certificate("ca"))})],
        [
            {
                "name": identity.name,
                "user": {
                    "client-certificate": str(pki.certificate(component)),
                    "client-key": str(pki.key(component)),
                },
            }
        ],
    )


def for_token(pki: Pki, identity: ClusterAllocation, token_file: Path) -> str:
    """A kubeconfig for a process that plays a pod: its service account's token, read anew when it is renewed."""
    return _render(
        [_cluster(identity.name, identity.api_server, {"certificate-authority": str(pki.certificate("ca"))})],
        [{"name": identity.name, "user": {"tokenFile": str(token_file)}}],
    )


def write_merged(home: StateDir) -> None:
    """Write one kubeconfig with a context for every cluster that has data, stopped ones too: they may come back."""
    clusters, users = [], []
    for name in home.known_clusters():
        identity = identities.read(home.cluster(name))
        pki = Pki(folder=home.cluster(name) / "pki")
        if identity is None or not (pki.folder / "complete").exists():
            continue
        authority = {
            "certificate-authority-data": _base64(pki.certificate("ca")),
            "extensions": [LOOPBACK_PEERS],
        }
        clusters.append(_cluster(name, identity.api_server, authority))
        users.append(
            {
                "name": name,
                "user": {
                    "client-certificate-data": _base64(pki.certificate("admin")),
                    "client-key-data": _base64(pki.key("admin")),
                },
            }
        )
    content = _render(clusters, users)
    if not home.kubeconfig.exists() or home.kubeconfig.read_text() != content:
        write_atomically(home.kubeconfig, content)


def _cluster(name: str, server: str, rest: dict[str, Any]) -> dict[str, Any]:
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
    # Through JSON, so that no YAML anchors appear: not every reader follows them.
    return yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
