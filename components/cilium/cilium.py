"""Cilium on one cluster of a ClusterMesh: one Helm release, and the certificates that its pods mount.

The chart would generate new certificates at each render. So this program creates them once, signed by one authority for
all clusters. The chart mounts the certificates from Secrets, so no key is a Helm value. Follows
https://docs.cilium.io/en/stable/network/clustermesh/clustermesh/ and the chart's own values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import create_helm_release
from components.linkerd.pki import Certificate, CertificateAuthority, GeneratedAuthority
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import create_tls_secret
from mesh import config
from mesh.config.models.cilium import CiliumConfig
from mesh.config.models.trust import LifetimesConfig
from mesh.config.network_types import is_ip
from mesh.config.validation.cilium import minor_version

NAMESPACE = "kube-system"
# The chart has no such method, so it generates no certificates.
_PROVIDED_CERTIFICATES = {"auto": {"enabled": True, "method": "provided"}}
# Since this version, the chart sets fields of its Service that a ClusterIP Service cannot have.
EXTERNAL_ONLY_SERVICE_SINCE = (1, 16)
# Since this version, the chart can leave out its Service.
EXTERNALLY_CREATED_SINCE = (1, 19)
# Common name of the chart's own server certificates; the same in every cluster.
_SERVER_NAME = "clustermesh-apiserver.cilium.io"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Name and address of a cluster, as its peers need them."""

    name: str
    addresses: pulumi.Input[Sequence[str]]  # IPs of the ClusterMesh API server, or one host name
    port: int


def peer_values(name: str, addresses: Sequence[str], port: int) -> dict[str, Any]:
    """Return the chart's values for one peer.

    Args:
        name: name of the peer.
        addresses: IPs, or host names, of which only the first is used.
        port: port of the peer's ClusterMesh API server.
    """
    if addresses and all(is_ip(address) for address in addresses):
        # Cilium maps IPs to a name below mesh.cilium.io, which is in the peer's certificate.
        return {"name": name, "port": port, "ips": list(addresses)}
    return {"name": name, "port": port, "address": addresses[0] if addresses else ""}


def _peer_values(peer: Peer, outputs: Sequence[Sequence[str]]) -> dict[str, Any]:
    return peer_values(peer.name, outputs[0], peer.port)


def cilium_values(
    cluster: config.ClusterSettings,
    cilium: CiliumConfig,
    peers: Sequence[pulumi.Input[Mapping[str, Any]]],
    *,
    has_linkerd: bool,
) -> dict[str, Any]:
    """Return the values of the cilium chart.

    Args:
        cluster: settings of the cluster.
        cilium: settings of Cilium.
        peers: values for each other cluster.
        has_linkerd: whether Linkerd also runs on the cluster.
    """
    member = cluster.cilium
    assert member is not None
    apiserver: dict[str, Any] = {
        "service": _apiserver_service_values(member, cilium),
        # Each cluster authenticates with a user name of its own.
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
        # Use the pod networks of the nodes, which differ. The chart's default is the same network in all clusters.
        "ipam": {"mode": "kubernetes"},
    }
    if has_linkerd:
        # https://linkerd.io/2.14/reference/cluster-configuration/#cilium
        values |= {"cni": {"exclusive": False}, "socketLB": {"hostNamespaceOnly": True}}
    return config.merge_values(values, member.values)


def _apiserver_service_values(member: config.ClusterMeshMember, cilium: CiliumConfig) -> dict[str, Any]:
    """Return the values of the chart's Service; this program can create a second one (see `clustermesh`)."""
    # With a load balancer, the annotations are on the program's own Service.
    annotations = {"annotations": dict(member.annotations)} if member.annotations else {}
    if member.service == "NodePort":
        return {"type": "NodePort", "nodePort": member.node_port or cilium.node_port, **annotations}
    if minor_version(cilium.version) < EXTERNAL_ONLY_SERVICE_SINCE:
        return {"type": "ClusterIP", **(annotations if member.service == "ClusterIP" else {})}
    if member.service == "ClusterIP":
        return {"externallyCreated": True}
    # The node port is arbitrary, because peers use the load balancer of the program's own Service.
    return {"type": "NodePort", "nodePort": 0}


