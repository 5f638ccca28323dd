"""Resolution of the extensions of each cluster, and rules on their requirements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from mesh.addon_chart_versions import DEFAULT_GATEWAY_API_VERSION
from mesh.config.errors import ELLIPSIS, ValidationErrors, suggest
from mesh.config.models.extensions import ExtensionConfig, GatewayApiConfig, MetalLbConfig
from mesh.config.network_types import parse_address_range
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterExtensions, MetalLbSettings
from mesh.config.validation.clusters import check_known_cluster
from mesh.linkerd_releases import LinkerdRelease, gateway_api_manifest_url
from mesh.topology import Link

Path = tuple[str | int, ...]


def resolve_extensions(
    parsed: ParsedStackFile,
    names: Sequence[str],
    links: Iterable[Link],
    linkerd_release: LinkerdRelease,
    errors: ValidationErrors,
    *,
    has_linkerd: bool = True,
) -> dict[str, ClusterExtensions]:
    """Return the extensions of each cluster, by its name.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        links: all links.
        linkerd_release: the Linkerd release of the mesh.
        errors: collects validation errors and warnings.
        has_linkerd: whether the stack has Linkerd.
    """
    config = parsed.file.extensions
    clusters = {
        key: _extension_clusters(key, extension, parsed, names, errors)
        for key, extension in (
            ("viz", config.viz),
            ("jaeger", config.jaeger),
            ("smi", config.smi),
            ("ingressNginx", config.ingress_nginx),
            ("gatewayApi", config.gateway_api),
        )
    }
    if has_linkerd:
        _check_availability(clusters, linkerd_release, errors)
    gateway_api = _resolve_gateway_api(config.gateway_api, linkerd_release if has_linkerd else None, errors)
    pools = _resolve_pools(config.metallb, parsed, names, links, errors) if config.metallb is not None else {}
    _check_dashboard(parsed, clusters, errors)
    agents = parsed.file.buoyant_cloud
    for name in agents:
        if names and name not in names:
            errors.add(("buoyantCloud", name), ELLIPSIS, "no such cluster in `clusters`", suggest(name, names))
    return {
        name: ClusterExtensions(
            viz=config.viz if name in clusters["viz"] else None,
            jaeger=name in clusters["jaeger"],
            smi=config.smi if name in clusters["smi"] else None,
            metallb=pools.get(name),
            ingress_nginx=config.ingress_nginx if name in clusters["ingressNginx"] else None,
            gateway_api=gateway_api if name in clusters["gatewayApi"] else None,
            buoyant_cloud=agents.get(name),
        )
        for name in names
    }


def _extension_clusters(
    key: str,
    extension: ExtensionConfig | None,
    parsed: ParsedStackFile,
    names: Sequence[str],
    errors: ValidationErrors,
) -> list[str]:
    if extension is None:
        return []
    if extension.clusters is None:
        return list(names)
    return list(
        check_listed_clusters(extension.clusters, ("extensions", key, "clusters"), parsed, names, errors).values()
    )


def check_listed_clusters(
    names_in_list: Sequence[str], path: Path, parsed: ParsedStackFile, names: Sequence[str], errors: ValidationErrors
) -> dict[int, str]:
    """Return the known clusters of a list by their index, and report unknown and duplicate names."""
    clusters: dict[int, str] = {}
    path = parsed.path_as_written(*path)
    for index, name in zip(parsed.original_indices(*path), names_in_list, strict=True):
        if name in clusters.values():
            errors.add((*path, index), name, "duplicate entry", "remove one of the two")
        elif check_known_cluster(name, (*path, index), names, errors):
            clusters[index] = name
    return clusters


def _check_availability(
    clusters: Mapping[str, Sequence[str]], linkerd_release: LinkerdRelease, errors: ValidationErrors
) -> None:
    for key, version in (("viz", linkerd_release.viz), ("jaeger", linkerd_release.jaeger)):
        if clusters[key] and version is None:
            rule = f"Linkerd {linkerd_release.version} no longer has this extension"
            errors.add(("extensions", key), ELLIPSIS, rule, "remove it, or choose an older linkerd.version")
    if clusters["smi"] and linkerd_release.is_smi_deprecated:
        rule = "Linkerd has deprecated TrafficSplits"
        remedy = "set `form: gateway-api` on the splits, and remove smi one update later"
        errors.warn(("extensions", "smi"), ELLIPSIS, rule, remedy)


def _resolve_gateway_api(
    config: GatewayApiConfig | None, linkerd_release: LinkerdRelease | None, errors: ValidationErrors
) -> GatewayApiConfig | None:
    """Return the settings with a manifest; default: the version that the Linkerd release supports."""
    if config is None or (config.install and config.manifest is not None):
        return config
    manifest: str | None = gateway_api_manifest_url(DEFAULT_GATEWAY_API_VERSION)
    if linkerd_release is not None:
        manifest = linkerd_release.gateway_api_manifest_url
    if manifest is None and linkerd_release is not None:
        rule = f"Linkerd {linkerd_release.version} supports no version of the Gateway API, only routes of its own group"
        remedy = "remove it, choose a newer linkerd.version, or set the manifest to install"
        errors.add(("extensions", "gatewayApi"), ELLIPSIS, rule, remedy)
    if not config.install and config.manifest is not None:
        rule = "has no effect with `install: false`"
        errors.add(("extensions", "gatewayApi", "manifest"), config.manifest, rule, "remove one of the two")
    return config.model_copy(update={"manifest": manifest})


def _resolve_pools(
    metallb: MetalLbConfig,
    parsed: ParsedStackFile,
    names: Sequence[str],
    links: Iterable[Link],
    errors: ValidationErrors,
) -> dict[str, MetalLbSettings]:
    path: Path = ("extensions", "metallb", "pools")
    if not metallb.pools and not errors.is_invalid(*path):
        errors.add(path, {}, "no cluster has a pool", "add address ranges by cluster, or remove metallb")
    spans: dict[str, list[tuple[Path, str]]] = {}
    for name, pool in metallb.pools.items():
        pool_path = (*path, name)
        if not check_known_cluster(name, pool_path, names, errors):
            continue
        if not pool and not errors.is_invalid(*pool_path):
            errors.add(
                pool_path, [], "the pool has no address", "add at least one range, as in 192.0.2.200-192.0.2.209"
            )
        cluster = parsed.file.clusters.get(name)
        if (
            cluster is not None
            and not cluster.gateway.load_balancer.enabled
            and not errors.is_invalid("clusters", name)
        ):
            rule = f"contradicts clusters.{name}.gateway.loadBalancer, which disables load balancers"
            errors.add(pool_path, ELLIPSIS, rule, "remove one of the two")
        spans[name] = [
            ((*pool_path, index), span) for index, span in zip(parsed.original_indices(*pool_path), pool, strict=True)
        ]
    for ranges in spans.values():
        _check_overlaps(list(combinations(ranges, 2)), "an earlier range of this pool", errors)
    pairs = dict.fromkeys(tuple(sorted((link.source, link.target))) for link in links)
    for first, second in pairs:
        pool_pairs = [(one, other) for one in spans.get(first, []) for other in spans.get(second, [])]
        _check_overlaps(pool_pairs, f"the pool of {first}, a linked cluster", errors)
    return {
        name: MetalLbSettings(version=metallb.version, pool=tuple(span for _, span in ranges), values=metallb.values)
        for name, ranges in spans.items()
    }


def _check_overlaps(
    pairs: Sequence[tuple[tuple[Path, str], tuple[Path, str]]], other_place: str, errors: ValidationErrors
) -> None:
    for (_, one), (path, other) in pairs:
        version, first, last = parse_address_range(one)
        other_version, other_first, other_last = parse_address_range(other)
        if version == other_version and first <= other_last and other_first <= last:
            errors.add(path, other, f"overlaps {other_place}", "choose ranges that do not overlap")


def _check_dashboard(parsed: ParsedStackFile, clusters: Mapping[str, Sequence[str]], errors: ValidationErrors) -> None:
    viz = parsed.file.extensions.viz
    has_dashboard = viz is not None and viz.dashboard is not None
    ingress = parsed.file.extensions.ingress_nginx
    has_unknown = ingress is not None and not set(ingress.clusters or ()) <= set(clusters["ingressNginx"])
    is_unclear = (
        has_unknown or errors.is_invalid("extensions", "viz") or errors.is_invalid("extensions", "ingressNginx")
    )
    if (
        has_dashboard
        and not is_unclear
        and clusters["viz"]
        and not set(clusters["viz"]) & set(clusters["ingressNginx"])
    ):
        rule = "no cluster with viz has ingress-nginx to serve the dashboard"
        remedy = "add the clusters to extensions.ingressNginx, with `install: false` if it exists already"
        errors.add(("extensions", "viz", "dashboard"), ELLIPSIS, rule, remedy)
    if parsed.file.dashboard_password is not None and not has_dashboard and not is_unclear:
        rule = "the stack has no dashboard"
        errors.add(("dashboardPassword",), ELLIPSIS, rule, "set extensions.viz.dashboard, or remove it")
