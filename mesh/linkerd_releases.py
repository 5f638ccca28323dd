"""Every chart and image that the program installs, pinned in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class LinkerdRelease:
    """A release of Linkerd: the versions of its charts, and what differs from one release to the next."""

    version: str  # as the stack file has it, without the channel: 2.14.10, 2.18, edge-25.4.4
    tag: str  # of its images, and what Linkerd itself reports
    crds: str
    control_plane: str
    multicluster: str
    cni: str
    viz: str | None  # None: this release has no such extension any more
    jaeger: str | None
    kubernetes: str  # the oldest Kubernetes that it runs on
    newest_kubernetes: str  # the newest that Linkerd itself names for it
    remote_discovery: bool  # its Link has a selector for services that are reached without a gateway
    federation: bool  # and one for services that join a federated service
    excluded_metadata: bool  # and lists of labels and annotations that mirrors don't get
    probe_threshold: bool  # and, for the probe, a timeout and a number of failures
    link_api: str  # the API version of its Link
    link_controllers: (
        bool  # `controllers` of linkerd-multicluster mirror a link's services; else a release of their own
    )
    link_status: bool  # the service mirror reports to its Link, and needs the right to
    mirror_lease: bool  # its service mirror elects a leader
    http_route: str  # the API version of the HTTPRoute by which it splits requests to a Service
    grpc_route: str | None  # and of the GRPCRoute
    route_annotations: bool  # retries and timeouts of both are annotations of theirs
    gateway_api: str | None  # the version of the Gateway API that goes with it; None: it knows none
    gateway_api_range: tuple[str, str] | None  # the oldest and the newest that Linkerd itself names for it
    # The values of linkerd-crds that say whether it brings the Gateway API's CRDs: the first one of most, or of all.
    gateway_api_values: tuple[str, ...]
    gateway_api_opt_in: bool  # it must be told to bring them
    gateway_api_crds_retained: bool  # Helm leaves those that it brought behind
    namespace_metadata_value: bool  # charts have a value that leaves out the Job which labels their namespaces
    smi_deprecated: bool  # TrafficSplits still work, and Linkerd advises against them
    known: bool = True  # False: nothing is known but its charts; it is taken for the newest generation

    @property
    def channel(self) -> str:
        """The kind of release: stable, edge, or another one's."""
        return self.tag.partition("-")[0]

    @property
    def gateway_api_manifest(self) -> str | None:
        """Where the Gateway API's own project has its CRDs, in the version that goes with this release."""
        if self.gateway_api is None:
            return None
        # The standard channel has never served the alpha of the GRPCRoute.
        alpha = self.grpc_route is not None and "alpha" in self.grpc_route
        return gateway_api_manifest(self.gateway_api, "experimental" if alpha else "standard")


# Stable releases of Linkerd itself ended with 2.14.10: crds, control plane, multicluster, CNI, viz and jaeger.
_STABLE_CHARTS: Mapping[str, tuple[str, str, str, str, str, str]] = {
    "2.14.10": ("1.8.0", "1.16.11", "30.11.11", "30.12.2", "30.12.11", "30.12.11"),
    "2.14.9": ("1.8.0", "1.16.10", "30.11.10", "30.12.2", "30.12.10", "30.12.10"),
    "2.14.8": ("1.8.0", "1.16.9", "30.11.9", "30.12.1", "30.12.9", "30.12.9"),
    "2.14.7": ("1.8.0", "1.16.8", "30.11.8", "30.12.1", "30.12.8", "30.12.8"),
    "2.14.6": ("1.8.0", "1.16.7", "30.11.7", "30.12.1", "30.12.7", "30.12.7"),
    "2.14.5": ("1.8.0", "1.16.6", "30.11.6", "30.12.1", "30.12.6", "30.12.6"),
    "2.14.4": ("1.8.0", "1.16.5", "30.11.5", "30.12.1", "30.12.5", "30.12.5"),
    "2.14.3": ("1.8.0", "1.16.4", "30.11.4", "30.12.1", "30.12.4", "30.12.4"),
    "2.14.2": ("1.8.0", "1.16.3", "30.11.3", "30.12.1", "30.12.3", "30.12.3"),
    "2.14.1": ("1.8.0", "1.16.2", "30.11.2", "30.12.1", "30.12.2", "30.12.2"),
    "2.14.0": ("1.8.0", "1.15.0", "30.10.0", "30.11.0", "30.11.0", "30.11.0"),
    "2.13.7": ("1.6.1", "1.12.7", "30.7.7", "30.8.5", "30.8.7", "30.8.7"),
    "2.13.6": ("1.6.1", "1.12.6", "30.7.6", "30.8.4", "30.8.6", "30.8.6"),
    "2.13.5": ("1.6.1", "1.12.5", "30.7.5", "30.8.3", "30.8.5", "30.8.5"),
    "2.13.4": ("1.6.1", "1.12.4", "30.7.4", "30.8.3", "30.8.4", "30.8.4"),
    "2.13.3": ("1.6.1", "1.12.3", "30.7.3", "30.8.3", "30.8.3", "30.8.3"),
    "2.13.2": ("1.6.1", "1.12.2", "30.7.2", "30.8.2", "30.8.2", "30.8.2"),
    "2.13.1": ("1.6.0", "1.12.1", "30.7.1", "30.8.1", "30.8.1", "30.8.1"),
    "2.13.0": ("1.6.0", "1.12.0", "30.7.0", "30.8.0", "30.8.0", "30.8.0"),
}

