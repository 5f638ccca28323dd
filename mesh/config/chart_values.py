"""Chart values in the stack file, each with its path, and the chart and version to which Helm passes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mesh.config.base_model import Values
from mesh.config.models.stack_file import ChartSourceName, LinkerdChart, StackFile
from mesh.config.resolved import ChartValues, ClusterSettings
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

SERVICE_MIRROR = "service-mirror"


def list_chart_values(
    file: StackFile,
    clusters: Sequence[ClusterSettings],
    links: Sequence[Link],
    linkerd_release: LinkerdRelease,
    sources: Mapping[ChartSourceName, str],
    *,
    has_linkerd: bool,
) -> tuple[ChartValues, ...]:
    """Return the values of all charts that the stack installs.

    Values of other charts have no effect, and their chart source need not exist.

    Args:
        file: the parsed stack file.
        clusters: the resolved clusters.
        links: all links.
        linkerd_release: the Linkerd release of the mesh.
        sources: source of each chart.
        has_linkerd: whether the stack has Linkerd.
    """
    chart_values = [
        *(_list_linkerd_values(file, clusters, links, linkerd_release, sources) if has_linkerd else ()),
        *_list_other_values(file, clusters, sources),
    ]
    return tuple(each for each in chart_values if each.values)


def _list_linkerd_values(
    file: StackFile,
    clusters: Sequence[ClusterSettings],
    links: Sequence[Link],
    linkerd_release: LinkerdRelease,
    sources: Mapping[ChartSourceName, str],
) -> Iterator[ChartValues]:
    installed = {cluster.name: _list_linkerd_charts(cluster, links, linkerd_release) for cluster in clusters}
    everywhere = {chart: version for charts in installed.values() for chart, version in charts.items()}
    places: list[tuple[tuple[str, ...], Mapping[LinkerdChart, Values], Mapping[str, str]]] = [
        (("linkerd", "values"), file.linkerd.values, everywhere)
    ]
    places += [
        (("clusters", name, "linkerd", "values"), config.linkerd.values, installed.get(name, {}))
        for name, config in file.clusters.items()
    ]
    for path, by_chart, charts in places:
        for chart, values in by_chart.items():
            if chart in charts:
                source = sources["linkerd-smi" if chart == "linkerd-smi" else "linkerd"]
                yield ChartValues(path=(*path, chart), chart=chart, version=charts[chart], source=source, values=values)


def _list_linkerd_charts(
    cluster: ClusterSettings, links: Sequence[Link], linkerd_release: LinkerdRelease
) -> dict[str, str]:
    """Return the version of each chart of Linkerd and its extensions on a cluster."""
    extensions = cluster.extensions
    versions: dict[str, str | None] = {
        "linkerd-crds": linkerd_release.crds,
        "linkerd-control-plane": linkerd_release.control_plane,
        "linkerd2-cni": linkerd_release.cni if cluster.linkerd.cni else None,
        "linkerd-multicluster": linkerd_release.multicluster if cluster.has_multicluster else None,
        SERVICE_MIRROR: linkerd_release.version if any(link.source == cluster.name for link in links) else None,
        "linkerd-viz": linkerd_release.viz if extensions.viz is not None else None,
        "linkerd-jaeger": linkerd_release.jaeger if extensions.jaeger else None,
        "linkerd-smi": extensions.smi.version if extensions.smi is not None else None,
    }
    return {chart: version for chart, version in versions.items() if version is not None}


def _list_other_values(
    file: StackFile, clusters: Sequence[ClusterSettings], sources: Mapping[ChartSourceName, str]
) -> Iterator[ChartValues]:
    def place(path: tuple[str, ...], chart: ChartSourceName, version: str, values: Values) -> ChartValues:
        return ChartValues(path=path, chart=chart, version=version, source=sources[chart], values=values)

    metallb, ingress_nginx, cilium = file.extensions.metallb, file.extensions.ingress_nginx, file.cilium
    if metallb is not None:
        yield place(("extensions", "metallb", "values"), "metallb", metallb.version, metallb.values)
    if ingress_nginx is not None and ingress_nginx.install and any(each.extensions.ingress_nginx for each in clusters):
        path = ("extensions", "ingressNginx", "values")
        yield place(path, "ingress-nginx", ingress_nginx.version, ingress_nginx.values)
    if cilium is not None:
        yield place(("cilium", "values"), "cilium", cilium.version, cilium.values)
        for name, config in file.clusters.items():
            yield place(("clusters", name, "cilium", "values"), "cilium", cilium.version, config.cilium.values)
