"""A stack with few defaults: private networks, custom names and a user's own trust anchor."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from hack.lab import allocation
from hack.lab.allocation import ClusterAllocation
from hack.lab.state_dir import StateDir
from tests.helpers.certificates import DAY, IssuedCertificate

# Context of each cluster in the lab; the names differ on purpose, except one.
CONTEXTS = {"private-1": "ctx-1", "edge": "west", "north": "north"}
IDENTITIES = {
    "private-1": "identity.linkerd.mesh.example",
    "edge": "identity.mesh-system.edge.example",
    "north": "identity.linkerd.mesh.example",
}
NAMESPACES = {"private-1": "linkerd", "edge": "mesh-system", "north": "linkerd"}
REGISTRY = "registry.example.com/l5d"
REGISTRY_PASSWORD = base64.b64encode(b"robot:known-to-nobody-but-this-test").decode()
PULL_SECRET = json.dumps({"auths": {"registry.example.com": {"auth": REGISTRY_PASSWORD}}})
NODES = {"kubernetes.io/arch": "amd64"}
TOLERATION = {"key": "dedicated", "operator": "Equal", "value": "mesh", "effect": "NoSchedule"}
NODE_PORTS = (30143, 30191)


def read_allocation(lab: StateDir, name: str) -> ClusterAllocation:
    """Return the ports and addresses that the lab allocated to a cluster of the stack."""
    cluster_allocation = allocation.read_allocation(lab.cluster(CONTEXTS[name]))
    assert cluster_allocation is not None
    return cluster_allocation


def kubeconfig_path(folder: Path) -> Path:
    """Return the path of the kubeconfig that the stack file names."""
    return folder / "private.kubeconfig"


def single_cluster_kubeconfig(lab: StateDir, name: str) -> dict[str, Any]:
    """Return a kubeconfig of one cluster, as `kubectl config view --raw --flatten --minify` prints it."""
    kubeconfig = yaml.safe_load(lab.kubeconfig.read_text())
    context = CONTEXTS[name]
    entries = {
        kind: [entry for entry in kubeconfig[kind] if entry["name"] == context]
        for kind in ("clusters", "users", "contexts")
    }
    return {**kubeconfig, **entries, "current-context": context}


def build_config(
    lab: StateDir, folder: Path, anchor: IssuedCertificate, issuers: dict[str, IssuedCertificate]
) -> dict[str, Any]:
    """Return the stack file's configuration without its secrets."""
    edge, north = read_allocation(lab, "edge"), read_allocation(lab, "north")
    return {
        "clusters": {
            # A source without a gateway, with its own kubeconfig file.
            "private-1": {
                "context": CONTEXTS["private-1"],
                "kubeconfig": str(kubeconfig_path(folder)),
                "gateway": False,
                "linkerd": {
                    "highAvailability": True,
                    "values": {
                        # The lab has no webhook servers.
                        "linkerd-control-plane": {
                            "webhookFailurePolicy": "Ignore",
                            "proxy": {"resources": {"memory": {"limit": "300Mi"}}},
                        },
                        "service-mirror": {"resources": {"requests": {"cpu": "10m"}}},
                    },
                },
            },
            # Reached at its nodes, through a proxy on port 443.
            "edge": {
                "context": CONTEXTS["edge"],
                "gateway": {
                    "nodePort": {"port": NODE_PORTS[0], "probePort": NODE_PORTS[1]},
                    "addresses": list(edge.node_addresses[:2]),
                    "port": 443,
                },
                "linkerd": {
                    "namespace": NAMESPACES["edge"],
                    "clusterDomain": "edge.local",
                    "trustDomain": "edge.example",
                    "cni": True,
                    "defaultInboundPolicy": "cluster-authenticated",
                },
            },
            # A load balancer with source ranges and a known address; the kubeconfig is a secret.
            "north": {
                "gateway": {
                    "loadBalancer": {
                        "annotations": {"lb.example.com/internal": "true"},
                        "sourceRanges": ["203.0.113.0/24", "198.51.100.0/24"],
                    },
                    "addresses": [north.load_balancer_address],
                },
                "linkerd": {
                    "imagePullSecrets": ["of-the-company"],
                    "values": {"linkerd-multicluster": {"gateway": {"probe": {"seconds": 5}}}},
                },
            },
        },
        "links": [
            {"source": "private-1", "target": "edge"},
            {"source": "private-1", "target": "north"},
            {"source": "north", "target": "edge", "gateway": False},
        ],
        "linkerd": {
            "version": "2.14.10",
            "trustDomain": "mesh.example",
            "defaultInboundPolicy": "deny",
            "nodeSelector": NODES,
            "tolerations": [TOLERATION],
            "registry": REGISTRY,
            "values": {"linkerd-control-plane": {"proxy": {"logLevel": "warn"}}},
        },
        "trust": {
            "anchor": {"certificate": anchor.pem},
            "issuers": {name: {"certificate": issuer.pem} for name, issuer in issuers.items()},
        },
        "workloads": [{"podinfo": {"namespace": "shop", "exported": ["edge", "north"]}}],
    }


def build_secrets(lab: StateDir, issuers: dict[str, IssuedCertificate]) -> dict[str, str]:
    """Return the secrets of the stack file by path."""
    return {
        **{f"trust.issuers.{name}.key": issuer.private_key for name, issuer in issuers.items()},
        "kubeconfigs.north": yaml.safe_dump(single_cluster_kubeconfig(lab, "north")),
        "imagePullSecret": PULL_SECRET,
    }


def create_trust() -> tuple[IssuedCertificate, dict[str, IssuedCertificate]]:
    """Return a trust anchor without its key in the stack, and an issuer per cluster."""
    now = datetime.now(UTC)
    anchor = IssuedCertificate(name="root.linkerd.mesh.example", begin=now - DAY, end=now + 3650 * DAY)
    issuers = {
        name: IssuedCertificate(name=common_name, signer=anchor, begin=now - DAY, end=now + 365 * DAY, path_length=0)
        for name, common_name in IDENTITIES.items()
    }
    return anchor, issuers