Edge = tuple[int, int, int]  # year (of two digits), month, number in the month

# Since then a version of Linkerd is a milestone of its edge releases, and names one: https://linkerd.io/releases/.
EDGE_MILESTONES: Mapping[str, Edge] = {
    "2.15": (24, 2, 4),
    "2.16": (24, 8, 2),
    "2.17": (24, 11, 8),
    "2.18": (25, 4, 4),
    "2.19": (25, 10, 7),
    "2.20": (26, 6, 3),
}
# The first edge release that this program takes, and the newest that it was tried with.
OLDEST_EDGE: Edge = (24, 1, 1)
NEWEST_TESTED_EDGE: Edge = (26, 8, 3)
# What https://linkerd.io/2/reference/k8s-versions/ says is the newest Kubernetes for each.
_NEWEST_KUBERNETES: Mapping[str, str] = {
    "2.13": "1.28",
    "2.14": "1.28",
    "2.15": "1.29",
    "2.16": "1.29",
    "2.17": "1.31",
    "2.18": "1.32",
    "2.19": "1.35",
    "2.20": "1.35",
}
DEFAULT_LINKERD_VERSION = "2.14.10"

_EDGE_NAME = re.compile(r"(?:edge-|20)(\d\d)\.(\d{1,2})\.(\d{1,3})")


def linkerd_release(version: str) -> LinkerdRelease | None:
    """The release of a name such as `2.14.10`, `2.18`, `edge-25.4.4` or `2025.4.4`; None for one that isn't known.

    Args:
        version: the name; a channel before it, as in `stable-2.14.10` or `version-2.18`, makes no difference.
    """
    plain = version.removeprefix("stable-")
    if plain in _STABLE_CHARTS:
        return _stable_release(plain)
    announced = EDGE_MILESTONES.get(version.removeprefix("version-"))
    if announced is not None:
        return _edge_release(version.removeprefix("version-"), announced)
    named = parse_edge(version)
    return _edge_release(version, named) if named is not None and named >= OLDEST_EDGE else None


def unknown_release(version: str, tag: str, charts: Mapping[str, str]) -> LinkerdRelease:
    """A release of which a chart source has charts, and nothing else is known: as if it came after all others.

    Args:
        version: its name in the stack file.
        tag: of its images.
        charts: the versions of its charts, by their names.
    """
    found = replace(_edge_release(version, NEWEST_TESTED_EDGE), tag=tag, known=False)
    return with_chart_versions(found, charts)


def with_chart_versions(release: LinkerdRelease, charts: Mapping[str, str]) -> LinkerdRelease:
    """The same release with other versions of its charts.

    Args:
        release: the release.
        charts: the versions of its charts, by their names.
    """
    return replace(
        release,
        crds=charts["linkerd-crds"],
        control_plane=charts["linkerd-control-plane"],
        multicluster=charts.get("linkerd-multicluster", release.multicluster),
        cni=charts.get("linkerd2-cni", release.cni),
        viz=charts.get("linkerd-viz", release.viz if release.known else None),
        jaeger=charts.get("linkerd-jaeger", release.jaeger if release.known else None),
    )


