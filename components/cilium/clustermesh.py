"""ClusterMesh: the address of each cluster, and Cilium on each with all others as its peers.

Each Helm release needs the addresses of all other clusters. The chart's own Service would get the address of a load
balancer too late. So this program creates a LoadBalancer Service before it installs Cilium.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cilium.cilium import EXTERNALLY_CREATED_SINCE, NAMESPACE, Cilium, CiliumAuthority, Peer
from components.cluster import SKIP_AWAIT, Cluster
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.load_balancer import load_balancer_addresses
from mesh import config, stack_state
from mesh.config.resolved import ClusterMeshMember
from mesh.config.validation.cilium import minor_version
from mesh.kube import client as kube_client
from mesh.kube.constants import RESOURCE_POLICY_ANNOTATION
from mesh.kube.errors import ApiStatusError, KubeError
from mesh.pulumi_constants import STACK_TYPE

# LoadBalancer Service of the ClusterMesh API server.
PEER_SERVICE = "clustermesh-apiserver-peers"
CLUSTERMESH_OUTPUT = "clustermesh"
# Peers get the addresses of at most this many nodes per cluster.
MAX_NODE_ADDRESSES = 3
_APISERVER_SERVICE_SPEC = {
    "selector": {"k8s-app": "clustermesh-apiserver"},
    "ports": [{"name": "etcd", "port": 2379, "targetPort": 2379}],
}


class ClusterMesh(pulumi.ComponentResource):
    """Cilium on every reachable cluster, and one authority for all.

    Args:
        stack: settings of the stack; they enable Cilium.
        clusters: all clusters, by name.
        state: resources of the stack state, for the addresses of unreachable clusters.
        opts: resource options.
    """

    authority: CiliumAuthority
    members: dict[str, Cilium]  # by name, the reachable clusters
    peers: dict[str, Peer]  # by name, the clusters with a known address

    def __init__(
        self,
        stack: config.Settings,
        clusters: Mapping[str, Cluster],
        state: Sequence[stack_state.StateResource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("multicluster-mesh:index:ClusterMesh", "clustermesh", None, opts)
        assert stack.cilium is not None
        child_options = pulumi.ResourceOptions(parent=self)
        self.authority = CiliumAuthority(stack.trust.lifetimes, child_options)
        stack_resource = next((resource for resource in state if resource.type == STACK_TYPE), None)
        former = stack_resource.outputs.get(CLUSTERMESH_OUTPUT) or {} if stack_resource is not None else {}
        peers = {name: _resolve_peer(cluster, former.get(name), self) for name, cluster in clusters.items()}
        self.peers = {name: peer for name, peer in peers.items() if peer is not None}
        can_replace_service = minor_version(stack.cilium.version) >= EXTERNALLY_CREATED_SINCE
        self.members = {
            name: Cilium(
                cluster,
                stack.cilium,
                self.authority,
                self.peers[name],
                # Sorted, so that the order of the stack file does not matter.
                [self.peers[other] for other in sorted(self.peers) if other != name],
                stack.charts["cilium"],
                has_linkerd=stack.has_linkerd,
                services=_create_cluster_ip_service(cluster, self) if can_replace_service else [],
                opts=child_options,
            )
            for name, cluster in clusters.items()
            if cluster.settings.reachable
        }
        self.register_outputs({})


def _resolve_peer(cluster: Cluster, former: Mapping[str, Any] | None, parent: pulumi.Resource) -> Peer | None:
    """Return a cluster with its addresses; None for an unreachable cluster without known addresses.

    An unreachable or abandoned cluster keeps its former addresses. Only its removal from the stack file changes the
    other clusters.

    Args:
        cluster: the cluster.
        former: the cluster's part of the stack output, from the stack state.
        parent: the ClusterMesh.
    """
    member = cluster.settings.cilium
    assert member is not None
    addresses: pulumi.Input[Sequence[str]] = member.addresses
    port = member.port
    if not cluster.settings.reachable:
        former_addresses = list((former or {}).get("addresses") or ())
        if not member.addresses and not former_addresses:
            return None
        # Without a port in the stack file, the cluster is still at the port that it was deployed with.
        if not member.addresses or (list(member.addresses) == former_addresses and port == member.node_port):
            port = int((former or {}).get("port", port))
        addresses = member.addresses or former_addresses
    elif member.service == "LoadBalancer":
        service_addresses = _create_load_balancer(cluster, member, parent)
        addresses = member.addresses or service_addresses
    elif not member.addresses:
        addresses = read_node_addresses(cluster)
    return Peer(name=cluster.name, addresses=addresses, port=port)


def _create_load_balancer(
    cluster: Cluster, member: ClusterMeshMember, parent: pulumi.Resource
) -> pulumi.Output[list[str]]:
    # If the stack file sets the addresses, the Service's own are not needed.
    annotations = {**(SKIP_AWAIT if member.addresses else {}), **member.annotations}
    limit = f"{cluster.settings.timeouts.ready}s"
    service = KubernetesObject(
        f"{cluster.name}-{PEER_SERVICE}",
        "v1",
        "Service",
        metadata=cluster.metadata(PEER_SERVICE, namespace=NAMESPACE, annotations=annotations),
        spec={"type": "LoadBalancer", **_APISERVER_SERVICE_SPEC},
        # Every release needs this address, so without a load balancer `up` fails.
        opts=pulumi.ResourceOptions.merge(
            cluster.options(parent),
            pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create=limit, update=limit)),
        ),
    )
    return pulumi.Output.all(service.status).apply(lambda outputs: load_balancer_addresses(outputs[0]))


def _create_cluster_ip_service(cluster: Cluster, parent: pulumi.Resource) -> list[pulumi.Resource]:
    """Create the ClusterIP Service that the chart itself no longer supports, if the settings require it."""
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
            # An older chart may have created the Service. The annotations prevent Helm from deleting it.
            annotations={
                **SKIP_AWAIT,
                "pulumi.com/patchForce": "true",
                RESOURCE_POLICY_ANNOTATION: "keep",
                **member.annotations,
            },
        ),
        spec={"type": "ClusterIP", **_APISERVER_SERVICE_SPEC},
        opts=cluster.options(parent),
    )
    return [service]


def read_node_addresses(cluster: Cluster) -> list[str]:
    """Return the internal addresses of a cluster's first nodes, sorted by the nodes' names.

    Raises:
        pulumi.RunError: the nodes cannot be listed, or have no addresses.
    """
    path = f"clusters.{cluster.name}.cilium.addresses"
    remedy = "set the addresses at which other clusters reach it, or grant the right to list nodes"
    try:
        nodes = kube_client.connect(cluster.access).list_objects("/api/v1/nodes")
    except KubeError as error:
        why = f"{error.status} {error.reason}" if isinstance(error, ApiStatusError) else str(error)
        raise pulumi.RunError(f"{path}: not set: the nodes cannot be listed ({why}); {remedy}") from None
    by_node = {node["metadata"]["name"]: _internal_ip(node) for node in nodes}
    addresses = [address for _, address in sorted(by_node.items()) if address][:MAX_NODE_ADDRESSES]
    if not addresses:
        raise pulumi.RunError(f"{path}: not set: no node has an internal address; {remedy}")
    return addresses


def _internal_ip(node: Mapping[str, Any]) -> str | None:
    """Return a node's internal address; None if the node is Terminating or has none yet."""
    if node["metadata"].get("deletionTimestamp"):
        return None
    addresses = node.get("status", {}).get("addresses") or []
    return next((each["address"] for each in addresses if each["type"] == "InternalIP"), None)
