"""A ClusterMesh: where the clusters reach one another, and Cilium on each with all others as its peers.

Where a load balancer gives the address, a Service of this program's own asks for it before Cilium is there: the chart's
Service would get it too late, each release needing the addresses of all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cilium.cilium import EXTERNALLY_CREATED_SINCE, NAMESPACE, Cilium, CiliumAuthority, Peer
from components.cluster import SKIP_AWAIT, Cluster
from components.sdk import load_balancer
from components.sdk.kubernetes_object import KubernetesObject
from mesh import config, stack_state
from mesh.config.resolved import ClusterMeshMember
from mesh.config.validation.cilium import minor_version
from mesh.kube import client as kube_client
from mesh.kube.errors import ApiStatusError, KubeError

# The Service by which a load balancer leads to the ClusterMesh API server.
PEER_SERVICE = "clustermesh-apiserver-peers"
CLUSTERMESH_OUTPUT = "clustermesh"
# Of a cluster's nodes, so many are told to the others.
MAX_NODE_ADDRESSES = 3
_SERVED = {
    "selector": {"k8s-app": "clustermesh-apiserver"},
    "ports": [{"name": "etcd", "port": 2379, "targetPort": 2379}],
}


class ClusterMesh(pulumi.ComponentResource):
    """Cilium on every cluster that can be reached, and one authority for all.

    Args:
        stack: the settings, which say that Cilium is wanted.
        clusters: all clusters.
        made: what the stack has made before, where a cluster can't be reached: its address is what it was.
        opts: the usual resource options.
    """

    authority: CiliumAuthority
    members: dict[str, Cilium]  # by cluster, those that can be reached
    peers: dict[str, Peer]  # by cluster, those whose address is known

    def __init__(
        self,
        stack: config.Settings,
        clusters: Mapping[str, Cluster],
        made: Sequence[stack_state.StateResource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("multicluster-mesh:index:ClusterMesh", "clustermesh", None, opts)
        assert stack.cilium is not None
        child = pulumi.ResourceOptions(parent=self)
        self.authority = CiliumAuthority(stack.trust.lifetimes, child)
        whole = next((resource for resource in made if resource.type == "pulumi:pulumi:Stack"), None)
        before = whole.outputs.get(CLUSTERMESH_OUTPUT) or {} if whole is not None else {}
        found = {name: _peer(cluster, before.get(name), self) for name, cluster in clusters.items()}
        self.peers = {name: peer for name, peer in found.items() if peer is not None}
        external = minor_version(stack.cilium.version) >= EXTERNALLY_CREATED_SINCE
        self.members = {
            name: Cilium(
                cluster,
                stack.cilium,
                self.authority,
                self.peers[name],
                # In an order that doesn't change when the stack file is sorted anew.
                [self.peers[other] for other in sorted(self.peers) if other != name],
                stack.charts["cilium"],
                linkerd=stack.linkerd,
                before=_cluster_ip_service(cluster, self) if external else [],
                opts=child,
            )
            for name, cluster in clusters.items()
            if cluster.settings.reachable
        }
        self.register_outputs({})


def _peer(cluster: Cluster, before: Mapping[str, Any] | None, parent: pulumi.Resource) -> Peer | None:
    """A cluster as the others know it; None for one that is away, and was never there.

    One that won't come back is as it was, too: only its removal from the stack file changes the others.
    """
    member = cluster.settings.cilium
    assert member is not None
    addresses: pulumi.Input[Sequence[str]] = member.addresses
    port = member.port
    if not cluster.settings.reachable:
        if not member.addresses:
            if not before or not before.get("addresses"):
                return None
            addresses, port = before["addresses"], int(before.get("port", port))
    elif member.service == "LoadBalancer":
        balanced = _load_balancer_addresses(cluster, member, parent)
        addresses = member.addresses or balanced
    elif not member.addresses:
        addresses = node_addresses(cluster)
    return Peer(name=cluster.name, addresses=addresses, port=port)


def _load_balancer_addresses(
    cluster: Cluster, member: ClusterMeshMember, parent: pulumi.Resource
) -> pulumi.Output[list[str]]:
    # Where the stack file says the addresses, nobody waits for them.
    annotations = {**(SKIP_AWAIT if member.addresses else {}), **member.annotations}
    service = KubernetesObject(
        f"{cluster.name}-{PEER_SERVICE}",
        "v1",
        "Service",
        metadata=cluster.metadata(PEER_SERVICE, namespace=NAMESPACE, annotations=annotations),
        spec={"type": "LoadBalancer", **_SERVED},
        # Without an address of each, none of the clusters could be told of the others.
        opts=pulumi.ResourceOptions.merge(
            cluster.options(parent),
            pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m")),
        ),
    )
    return pulumi.Output.all(service.status).apply(lambda found: load_balancer.load_balancer_addresses(found[0]))


def _cluster_ip_service(cluster: Cluster, parent: pulumi.Resource) -> list[pulumi.Resource]:
    """The Service of a cluster that is to have no other, where the chart can only make one for traffic from outside."""
    member = cluster.settings.cilium
    if member is None or member.service != "ClusterIP":
        return []
    service = KubernetesObject(
        f"{cluster.name}-clustermesh-apiserver",
        "v1",
        "Service",
        metadata=cluster.metadata(
            "clustermesh-apiserver",
            namespace=NAMESPACE,
            labels={"k8s-app": "clustermesh-apiserver"},
            # An older release may have made it, and would take it away.
            annotations={
                **SKIP_AWAIT,
                "pulumi.com/patchForce": "true",
                "helm.sh/resource-policy": "keep",
                **member.annotations,
            },
        ),
        spec={"type": "ClusterIP", **_SERVED},
        opts=cluster.options(parent),
    )
    return [service]


def node_addresses(cluster: Cluster) -> list[str]:
    """The addresses of the first nodes of a cluster by their names, which a node port is reached at.

    Raises:
        pulumi.RunError: nobody may look, or there are none.
    """
    path = f"clusters.{cluster.name}.cilium.addresses"
    remedy = "say there where the others reach it, or let its nodes be listed"
    try:
        nodes = kube_client.connect(cluster.access).list_objects("/api/v1/nodes")
    except KubeError as error:
        why = f"{error.status} {error.reason}" if isinstance(error, ApiStatusError) else str(error)
        raise pulumi.RunError(f"{path}: not set: its nodes can't be asked for theirs ({why}); {remedy}") from None
    found = {node["metadata"]["name"]: _internal_ip(node) for node in nodes}
    addresses = [address for _, address in sorted(found.items()) if address][:MAX_NODE_ADDRESSES]
    if not addresses:
        raise pulumi.RunError(f"{path}: not set: none of its nodes has an address; {remedy}")
    return addresses


def _internal_ip(node: Mapping[str, Any]) -> str | None:
    """A node's address; none of one that is going away, or has just come."""
    if node["metadata"].get("deletionTimestamp"):
        return None
    addresses = node.get("status", {}).get("addresses") or []
    return next((each["address"] for each in addresses if each["type"] == "InternalIP"), None)