def gateway_api_manifest(version: str, channel: str = "standard") -> str:
    """Where the Gateway API's project has the CRDs of one version, and of one channel."""
    return f"https://github.com/kubernetes-sigs/gateway-api/releases/download/v{version}/{channel}-install.yaml"


def parse_edge(name: str) -> Edge | None:
    """The edge release of a name such as `edge-25.4.4`, or of a chart's version such as `2025.4.4`."""
    found = _EDGE_NAME.fullmatch(name)
    return (int(found[1]), int(found[2]), int(found[3])) if found is not None else None


def is_too_old(name: str) -> bool:
    """Whether a name that isn't known can't be that of a newer release than those that are."""
    named = parse_edge(name)
    if named is not None:
        return named < OLDEST_EDGE
    found = re.match(r"(?:stable-|version-)?v?(\d+)\.(\d+)(?!\d)", name)
    return found is not None and (int(found[1]), int(found[2])) <= (2, 14)


def release_order(tag: str) -> tuple[int, ...] | None:
    """What orders releases by their tags, oldest first; None for a tag that says nothing of it."""
    found = re.fullmatch(r"stable-(\d+)\.(\d+)\.(\d+)", tag)
    if found is not None:
        return (0, *map(int, found.groups()))
    named = parse_edge(tag)
    return (1, *named) if named is not None else None


def minor_version(tag: str) -> int | None:
    """The version of Linkerd that a tag belongs to, as a number: 14 for 2.14, and one more for what comes after it.

    Args:
        tag: of a release's images.
    """
    named = parse_edge(tag)
    if named is not None:
        after = sum(named > announced for announced in EDGE_MILESTONES.values())
        return 15 + after
    found = re.fullmatch(r"stable-2\.(\d+)\.\d+", tag)
    return int(found[1]) if found is not None else None


def _require_release(version: str) -> LinkerdRelease:
    found = linkerd_release(version)
    assert found is not None, f"{version} is of the names above"
    return found


def _stable_release(version: str) -> LinkerdRelease:
    crds, control_plane, multicluster, cni, viz, jaeger = _STABLE_CHARTS[version]
    later = version.startswith("2.14.")
    minor = version.rpartition(".")[0]
    return LinkerdRelease(
        version=version,
        tag=f"stable-{version}",
        crds=crds,
        control_plane=control_plane,
        multicluster=multicluster,
        cni=cni,
        viz=viz,
        jaeger=jaeger,
        kubernetes="1.21",
        newest_kubernetes=_NEWEST_KUBERNETES[minor],
        remote_discovery=later,
        federation=False,
        excluded_metadata=False,
        probe_threshold=False,
        link_api="multicluster.linkerd.io/v1alpha1",
        link_controllers=False,
        link_status=False,
        mirror_lease=later,
        http_route="gateway.networking.k8s.io/v1beta1" if later else "policy.linkerd.io/v1beta2",
        grpc_route=None,
        route_annotations=False,
        gateway_api="1.1.1" if later else None,
        gateway_api_range=("0.7", "1.1.1") if later else None,
        gateway_api_values=("enableHttpRoutes",) if later else (),
        gateway_api_opt_in=False,
        gateway_api_crds_retained=False,
        namespace_metadata_value=False,
        smi_deprecated=False,
    )


