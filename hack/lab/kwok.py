"""What plays kubelets, nodes and load balancers: kwok, and the objects and stages it is given.

https://kwok.sigs.k8s.io/docs/user/stages-configuration/
"""

from pathlib import Path
from typing import Any

import yaml

from hack.lab.allocation import ClusterAllocation
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import write_atomically

KUBELET_PORT = 10250
"""The port that nodes claim for their kubelet; the egress proxy leads it to kwok."""

ADMIN_PORT = 9999
"""The port on which a service mirror's pod says that it serves metrics."""

_API_VERSION = "kwok.x-k8s.io/v1alpha1"
_NODE_ANNOTATION = "kwok.x-k8s.io/node"


def write_configuration(path: Path, identity: ClusterAllocation, stages: Path) -> None:
    """Write kwok's configuration: the stages that ship with it, our load balancer, and where port-forwards end."""
    documents: list[Any] = []
    for file in sorted(stages.rglob("*.yaml")):
        documents += [d for d in yaml.safe_load_all(file.read_text()) if d and d.get("kind") == "Stage"]
    if identity.load_balancer is not LoadBalancerKind.NONE:
        documents.append(load_balancer_stage(identity))
    documents.append(
        {
            "apiVersion": _API_VERSION,
            "kind": "ClusterPortForward",
            "metadata": {"name": "service-mirror-metrics"},
            "spec": {
                "forwards": [
                    {"ports": [ADMIN_PORT], "target": {"address": "127.0.0.1", "port": identity.ports.metrics}}
                ]
            },
        }
    )
    write_atomically(path, yaml.safe_dump_all(documents, sort_keys=False))


def load_balancer_stage(identity: ClusterAllocation) -> dict[str, Any]:
    """A load balancer like k3s's ServiceLB: every LoadBalancer Service gets the cluster's one address."""
    if identity.load_balancer is LoadBalancerKind.HOSTNAME:
        field, value = "hostname", identity.load_balancer_hostname
    else:
        field, value = "ip", identity.load_balancer_address
    return {
        "apiVersion": _API_VERSION,
        "kind": "Stage",
        "metadata": {"name": "service-load-balancer"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Service"},
            "selector": {
                "matchExpressions": [
                    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                    {"key": ".spec.type", "operator": "In", "values": ["LoadBalancer"]},
                    # A class means that the Service waits for another load balancer.
                    {"key": ".spec.loadBalancerClass", "operator": "DoesNotExist"},
                    {"key": f".status.loadBalancer.ingress.[].{field}", "operator": "NotIn", "values": [value]},
                ]
            },
            "next": {
                "statusTemplate": yaml.safe_dump({"loadBalancer": {"ingress": [{field: value}]}}, sort_keys=False)
            },
        },
    }


def arguments(configuration: Path, kubeconfig: Path, identity: ClusterAllocation, pki: Path) -> list[str]:
    """kwok's command line."""
    return [
        f"--config={configuration}",
        f"--kubeconfig={kubeconfig}",
        f"--manage-nodes-with-annotation-selector={_NODE_ANNOTATION}=fake",
        f"--cidr={identity.pod_cidr}",
        f"--node-ip={identity.node_addresses[0]}",
        f"--node-port={KUBELET_PORT}",
        f"--server-address=127.0.0.1:{identity.ports.kubelet}",
        f"--tls-cert-file={pki / 'kubelet.crt'}",
        f"--tls-private-key-file={pki / 'kubelet.key'}",
        # Renewed after a quarter of this: a lab that idles shall idle.
        "--node-lease-duration-seconds=240",
    ]


def nodes(identity: ClusterAllocation) -> list[dict[str, Any]]:
    """The fake nodes of a cluster, each in a zone of its own, with addresses and the kubelet's port from the start."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {_NODE_ANNOTATION: "fake", "node.alpha.kubernetes.io/ttl": "0"},
                "labels": {
                    "kubernetes.io/arch": "amd64",
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "topology.kubernetes.io/region": "lab",
                    "topology.kubernetes.io/zone": f"lab-{number + 1}",
                },
            },
            "spec": {
                "podCIDR": identity.node_pod_cidr(number),
                "podCIDRs": [identity.node_pod_cidr(number)],
                # As a cloud's nodes have one: what a preflight takes for the sign of a load balancer.
                **({} if identity.load_balancer is LoadBalancerKind.NONE else {"providerID": f"lab://{name}"}),
            },
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
            },
        }
        for number, (name, address) in enumerate(zip(identity.node_names, identity.node_addresses, strict=True))
    ]
