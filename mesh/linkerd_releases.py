"""Linkerd releases: chart versions, and the differences between releases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class LinkerdRelease:
    """Chart versions and features of one Linkerd release."""

    version: str  # as in the stack file, without the channel: 2.14.10, 2.18, edge-25.4.4
    tag: str  # tag of the images; Linkerd reports it as its version
    crds: str
    control_plane: str
    multicluster: str
    cni: str
    viz: str | None  # None: the release has no such extension
    jaeger: str | None
    kubernetes: str  # oldest supported Kubernetes version
    newest_kubernetes: str  # newest Kubernetes version that Linkerd documents, or that this program was tested with
    has_remote_discovery: bool  # a Link has a selector for services that are reached without a gateway
    has_federated_services: bool  # a Link has a selector for members of federated services
    has_excluded_metadata: bool  # a Link lists labels and annotations that mirrors do not copy
    has_probe_threshold: bool  # a Link sets the timeout and the failure threshold of the probe
    link_api: str  # API version of the Link
    # True: `controllers` of linkerd-multicluster mirror the services of a link. False: each link has a Helm release.
    has_link_controllers: bool
    has_link_status: bool  # the service mirror writes the Link's status and needs RBAC for it
    has_mirror_lease: bool  # the service mirror elects a leader
    http_route: str  # API version of the HTTPRoute that splits requests to a Service
    grpc_route: str | None  # API version of the GRPCRoute
    has_route_annotations: bool  # annotations of routes set retries and timeouts
    gateway_api: str | None  # matching version of the Gateway API; None: the release does not use it
    gateway_api_range: tuple[str, str] | None  # oldest and newest version that Linkerd documents
    # Values of linkerd-crds that install the Gateway API's CRDs. The first one controls most or all of them.
    gateway_api_values: tuple[str, ...]
    is_gateway_api_opt_in: bool  # the CRDs are installed only if the value is set
    has_retained_gateway_api_crds: bool  # Helm does not delete these CRDs on uninstall
    has_namespace_metadata_value: bool  # a chart value disables the Job that labels the namespace
    # `linkerd profile --open-api` removes the slash at the end of a path.
    has_shortened_profile_paths: bool
    is_smi_deprecated: bool  # TrafficSplits work, but Linkerd deprecates them
    is_known: bool = True  # False: only the chart versions are known; the features are those of the newest release

    @property
    def channel(self) -> str:
        """Return the part of the tag before the first hyphen, such as `stable` or `edge`."""
        return self.tag.partition("-")[0]

    @property
    def gateway_api_manifest_url(self) -> str | None:
        """Return the URL of the CRD manifest of the matching Gateway API version."""
        if self.gateway_api is None:
            return None
        # The standard channel has never served the alpha version of the GRPCRoute.
        has_alpha = self.grpc_route is not None and "alpha" in self.grpc_route
        return gateway_api_manifest_url(self.gateway_api, "experimental" if has_alpha else "standard")


# Versions of the crds, control plane, multicluster, CNI, viz and jaeger charts.
# 2.14.10 is the last stable release that the Linkerd project published.
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

Edge = tuple[int, int, int]  # two-digit year, month, number within the month

# From 2.15 on, a Linkerd version is an announced edge release: https://linkerd.io/releases/.
EDGE_MILESTONES: Mapping[str, Edge] = {
    "2.15": (24, 2, 4),
    "2.16": (24, 8, 2),
    "2.17": (24, 11, 8),
    "2.18": (25, 4, 4),
    "2.19": (25, 10, 7),
    "2.20": (26, 6, 3),
}
OLDEST_EDGE: Edge = (24, 1, 1)  # oldest supported edge release
NEWEST_TESTED_EDGE: Edge = (26, 8, 3)
# Source: https://linkerd.io/2/reference/k8s-versions/
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
# For stacks without Linkerd.
OLDEST_KUBERNETES = "1.21"
NEWEST_TESTED_KUBERNETES = "1.36"
# The newest announced version: Linkerd's documentation describes it, and clouds offer the Kubernetes versions it needs.
DEFAULT_LINKERD_VERSION = max(EDGE_MILESTONES, key=lambda version: EDGE_MILESTONES[version])

# Repository of the stable releases that the Linkerd project published, and of all edge releases.
LINKERD_STABLE_CHARTS_URL = "https://helm.linkerd.io/stable"
LINKERD_EDGE_CHARTS_URL = "https://helm.linkerd.io/edge"

_EDGE_NAME = re.compile(r"(?:edge-|20)(\d\d)\.(\d{1,2})\.(\d{1,3})")


def find_linkerd_release(version: str) -> LinkerdRelease | None:
    """Return the release with a given name, or None if the name is unknown.

    Args:
        version: a name such as `2.14.10`, `2.18`, `edge-25.4.4` or `2025.4.4`. The prefixes `stable-` and `version-`
            are accepted too.
    """
    stable = version.removeprefix("stable-")
    if stable in _STABLE_CHARTS:
        return _build_stable_release(stable)
    milestone = EDGE_MILESTONES.get(version.removeprefix("version-"))
    if milestone is not None:
        return _build_edge_release(version.removeprefix("version-"), milestone)
    edge = parse_edge(version)
    return _build_edge_release(version, edge) if edge is not None and edge >= OLDEST_EDGE else None


def build_unknown_release(version: str, tag: str, charts: Mapping[str, str]) -> LinkerdRelease:
    """Return a release that only a chart source contains, with the features of the newest release.

    Args:
        version: the name in the stack file.
        tag: tag of the images.
        charts: chart versions by chart name.
    """
    newest = replace(_build_edge_release(version, NEWEST_TESTED_EDGE), tag=tag, is_known=False)
    return with_chart_versions(newest, charts)


def with_chart_versions(linkerd_release: LinkerdRelease, charts: Mapping[str, str]) -> LinkerdRelease:
    """Return the same release with other chart versions.

    Args:
        linkerd_release: the release.
        charts: chart versions by chart name. `linkerd-crds` and `linkerd-control-plane` are required.
    """
    is_known = linkerd_release.is_known
    return replace(
        linkerd_release,
        crds=charts["linkerd-crds"],
        control_plane=charts["linkerd-control-plane"],
        multicluster=charts.get("linkerd-multicluster", linkerd_release.multicluster),
        cni=charts.get("linkerd2-cni", linkerd_release.cni),
        viz=charts.get("linkerd-viz", linkerd_release.viz if is_known else None),
        jaeger=charts.get("linkerd-jaeger", linkerd_release.jaeger if is_known else None),
    )


def gateway_api_manifest_url(version: str, channel: str = "standard") -> str:
    """Return the URL of the Gateway API's CRD manifest.

    Args:
        version: version of the Gateway API, without `v`.
        channel: `standard` or `experimental`.
    """
    return f"https://github.com/kubernetes-sigs/gateway-api/releases/download/v{version}/{channel}-install.yaml"


def parse_edge(name: str) -> Edge | None:
    """Return the edge release of a tag such as `edge-25.4.4` or a chart version such as `2025.4.4`, else None."""
    match = _EDGE_NAME.fullmatch(name)
    return (int(match[1]), int(match[2]), int(match[3])) if match is not None else None


def is_too_old(name: str) -> bool:
    """Return whether a name is older than the supported releases.

    An edge release is too old before `OLDEST_EDGE`. Other names are too old up to Linkerd 2.14, because all supported
    releases up to 2.14 are in the table. The result is meaningful only for names that `find_linkerd_release` lacks.
    """
    edge = parse_edge(name)
    if edge is not None:
        return edge < OLDEST_EDGE
    match = re.match(r"(?:stable-|version-)?v?(\d+)\.(\d+)(?!\d)", name)
    return match is not None and (int(match[1]), int(match[2])) <= (2, 14)


def release_order(tag: str) -> tuple[int, ...] | None:
    """Return a sort key that orders the tags of releases by age, oldest first.

    Every edge release sorts after every stable release.

    Returns:
        `(0, major, minor, patch)` for `stable-2.14.10`; `(1, year, month, number)` for `edge-25.4.4` or `2025.4.4`;
        None for other tags.
    """
    match = re.fullmatch(r"stable-(\d+)\.(\d+)\.(\d+)", tag)
    if match is not None:
        return (0, *map(int, match.groups()))
    edge = parse_edge(tag)
    return (1, *edge) if edge is not None else None


def is_maintained(version: str) -> bool:
    """Return whether the Linkerd project still fixes a release, or it is unknown.

    The project ended its stable releases in February 2024. Edge releases are fixed only by newer ones, so a
    release before the newest announced version gets no fix. Source: https://linkerd.io/releases/

    Args:
        version: a name as in the stack file.
    """
    known = find_linkerd_release(version)
    order = release_order(known.tag) if known is not None else None
    return order is None or order >= (1, *EDGE_MILESTONES[DEFAULT_LINKERD_VERSION])


def find_version_for_kubernetes(kubernetes: tuple[int, int]) -> str | None:
    """Return the newest version of Linkerd that documents support for a Kubernetes version.

    Args:
        kubernetes: major and minor version.

    Returns:
        A name for the stack file, such as `2.19`, or None if no version does.
    """

    def parse(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))

    releases = sorted(LINKERD_RELEASES.values(), key=lambda each: release_order(each.tag) or (), reverse=True)
    supporting = (
        each.version for each in releases if parse(each.kubernetes) <= kubernetes <= parse(each.newest_kubernetes)
    )
    return next(supporting, None)


def minor_version(tag: str) -> int | None:
    """Return the minor version of Linkerd that a release belongs to, such as 14 for `stable-2.14.10`.

    An edge release belongs to the next announced version. `edge-25.4.4` is version 2.18, so its minor version is 18.
    The edge release after it has 19. Edge releases after the last announced version count as the version after it.

    Args:
        tag: tag of the images.

    Returns:
        The minor version, or None for tags that are neither stable nor edge.
    """
    edge = parse_edge(tag)
    if edge is not None:
        return 15 + sum(edge > milestone for milestone in EDGE_MILESTONES.values())
    match = re.fullmatch(r"stable-2\.(\d+)\.\d+", tag)
    return int(match[1]) if match is not None else None


def _require_release(version: str) -> LinkerdRelease:
    known = find_linkerd_release(version)
    assert known is not None, f"{version} is in a table of this module"
    return known


def _build_stable_release(version: str) -> LinkerdRelease:
    crds, control_plane, multicluster, cni, viz, jaeger = _STABLE_CHARTS[version]
    minor = version.rpartition(".")[0]
    is_2_14 = minor == "2.14"
    return LinkerdRelease(
        version=version,
        tag=f"stable-{version}",
        crds=crds,
        control_plane=control_plane,
        multicluster=multicluster,
        cni=cni,
        viz=viz,
        jaeger=jaeger,
        kubernetes=OLDEST_KUBERNETES,
        newest_kubernetes=_NEWEST_KUBERNETES[minor],
        has_remote_discovery=is_2_14,
        has_federated_services=False,
        has_excluded_metadata=False,
        has_probe_threshold=False,
        link_api="multicluster.linkerd.io/v1alpha1",
        has_link_controllers=False,
        has_link_status=False,
        has_mirror_lease=is_2_14,
        http_route="gateway.networking.k8s.io/v1beta1" if is_2_14 else "policy.linkerd.io/v1beta2",
        grpc_route=None,
        has_route_annotations=False,
        gateway_api="1.1.1" if is_2_14 else None,
        gateway_api_range=("0.7", "1.1.1") if is_2_14 else None,
        gateway_api_values=("enableHttpRoutes",) if is_2_14 else (),
        is_gateway_api_opt_in=False,
        has_retained_gateway_api_crds=False,
        has_namespace_metadata_value=False,
        has_shortened_profile_paths=True,
        is_smi_deprecated=False,
    )


def _build_edge_release(version: str, edge: Edge) -> LinkerdRelease:
    year, month, number = edge
    tag = f"edge-{year}.{month}.{number}"
    chart = f"20{year}.{month}.{number}"
    link_api = "v1alpha3" if edge >= (25, 3, 3) else "v1alpha2" if edge >= (24, 11, 1) else "v1alpha1"
    minor = minor_version(tag) or 0
    return LinkerdRelease(
        version=version,
        tag=tag,
        crds=chart,
        control_plane=chart,
        multicluster=chart,
        cni=chart,
        viz=chart,
        jaeger=chart if edge < (25, 10, 1) else None,
        kubernetes="1.31" if edge >= (26, 5, 1) else "1.23" if edge >= (25, 2, 3) else "1.22",
        newest_kubernetes=_NEWEST_KUBERNETES.get(f"2.{minor}", NEWEST_TESTED_KUBERNETES),
        has_remote_discovery=True,
        has_federated_services=edge >= (24, 11, 2),
        has_excluded_metadata=edge >= (25, 3, 3),
        has_probe_threshold=edge >= (24, 9, 3),
        link_api=f"multicluster.linkerd.io/{link_api}",
        has_link_controllers=edge >= (25, 3, 3),
        has_link_status=edge >= (24, 11, 1),
        has_mirror_lease=True,
        http_route=f"gateway.networking.k8s.io/{'v1' if edge >= (25, 2, 3) else 'v1beta1'}",
        grpc_route=_grpc_route(edge),
        has_route_annotations=edge >= (24, 7, 5),
        # Up to Gateway API 0.7.1, the project's manifest also installed a webhook with pods.
        gateway_api="1.2.1" if edge >= (25, 2, 3) else "1.1.1",
        gateway_api_range=_gateway_api_range(edge, minor),
        gateway_api_values=_gateway_api_values(edge),
        is_gateway_api_opt_in=edge >= (25, 3, 1),
        has_retained_gateway_api_crds=edge >= (25, 3, 1),
        has_namespace_metadata_value=True,
        has_shortened_profile_paths=False,  # since edge-23.10.4
        is_smi_deprecated=True,
    )


def _grpc_route(edge: Edge) -> str | None:
    if edge < (24, 5, 2):
        return None
    return f"gateway.networking.k8s.io/{'v1' if edge >= (25, 2, 3) else 'v1alpha2'}"


# Source: https://linkerd.io/2/features/gateway-api/
def _gateway_api_range(edge: Edge, minor: int) -> tuple[str, str]:
    if minor >= 20:
        return "1.2.1", "1.5.1"
    return ("1.1.1", "1.2.1") if edge >= (25, 2, 3) else ("0.7", "1.1.1")


def _gateway_api_values(edge: Edge) -> tuple[str, ...]:
    if edge >= (25, 3, 1):
        return ("installGatewayAPI",)
    return ("enableHttpRoutes", "enableTlsRoutes", "enableTcpRoutes") if edge >= (24, 10, 4) else ("enableHttpRoutes",)


# Releases that stack files and docs mention. Every other stable or edge release is accepted too.
LINKERD_RELEASES: Mapping[str, LinkerdRelease] = {
    version: _require_release(version) for version in ("2.14.10", "2.13.5", *sorted(EDGE_MILESTONES, reverse=True))
}