def _edge_release(version: str, found: Edge) -> LinkerdRelease:
    year, month, number = found
    chart = f"20{year}.{month}.{number}"
    link_api = "v1alpha3" if found >= (25, 3, 3) else "v1alpha2" if found >= (24, 11, 1) else "v1alpha1"
    number_of_line = minor_version(f"edge-{year}.{month}.{number}")
    minor = f"2.{number_of_line}"
    return LinkerdRelease(
        version=version,
        tag=f"edge-{year}.{month}.{number}",
        crds=chart,
        control_plane=chart,
        multicluster=chart,
        cni=chart,
        viz=chart,
        jaeger=chart if found < (25, 10, 1) else None,
        kubernetes="1.31" if found >= (26, 5, 1) else "1.23" if found >= (25, 2, 3) else "1.22",
        newest_kubernetes=_NEWEST_KUBERNETES.get(minor, max(_NEWEST_KUBERNETES.values())),
        remote_discovery=True,
        federation=found >= (24, 11, 2),
        excluded_metadata=found >= (25, 3, 3),
        probe_threshold=found >= (24, 9, 3),
        link_api=f"multicluster.linkerd.io/{link_api}",
        link_controllers=found >= (25, 3, 3),
        link_status=found >= (24, 11, 1),
        mirror_lease=True,
        http_route=f"gateway.networking.k8s.io/{'v1' if found >= (25, 2, 3) else 'v1beta1'}",
        grpc_route=_grpc_route(found),
        route_annotations=found >= (24, 7, 5),
        # Until 0.7.1 the project's manifest brought a webhook with pods of its own as well.
        gateway_api="1.2.1" if found >= (25, 2, 3) else "1.1.1",
        gateway_api_range=_gateway_api_range(found, number_of_line or 0),
        gateway_api_values=_gateway_api_values(found),
        gateway_api_opt_in=found >= (25, 3, 1),
        gateway_api_crds_retained=found >= (25, 3, 1),
        namespace_metadata_value=True,
        smi_deprecated=True,
    )


def _grpc_route(found: Edge) -> str | None:
    if found < (24, 5, 2):
        return None
    return f"gateway.networking.k8s.io/{'v1' if found >= (25, 2, 3) else 'v1alpha2'}"


# https://linkerd.io/2/features/gateway-api/
def _gateway_api_range(found: Edge, number_of_line: int) -> tuple[str, str]:
    if number_of_line >= 20:
        return "1.2.1", "1.5.1"
    return ("1.1.1", "1.2.1") if found >= (25, 2, 3) else ("0.7", "1.1.1")


def _gateway_api_values(found: Edge) -> tuple[str, ...]:
    if found >= (25, 3, 1):
        return ("installGatewayAPI",)
    return ("enableHttpRoutes", "enableTlsRoutes", "enableTcpRoutes") if found >= (24, 10, 4) else ("enableHttpRoutes",)


# What stack files and documents name; any other stable or edge release may be chosen, too.
LINKERD_RELEASES: Mapping[str, LinkerdRelease] = {
    version: _require_release(version) for version in ("2.14.10", "2.13.5", *sorted(EDGE_MILESTONES, reverse=True))
}

# The newest Kubernetes that this program's tests run on.
NEWEST_TESTED_KUBERNETES = "1.36"

# Where each chart comes from, unless the stack file or $MULTICLUSTER_MESH_CHARTS says otherwise. Linkerd's stable
# repository has the last stable releases that Linkerd published itself, the other one all edge releases.
LINKERD_STABLE_CHARTS_URL = "https://helm.linkerd.io/stable"
LINKERD_EDGE_CHARTS_URL = "https://helm.linkerd.io/edge"
CHART_REPOSITORY_URLS: Mapping[str, str] = {
    "linkerd-smi": "https://linkerd.github.io/linkerd-smi",
    "cilium": "https://helm.cilium.io",
    "metallb": "https://metallb.github.io/metallb",
    "ingress-nginx": "https://kubernetes.github.io/ingress-nginx",
}

# Versions of the charts that have releases of their own; the stack file may choose others.
SMI_VERSION = "1.0.1"  # linkerd-smi v0.2.1
METALLB_VERSION = "0.14.9"
INGRESS_NGINX_VERSION = "4.11.0"
CILIUM_VERSION = "1.19.0"
DEFAULT_GATEWAY_API_VERSION = "1.4.0"  # where there is no Linkerd to say which

# The samples' images, as the guides that they come from have them; where those name no tag, with one.
PODINFO_IMAGE = "ghcr.io/stefanprodan/podinfo:6.7.1"
NGINX_IMAGE = "nginx:alpine"
HELLOWORLD_IMAGE = "docker.io/istio/examples-helloworld-{}:1.0"  # v1, v2
CURL_IMAGE = "curlimages/curl:8.12.1"
BOOKSAPP_IMAGE = "ghcr.io/buoyantio/booksapp:v0.0.5"
BOOKSAPP_TRAFFIC_IMAGE = "ghcr.io/buoyantio/booksapp-traffic:v0.0.3"
USERLIST_IMAGE = "ssongman/userlist:v1"
EMOJIVOTO_IMAGE = "docker.l5d.io/buoyantio/emojivoto-{}:v11"