class CiliumAuthority(pulumi.ComponentResource):
    """Certificate authority of a ClusterMesh.

    Args:
        lifetimes: lifetimes of the authority and of its certificates, in hours.
        opts: resource options.
    """

    ca: CertificateAuthority
    lifetimes: LifetimesConfig

    def __init__(self, lifetimes: LifetimesConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("multicluster-mesh:index:CiliumAuthority", "cilium", None, opts)
        child_options = pulumi.ResourceOptions(parent=self)
        self.lifetimes = lifetimes
        self.ca = GeneratedAuthority("cilium-ca", "Cilium CA", lifetimes.anchor, child_options).ca
        self.register_outputs({"certificate": self.ca.certificate, "expires": self.ca.expiry})


class Cilium(pulumi.ComponentResource):
    """Cilium on one cluster.

    Args:
        cluster: cluster to install Cilium on.
        cilium: settings of Cilium.
        authority: certificate authority of the ClusterMesh.
        own_peer: the cluster itself, as its peers need it.
        peers: the other clusters.
        charts: source of the chart.
        has_linkerd: whether Linkerd also runs on the cluster.
        services: Services that replace the chart's own.
        opts: resource options.
    """

    ready: pulumi.Resource  # a dependency of each resource that needs a pod network
    expiry: pulumi.Output[str]  # RFC 3339; the earliest of all certificates

    def __init__(
        self,
        cluster: Cluster,
        cilium: CiliumConfig,
        authority: CiliumAuthority,
        own_peer: Peer,
        peers: Sequence[Peer],
        charts: str,
        *,
        has_linkerd: bool,
        services: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-cilium"
        super().__init__("multicluster-mesh:index:Cilium", name, None, opts)
        child_options = cluster.options(self)
        secrets = self._create_secrets(cluster, cilium, authority, own_peer, child_options)
        peer_outputs = [pulumi.Output.all(peer.addresses).apply(partial(_peer_values, peer)) for peer in peers]
        self.ready = create_helm_release(
            name,
            cluster=cluster,
            name="cilium",
            namespace=NAMESPACE,
            chart="cilium",
            version=cilium.version,
            source=charts,
            values=cilium_values(cluster.settings, cilium, peer_outputs, has_linkerd=has_linkerd),
            # Hidden dependencies: the Secrets that the pods mount, and the Service that the chart leaves out.
            opts=pulumi.ResourceOptions.merge(child_options, pulumi.ResourceOptions(depends_on=[*secrets, *services])),
        ).ready
        self.register_outputs({})

    def _create_secrets(
        self,
        cluster: Cluster,
        cilium: CiliumConfig,
        authority: CiliumAuthority,
        own_peer: Peer,
        opts: pulumi.ResourceOptions,
    ) -> list[pulumi.Resource]:
        hosts = pulumi.Output.all(addresses=own_peer.addresses).apply(
            lambda outputs: [address for address in outputs["addresses"] if not is_ip(address)]
        )
        server_names = ["*.mesh.cilium.io", f"clustermesh-apiserver.{NAMESPACE}.svc", "localhost"]
        # The Secrets that the chart's pods mount, with the common names and DNS names of the chart's certificates.
        certificates: dict[str, tuple[str, pulumi.Input[Sequence[str]]]] = {
            "clustermesh-apiserver-server-cert": (
                _SERVER_NAME,
                hosts.apply(lambda host_names: [_SERVER_NAME, *server_names, *host_names]),
            ),
            "clustermesh-apiserver-admin-cert": (f"admin-{cluster.name}", ["localhost"]),
            "clustermesh-apiserver-remote-cert": (f"remote-{cluster.name}", []),
            "clustermesh-apiserver-local-cert": (f"local-{cluster.name}", []),
        }
        if cilium.hubble is not None:
            grpc = f"*.{cluster.name}.hubble-grpc.cilium.io"
            certificates["hubble-server-certs"] = (grpc, [grpc])
            if cilium.hubble.relay:
                relay = "*.hubble-relay.cilium.io"
                certificates["hubble-relay-client-certs"] = (relay, [relay])
        # `cilium clustermesh` compares this certificate between clusters. Its key exists in the stack state only.
        secrets: list[pulumi.Resource] = [
            KubernetesObject(
                f"{cluster.name}-cilium-ca",
                "v1",
                "Secret",
                metadata=cluster.metadata("cilium-ca", namespace=NAMESPACE),
                stringData={"ca.crt": authority.ca.certificate},
                opts=opts,
            )
        ]
        expiry: list[pulumi.Output[str]] = []
        for secret, (common_name, names) in certificates.items():
            certificate = Certificate(
                f"{cluster.name}-{secret}",
                authority.ca,
                common_name,
                hours=authority.lifetimes.issuer,
                renew_before=authority.lifetimes.renew_before,
                dns_names=names,
                ip_addresses=["127.0.0.1", "::1"] if common_name == _SERVER_NAME else [],
                is_client=True,
                opts=pulumi.ResourceOptions(parent=self),
            )
            expiry.append(certificate.expiry)
            secrets.append(
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
        # All timestamps have the same form and time zone, so the smallest string is the earliest.
        self.expiry = pulumi.Output.all(*expiry).apply(min)
        return secrets
