"""Cilium on one cluster, with all its peers in a ClusterMesh: one Helm release, and the certificates that it mounts.

Follows https://docs.cilium.io/en/stable/network/clustermesh/clustermesh/ and the chart's own values. The chart would
make certificates anew on each render; here each is made once, of one authority for all clusters, and is in a Secret of
the name that the chart mounts, so that no key is a Helm value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import helm_release
from components.linkerd.pki import Certificate, CertificateAuthority, GeneratedAuthority
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import create_tls_secret
from mesh import config
from mesh.config.models.cilium import CiliumConfig as CiliumSettings
from mesh.config.models.stack_file import LifetimesConfig
from mesh.config.network_types import is_ip
from mesh.config.validation.cilium import minor_version

NAMESPACE = "kube-system"
# A way to make certificates that the chart doesn't know, so that it makes none.
_PROVIDED_CERTIFICATES = {"auto": {"enabled": True, "method": "provided"}}
# From here on the chart says of its Service what only one that can be reached from outside may have.
EXTERNAL_ONLY_SERVICE_SINCE = (1, 16)
# From here on it lets somebody else make the Service.
EXTERNALLY_CREATED_SINCE = (1, 19)
# What the chart's own certificates are for, whatever the cluster.
_SERVER_NAME = "clustermesh-apiserver.cilium.io"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A cluster of the mesh, as the others know it."""

    name: str
    addresses: pulumi.Input[Sequence[str]]  # of its ClusterMesh API server: IPs, or one host name
    port: int


def peer_values(name: str, addresses: Sequence[str], port: int) -> dict[str, Any]:
    """What the chart is told of one peer.

    Args:
        name: the peer's.
        addresses: IPs, or else a host name, of which only the first counts.
        port: at which it is reached.
    """
    if addresses and all(is_ip(address) for address in addresses):
        # Cilium gives them a name below mesh.cilium.io, which is in the peer's certificate.
        return {"name": name, "port": port, "ips": list(addresses)}
    return {"name": name, "port": port, "address": addresses[0] if addresses else ""}


def _peer_values(peer: Peer, found: Sequence[Sequence[str]]) -> dict[str, Any]:
    return peer_values(peer.name, found[0], peer.port)


def cilium_values(
    cluster: config.ClusterSettings,
    cilium: CiliumSettings,
    peers: Sequence[pulumi.Input[Mapping[str, Any]]],
    *,
    linkerd: bool,
) -> dict[str, Any]:
    """The values of the cilium chart.

    Args:
        cluster: where it goes.
        cilium: what the stack file says of Cilium.
        peers: what the chart is told of each other cluster.
        linkerd: whether Linkerd runs there, too.
    """
    member = cluster.cilium
    assert member is not None
    apiserver: dict[str, Any] = {
        "service": _apiserver_service_values(member, cilium),
        # Each cluster's client is known by its own name.
        "tls": {**_PROVIDED_CERTIFICATES, "authMode": "cluster"},
    }
    if cilium.kvstoremesh is not None:
        apiserver["kvstoremesh"] = {"enabled": cilium.kvstoremesh}
    mesh: dict[str, Any] = {
        "useAPIServer": True,
        "config": {"enabled": True, "clusters": list(peers)},
        "apiserver": apiserver,
    }
    if cilium.max_connected_clusters > 255:
        mesh["maxConnectedClusters"] = cilium.max_connected_clusters
    hubble: dict[str, Any] = {"enabled": cilium.hubble is not None, "tls": _PROVIDED_CERTIFICATES}
    if cilium.hubble is not None:
        hubble["relay"] = {"enabled": cilium.hubble.relay}
    values: dict[str, Any] = {
        "cluster": {"id": member.id, "name": cluster.name},
        "clustermesh": mesh,
        "hubble": hubble,
        # Of the nodes' own networks, which differ; the chart's default is one network that all clusters would have.
        "ipam": {"mode": "kubernetes"},
    }
    if linkerd:
        # https://linkerd.io/2.14/reference/cluster-configuration/#cilium
        values |= {"cni": {"exclusive": False}, "socketLB": {"hostNamespaceOnly": True}}
    return config.merge_values(values, member.values)


def _apiserver_service_values(member: config.ClusterMeshMember, cilium: CiliumSettings) -> dict[str, Any]:
    """What the chart makes of its Service, beside which this program may make one of its own."""
    # Those of a load balancer are on a Service of this program's own.
    annotations = {"annotations": dict(member.annotations)} if member.annotations else {}
    if member.service == "NodePort":
        return {"type": "NodePort", "nodePort": cilium.node_port, **annotations}
    if minor_version(cilium.version) < EXTERNAL_ONLY_SERVICE_SINCE:
        return {"type": "ClusterIP", **(annotations if member.service == "ClusterIP" else {})}
    if member.service == "ClusterIP":
        return {"externallyCreated": True}
    # At any node port: a load balancer's Service is beside it.
    return {"type": "NodePort", "nodePort": 0}


