"""The extensions of a stack file: which cluster gets which, and what each needs beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from mesh.config.errors import ELLIPSIS, ValidationErrors, suggestion
from mesh.config.models.extensions import ExtensionConfig, GatewayApiConfig, MetalLbConfig
from mesh.config.network_types import addresses
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterExtensions, MetalLbSettings
from mesh.config.validation.links import check_known_cluster
from mesh.linkerd_releases import DEFAULT_GATEWAY_API_VERSION, LinkerdRelease, gateway_api_manifest
from mesh.topology import Link

Path = tuple[str | int, ...]


def resolve_extensions(
    reading: ParsedStackFile,
    names: Sequence[str],
    links: Iterable[Link],
    release: LinkerdRelease,
    faults: ValidationErrors,
    *,
    linkerd: bool = True,
) -> dict[str, ClusterExtensions]:
    """What each cluster has, by its name.

    Args:
        reading: the stack file.
        names: all names of clusters in it.
        links: who must reach whom.
        release: of Linkerd.
        faults: where faults go.
        linkerd: whether Linkerd is there.
    """
    wanted = reading.file.extensions
    where = {
        key: _clusters(key, extension, reading, names, faults)
        for key, extension in (
            ("viz", wanted.viz),
            ("jaeger", wanted.jaeger),
            ("smi", wanted.smi),
            ("ingressNginx", wanted.ingress_nginx),
            ("gatewayApi", wanted.gateway_api),
        )
    }
    _check_availability(where, release, faults)
    gateway_api = _resolve_gateway_api(wanted.gateway_api, release if linkerd else None, faults)
    pools = _resolve_pools(wanted.metallb, reading, names, links, faults) if wanted.metallb is not None else {}
    _check_dashboard(reading, where, faults)
    agents = reading.file.buoyant_cloud
    for name in agents:
        if names and name not in names:
            faults.add(("buoyantCloud", name), ELLIPSIS, "no such cluster in `clusters`", suggestion(name, names))
    return {
        name: ClusterExtensions(
            viz=wanted.viz if name in where["viz"] else None,
            jaeger=name in where["jaeger"],
            smi=wanted.smi if name in where["smi"] else None,
            metallb=pools.get(name),
            ingress_nginx=wanted.ingress_nginx if name in where["ingressNginx"] else None,
            gateway_api=gateway_api if name in where["gatewayApi"] else None,
            buoyant_cloud=agents.get(name),
        )
        for name in names
    }


def _clusters(
    key: str,
    extension: ExtensionConfig | None,
    reading: ParsedStackFile,
    names: Sequence[str],
    faults: ValidationErrors,
) -> list[str]:
    if extension is None:
        return []
    if extension.clusters is None:
        return list(names)
    return list(listed_clusters(extension.clusters, ("extensions", key, "clusters"), reading, names, faults).values())


def listed_clusters(
    listed: Sequence[str], path: Path, reading: ParsedStackFile, names: Sequence[str], faults: ValidationErrors
) -> dict[int, str]:
    """The clusters in a list that there are, by their places in it."""
    found: dict[int, str] = {}
    path = reading.path_as_written(*path)
    for number, name in zip(reading.original_indices(*path), listed, strict=True):
        if name in found.values():
            faults.add((*path, number), name, "named twice", "take one of the two out")
        elif check_known_cluster(name, (*path, number), names, faults):
            found[number] = name
    return found


def _check_availability(where: Mapping[str, Sequence[str]], release: LinkerdRelease, faults: ValidationErrors) -> None:
    for key, version in (("viz", release.viz), ("jaeger", release.jaeger)):
        if where[key] and version is None:
            rule = f"Linkerd {release.version} has no such extension any more"
            faults.add(("extensions", key), ELLIPSIS, rule, "take it out, or choose an older linkerd.version")
    if where["smi"] and release.smi_deprecated:
        rule = "Linkerd advises against TrafficSplits, and will not go on with them"
        remedy = "split by the Gateway API (form: gateway-api), and take it out an update later"
        faults.warn(("extensions", "smi"), ELLIPSIS, rule, remedy)


def _resolve_gateway_api(
    wanted: GatewayApiConfig | None, release: LinkerdRelease | None, faults: ValidationErrors
) -> GatewayApiConfig | None:
    """With the manifest of the version that goes with Linkerd, where the stack file names none."""
    if wanted is None or (wanted.install and wanted.manifest is not None):
        return wanted
    usual = gateway_api_manifest(DEFAULT_GATEWAY_API_VERSION) if release is None else release.gateway_api_manifest
    if usual is None and release is not None:
        rule = f"Linkerd {release.version} knows routes of its own group alone, and no version of the Gateway API"
        remedy = "take it out, choose a newer linkerd.version, or name the manifest that is wanted beside it"
        faults.add(("extensions", "gatewayApi"), ELLIPSIS, rule, remedy)
    if not wanted.install and wanted.manifest is not None:
        rule = "nothing of it is installed where `install` is false"
        faults.add(("extensions", "gatewayApi", "manifest"), wanted.manifest, rule, "take one of the two out")
    return wanted.model_copy(update={"manifest": usual})


def _resolve_pools(
    metallb: MetalLbConfig,
    reading: ParsedStackFile,
    names: Sequence[str],
    links: Iterable[Link],
    faults: ValidationErrors,
) -> dict[str, MetalLbSettings]:
    path: Path = ("extensions", "metallb", "pools")
    if not metallb.pools and not faults.is_invalid(*path):
        faults.add(path, {}, "no cluster is named", "give each cluster that needs it its addresses, or take it out")
    spans: dict[str, list[tuple[Path, str]]] = {}
    for name, pool in metallb.pools.items():
        here = (*path, name)
        if not check_known_cluster(name, here, names, faults):
            continue
        if not pool and not faults.is_invalid(*here):
            faults.add(here, [], "no address is given", "write at least one range, as in 192.0.2.200-192.0.2.209")
        entry = reading.file.clusters.get(name)
        if entry is not None and not entry.gateway.load_balancer.enabled and not faults.is_invalid("clusters", name):
            rule = f"clusters.{name}.gateway.loadBalancer says that nothing gives an address"
            faults.add(here, ELLIPSIS, rule, "take one of the two out")
        spans[name] = [
            ((*here, number), span) for number, span in zip(reading.original_indices(*here), pool, strict=True)
        ]
    for spanned in spans.values():
        _check_overlaps(list(combinations(spanned, 2)), "an earlier range of this pool", faults)
    pairs = dict.fromkeys(tuple(sorted((link.source, link.target))) for link in links)
    for one, other in pairs:
        both = [(mine, theirs) for theirs in spans.get(one, []) for mine in spans.get(other, [])]
        _check_overlaps([(theirs, mine) for mine, theirs in both], f"the pool of {one}, and the two are linked", faults)
    return {
        name: MetalLbSettings(version=metallb.version, pool=tuple(span for _, span in spanned), values=metallb.values)
        for name, spanned in spans.items()
    }


def _check_overlaps(
    pairs: Sequence[tuple[tuple[Path, str], tuple[Path, str]]], where: str, faults: ValidationErrors
) -> None:
    for (_, one), (path, other) in pairs:
        version, first, last = addresses(one)
        other_version, other_first, other_last = addresses(other)
        if version == other_version and first <= other_last and other_first <= last:
            faults.add(path, other, f"some of its addresses are in {where}", "choose ranges that don't overlap")


def _check_dashboard(reading: ParsedStackFile, where: Mapping[str, Sequence[str]], faults: ValidationErrors) -> None:
    viz = reading.file.extensions.viz
    wanted = viz is not None and viz.dashboard is not None
    ingress = reading.file.extensions.ingress_nginx
    misspelt = ingress is not None and not set(ingress.clusters or ()) <= set(where["ingressNginx"])
    unclear = misspelt or faults.is_invalid("extensions", "viz") or faults.is_invalid("extensions", "ingressNginx")
    if wanted and not unclear and where["viz"] and not set(where["viz"]) & set(where["ingressNginx"]):
        rule = "none of the clusters with viz has ingress-nginx, so nothing would serve it"
        remedy = "name them in extensions.ingressNginx (with `install: false` where it is there already)"
        faults.add(("extensions", "viz", "dashboard"), ELLIPSIS, rule, remedy)
    if reading.file.dashboard_password is not None and not wanted and not unclear:
        rule = "there is no dashboard that asks for it"
        faults.add(("dashboardPassword",), ELLIPSIS, rule, "set extensions.viz.dashboard, or take it out")
