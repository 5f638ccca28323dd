"""What is asked: what the stack file promises of a cluster, and of two that are linked without a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mesh.preflight.finding import Finding, Severity


@dataclass(frozen=True, kw_only=True)
class GatewayApiTarget:
    """What is asked about the Gateway API's CRDs."""

    brought_by: Literal["linkerd-crds", "manifest", "others"]
    served: tuple[tuple[str, str], ...]  # resource and API version of the routes that are needed
    oldest: str  # the versions that the chosen Linkerd supports
    newest: str


@dataclass(frozen=True, kw_only=True)
class CheckTarget:
    """What is asked about one cluster."""

    name: str  # as in the stack file
    server: str  # URL of its API server, for messages
    minimum: str  # the oldest Kubernetes that the chosen Linkerd supports, such as 1.21
    newest_tried: str  # the newest Kubernetes that it has been tried with, such as 1.36
    linkerd: str | None  # the release of Linkerd, for messages; None: there is to be none
    namespaces: tuple[str, ...]  # that the stack will own
    control_plane_namespace: str
    owner: str  # the field manager that this stack writes on its namespaces
    adopt: bool  # what others have made may be taken over
    trust_anchor: str | None  # PEM that the user brought
    load_balancer: bool  # one is promised for the gateway
    pod_networks: tuple[str, ...]  # CIDRs; if empty, they are read from the nodes
    service_networks: tuple[str, ...]
    cert_manager: bool  # it is to renew the issuer
    gateway_api: GatewayApiTarget | None = None  # None: it doesn't matter
    linkerd_tag: str | None = None  # what the chosen release of Linkerd calls itself, such as stable-2.14.10
    kinds: tuple[tuple[str, str], ...] = ()  # group and resource of what is made there beside Linkerd itself

    @property
    def path(self) -> str:
        """Where the stack file speaks of this cluster."""
        return f"clusters.{self.name}"

    def finding(
        self,
        rule: str,
        remedy: str,
        *,
        value: str | None = None,
        setting: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> Finding:
        """Something found in this cluster.

        Args:
            rule: what is wrong.
            remedy: what to do about it.
            value: what it was seen by; the server's URL if nothing says more.
            setting: the setting below the cluster's own that it is about.
            severity: how much it weighs.
        """
        path = self.path if setting is None else f"{self.path}.{setting}"
        return Finding(path=path, value=value or self.server, rule=rule, remedy=remedy, severity=severity)


@dataclass(frozen=True, kw_only=True)
class FlatNetworkLink:
    """Two clusters whose pods reach one another, by a link without a gateway: their networks must not overlap."""

    source: str
    target: str
    mesh: bool = False  # a ClusterMesh, and no link of Linkerd's