class CiliumAuthority(pulumi.ComponentResource):
    """The one authority of a ClusterMesh.

    Args:
        lifetimes: how long it and what it signs are valid.
        opts: the usual resource options.
    """

    ca: CertificateAuthority
    lifetimes: LifetimesConfig

    def __init__(self, lifetimes: LifetimesConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("multicluster-mesh:index:CiliumAuthority", "cilium", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.lifetimes = lifetimes
        self.ca = GeneratedAuthority("cilium-ca", "Cilium CA", lifetimes.anchor, child).ca
        self.register_outputs({"certificate": self.ca.certificate, "expires": self.ca.expires})


class Cilium(pulumi.ComponentResource):
    """Cilium on one cluster.

    Args:
        cluster: where it goes.
        cilium: what the stack file says of Cilium.
        authority: who signs.
        own: the cluster, as the others know it.
        peers: the others.
        charts: where its chart comes from.
        linkerd: whether Linkerd runs there, too.
        before: what the chart expects to be there.
        opts: the usual resource options.
    """

    ready: pulumi.Resource  # what must be there before a pod has a network
    expires: pulumi.Output[str]  # RFC 3339: when the first of its certificates does

    def __init__(
        self,
        cluster: Cluster,
        cilium: CiliumSettings,
        authority: CiliumAuthority,
        own: Peer,
        peers: Sequence[Peer],
        charts: str,
        *,
        linkerd: bool,
        before: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-cilium"
        super().__init__("multicluster-mesh:index:Cilium", name, None, opts)
        child = cluster.options(self)
        secrets = self._secrets(cluster, cilium, authority, own, child)
        told = [pulumi.Output.all(peer.addresses).apply(partial(_peer_values, peer)) for peer in peers]
        self.ready = helm_release(
            name,
            cluster=cluster,
            name="cilium",
            namespace=NAMESPACE,
            chart="cilium",
            version=cilium.version,
            source=charts,
            values=cilium_values(cluster.settings, cilium, told, linkerd=linkerd),
            # Its pods mount the Secrets, which the chart doesn't name.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[*secrets, *before])),
        ).drift_repair
        self.register_outputs({})

    def _secrets(
        self,
        cluster: Cluster,
        cilium: CiliumSettings,
        authority: CiliumAuthority,
        own: Peer,
        opts: pulumi.ResourceOptions,
    ) -> list[pulumi.Resource]:
        hosts = pulumi.Output.all(addresses=own.addresses).apply(
            lambda found: [address for address in found["addresses"] if not is_ip(address)]
        )
        server = ["*.mesh.cilium.io", f"clustermesh-apiserver.{NAMESPACE}.svc", "localhost"]
        # The chart's own names, in the Secrets that its pods mount.
        wanted: dict[str, tuple[str, pulumi.Input[Sequence[str]]]] = {
            "clustermesh-apiserver-server-cert": (
                _SERVER_NAME,
                hosts.apply(lambda found: [_SERVER_NAME, *server, *found]),
            ),
            "clustermesh-apiserver-admin-cert": (f"admin-{cluster.name}", ["localhost"]),
            "clustermesh-apiserver-remote-cert": (f"remote-{cluster.name}", []),
            "clustermesh-apiserver-local-cert": (f"local-{cluster.name}", []),
        }
        if cilium.hubble is not None:
            grpc = f"*.{cluster.name}.hubble-grpc.cilium.io"
            wanted["hubble-server-certs"] = (grpc, [grpc])
            if cilium.hubble.relay:
                relay = "*.hubble-relay.cilium.io"
                wanted["hubble-relay-client-certs"] = (relay, [relay])
        # By which `cilium clustermesh` tells that two clusters have one authority; its key stays where it was made.
        made: list[pulumi.Resource] = [
            KubernetesObject(
                f"{cluster.name}-cilium-ca",
                "v1",
                "Secret",
                metadata=cluster.metadata("cilium-ca", namespace=NAMESPACE),
                stringData={"ca.crt": authority.ca.certificate},
                opts=opts,
            )
        ]
        ends: list[pulumi.Output[str]] = []
        for secret, (common_name, names) in wanted.items():
            certificate = Certificate(
                f"{cluster.name}-{secret}",
                authority.ca,
                common_name,
                hours=authority.lifetimes.issuer,
                renew_before=authority.lifetimes.renew_before,
                dns_names=names,
                ip_addresses=["127.0.0.1", "::1"] if common_name == _SERVER_NAME else [],
                client=True,
                opts=pulumi.ResourceOptions(parent=self),
            )
            ends.append(certificate.expires)
            made.append(
                create_tls_secret(
                    f"{cluster.name}-{secret}-secret",
                    cluster,
                    NAMESPACE,
                    secret,
                    certificate=certificate.certificate,
                    private_key=certificate.private_key,
                    ca=authority.ca.certificate,
                    opts=opts,
                )
            )
        # All in the same form and the same zone, so that the earliest comes first.
        self.expires = pulumi.Output.all(*ends).apply(min)
        return made
