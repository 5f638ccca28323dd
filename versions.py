"""Every chart and image that the program installs, pinned in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LinkerdRelease:
    """A release of Linkerd, and the versions of the charts that belong to it."""

    version: str  # as the stack file has it, such as 2.14.10
    crds: str
    control_plane: str
    multicluster: str
    cni: str
    viz: str | None  # None: this release has no such extension any more
    jaeger: str | None
    kubernetes: str  # the oldest Kubernetes that it runs on
    remote_discovery: bool  # its Link has a selector for services that are reached without a gateway
    mirror_lease: bool  # its service mirror elects a leader
    http_route: str  # the API version of the HTTPRoute by which it splits requests to a Service

    @property
    def tag(self) -> str:
        """The tag of its images, and the version that Linkerd itself reports."""
        return f"stable-{self.version}"


LINKERD: Mapping[str, LinkerdRelease] = {
    release.version: release
    for release in (
        LinkerdRelease(
            version="2.14.10",
            crds="1.8.0",
            control_plane="1.16.11",
            multicluster="30.11.11",
            cni="30.12.2",
            viz="30.12.11",
            jaeger="30.12.11",
            kubernetes="1.21",
            remote_discovery=True,
            mirror_lease=True,
            http_route="gateway.networking.k8s.io/v1beta1",
        ),
        LinkerdRelease(
            version="2.13.5",
            crds="1.6.1",
            control_plane="1.12.5",
            multicluster="30.7.5",
            cni="30.8.3",
            viz="30.8.5",
            jaeger="30.8.5",
            kubernetes="1.21",
            remote_discovery=False,
            mirror_lease=False,
            http_route="policy.linkerd.io/v1beta2",
        ),
    )
}
DEFAULT_LINKERD = "2.14.10"

# The newest Kubernetes that this program's tests run on.
KUBERNETES_TRIED = "1.36"

# Where each chart comes from, unless the stack file or $MULTICLUSTER_MESH_CHARTS says otherwise. Linkerd's stable
# repository has the last releases that Linkerd published itself.
LINKERD_CHARTS = "https://helm.linkerd.io/stable"
CHART_SOURCES: Mapping[str, str] = {
    "linkerd-smi": "https://linkerd.github.io/linkerd-smi",
    "cilium": "https://helm.cilium.io",
    "metallb": "https://metallb.github.io/metallb",
    "ingress-nginx": "https://kubernetes.github.io/ingress-nginx",
}

# Versions of the charts that have releases of their own; the stack file may choose others.
SMI = "1.0.1"  # linkerd-smi v0.2.1
METALLB = "0.14.9"
INGRESS_NGINX = "4.11.0"
CILIUM = "1.19.0"
GATEWAY_API = "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.4.0/standard-install.yaml"

# The samples' images, as the guides that they come from have them; where those name no tag, with one.
PODINFO_IMAGE = "ghcr.io/stefanprodan/podinfo:6.7.1"
NGINX_IMAGE = "nginx:alpine"
HELLOWORLD_IMAGE = "docker.io/istio/examples-helloworld-{}:1.0"  # v1, v2
CURL_IMAGE = "curlimages/curl:8.12.1"
BOOKSAPP_IMAGE = "ghcr.io/buoyantio/booksapp:v0.0.5"
BOOKSAPP_TRAFFIC_IMAGE = "ghcr.io/buoyantio/booksapp-traffic:v0.0.3"
USERLIST_IMAGE = "ssongman/userlist:v1"
EMOJIVOTO_IMAGE = "docker.l5d.io/buoyantio/emojivoto-{}:v11"
