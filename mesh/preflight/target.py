"""Input of the checks: the properties that the stack file requires of a cluster, and of two linked clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mesh.kube.json_access import as_mapping
from mesh.preflight.declared_target import DeclaredTarget
from mesh.preflight.finding import Finding, Severity
from mesh.stack_identity import StackIdentity
from mesh.traffic_changes import LostGateway


@dataclass(frozen=True, kw_only=True)
class GatewayApiTarget:
    """Expected source and versions of the Gateway API's CRDs."""

    installed_by: Literal["linkerd-crds", "manifest", "others"]
    required_routes: tuple[tuple[str, str], ...]  # resource and API version of the required routes
    oldest: str  # the range of versions that the chosen Linkerd supports
    newest: str
    grpc_route: str | None = None  # API version of the GRPCRoute; None: Linkerd has none


@dataclass(frozen=True, kw_only=True)
class CiliumTarget:
    """Expected Cilium; its name is the cluster's."""

    id: int
    version: str  # version of the chart, such as 1.14.1
    max_connected_clusters: int
    has_own_image_tag: bool = False  # the tag of the agents' image is not the chart's version


@dataclass(frozen=True, kw_only=True)
class ReleaseTarget:
    """A Helm release that the stack will own, and objects by which an existing one is recognized."""

    name: str
    namespace: str
    account: str  # name of a ServiceAccount of the chart, or of the chart that needs this one
    cluster_object: str | None = None  # path of a cluster-scoped object whose name is the same in every namespace
    crd_groups: tuple[str, ...] = ()  # API groups of the chart's CRDs
    uninstall: str  # command that removes the objects if they were installed without Helm
    own_secret: str | None = None  # Secret of this stack, if the namespace belongs to others


@dataclass(frozen=True, kw_only=True)
class PlatformSoftware:
    """Software of the cluster's platform, which the stack would install a second time."""

    name: str
    namespace: str
    release: str
    crd_group: str | None = None  # API group of its CRDs
    ingress_controller: str | None = None  # controller of its IngressClasses
    ingress_class: str | None = None  # name of the IngressClass that it would create
    remedy: str  # the setting that uses the existing one


@dataclass(frozen=True, kw_only=True)
class CheckTarget:
    """One cluster and the properties to check."""

    name: str  # as in the stack file
    server: str  # URL of its API server, for messages
    minimum_kubernetes: str  # the oldest version that the chosen Linkerd supports, such as 1.21
    newest_tested_kubernetes: str  # the newest version that the chosen Linkerd names, such as 1.35
    linkerd: str | None  # version of Linkerd, for messages; None: no Linkerd
    namespaces: tuple[str, ...]  # namespaces that the stack will own
    control_plane_namespace: str
    identity: StackIdentity  # the stack and its clusters in the stack state
    adopt: bool  # whether to adopt objects of other owners
    trust_anchor: str | None  # the update's anchor, as PEM; None: the update generates one
    needs_load_balancer: bool  # for the gateway
    pod_networks: tuple[str, ...]  # CIDRs; empty: read from the nodes
    service_networks: tuple[str, ...]
    needs_cert_manager: bool  # to renew the issuer
    gateway_api: GatewayApiTarget | None = None  # None: not needed
    linkerd_tag: str | None = None  # tag of the chosen Linkerd release, such as stable-2.14.10
    trust_domain: str | None = None  # domain of Linkerd's identities; None: not checked
    cluster_domain: str | None = None  # domain of the cluster's DNS names; None: not checked
    cilium: CiliumTarget | None = None  # None: no Cilium
    renamed_from: str | None = None  # its name in the stack state
    replaces: str | None = None  # beginning of the UID of its predecessor
    sources: tuple[str, ...] = ()  # clusters that mirror its services
    unreachable_peers: tuple[str, ...] = ()  # unreachable clusters that it is linked with
    recorded_objects: tuple[Mapping[str, Any], ...] = ()  # objects of its predecessor in the stack state
    releases: tuple[ReleaseTarget, ...] = ()
    platform: tuple[PlatformSoftware, ...] = ()
    lost_gateways: tuple[LostGateway, ...] = ()  # gateways that no longer answer at the address in the cluster's links
    links: tuple[str, ...] | None = None  # targets of the cluster's links; None: no multicluster extension
    extra_resources: tuple[tuple[str, str], ...] = ()  # group and resource of objects besides Linkerd's own
    restarts_workloads: bool = False  # whether the update restarts workloads of other owners
    declared: DeclaredTarget = field(default_factory=DeclaredTarget)

    @property
    def path(self) -> str:
        """Return the path of this cluster in the stack file."""
        return f"clusters.{self.name}"

    def owns(self, live: Mapping[str, Any]) -> bool:
        """Return whether a live namespace belongs to the stack."""
        return self.identity.owns(as_mapping(live.get("metadata")), self.identity.find(self.name, self.renamed_from))

    def finding(
        self,
        rule: str,
        remedy: str,
        *,
        value: str | None = None,
        setting: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> Finding:
        """Return a finding about this cluster.

        Args:
            rule: the rule that the cluster breaks.
            remedy: an instruction, which begins with a verb.
            value: the value that breaks the rule; the server's URL by default.
            setting: path of the setting below the cluster's own, if there is one.
            severity: severity of the finding.
        """
        path = self.path if setting is None else f"{self.path}.{setting}"
        return Finding(path=path, value=value or self.server, rule=rule, remedy=remedy, severity=severity)


@dataclass(frozen=True, kw_only=True)
class FlatNetworkLink:
    """Two clusters whose pods connect directly, so that their networks must not overlap."""

    source: str
    target: str
    is_clustermesh: bool = False  # False: a link without a gateway
