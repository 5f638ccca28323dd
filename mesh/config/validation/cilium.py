"""The ClusterMesh of a stack file: what `cilium clustermesh connect` would refuse or warn of, before anything is made.

Follows https://docs.cilium.io/en/stable/network/clustermesh/clustermesh/ (prerequisites).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.cilium import CiliumConfig, ClusterCiliumConfig
from mesh.config.models.extensions import ExtensionConfig
from mesh.config.network_types import is_ip
from mesh.config.parser import ParsedStackFile
from mesh.config.reserved_values import check_chart_values
from mesh.config.resolved import ClusterMeshMember, merge_values

# The port of a ClusterMesh API server.
APISERVER_PORT = 2379
# The longest name of a cluster that Cilium takes.
MAX_NAME_LENGTH = 32
_OLDEST_VERSION = (1, 14)
_MAX_511_SINCE = (1, 15)
# Between these, the chart says of its Service what a ClusterIP must not have, and lets nobody else make it.
_NO_CLUSTER_IP = ((1, 16), (1, 19))


def has_linkerd(config: Mapping[str, Any]) -> bool:
    """Whether Linkerd is wanted: always, unless Cilium is asked for and Linkerd isn't mentioned."""
    return config.get("cilium") in (None, False) or config.get("linkerd") is not None


def resolve_clustermesh(
    reading: ParsedStackFile, names: Sequence[str], faults: ValidationErrors
) -> dict[str, ClusterMeshMember]:
    """Each cluster's part in the ClusterMesh, by its name; none if there is no Cilium.

    Args:
        reading: the stack file.
        names: all names of clusters in it.
        faults: where faults go.
    """
    cilium = reading.file.cilium
    entries = {name: entry.cilium for name, entry in reading.file.clusters.items()}
    if cilium is None:
        for name, entry in entries.items():
            if entry.model_fields_set and not faults.is_invalid("cilium"):
                rule = "there is no ClusterMesh for it to be part of"
                faults.add(("clusters", name, "cilium"), ELLIPSIS, rule, "set `cilium: {}` as well, or take it out")
        return {}
    _check_version(cilium, faults)
    check_chart_values(("cilium", "values"), "cilium", cilium.values, faults)
    _check_ids(cilium, entries, names, faults)
    found = {}
    for name, entry in entries.items():
        path = ("clusters", name, "cilium")
        check_chart_values((*path, "values"), "cilium", entry.values, faults)
        if len(name) > MAX_NAME_LENGTH or name == "default":
            rule = f"Cilium takes names of at most {MAX_NAME_LENGTH} characters, and not `default`"
            faults.add(("clusters", name), ELLIPSIS, rule, "rename it, and leave the old name in its `context`")
        service = entry.service or cilium.service
        hosts = [address for address in entry.addresses if not is_ip(address)]
        if hosts and len(entry.addresses) > 1:
            rule = "the others can be told of several IPs, or of one host name"
            faults.add((*path, "addresses"), entry.addresses, rule, "leave the host name alone, or take it out")
        if service == "ClusterIP" and not entry.addresses and not faults.is_invalid(*path):
            rule = "a ClusterIP is no address that another cluster could reach"
            faults.add((*path, "addresses"), [], rule, "say where the others reach it, or choose another service")
        if service == "ClusterIP" and _NO_CLUSTER_IP[0] <= minor_version(cilium.version) < _NO_CLUSTER_IP[1]:
            rule = f"the chart of Cilium {cilium.version} can't make a ClusterIP"
            remedy = "choose 1.19 or later, or another service"
            faults.add((*path, "service") if entry.service else ("cilium", "service"), service, rule, remedy)
        if service == "LoadBalancer" and not entry.addresses and name in _balanced_here(reading):
            rule = "MetalLB would need Cilium's network before it could give Cilium an address"
            faults.add((*path, "service"), service, rule, "choose NodePort, or say where the others reach it")
        if entry.port is not None and not entry.addresses and not faults.is_invalid(*path, "addresses"):
            rule = "it is the port at `addresses`, and there are none"
            faults.add((*path, "port"), entry.port, rule, "say where the others reach it, or take the port out")
        port = entry.port or (cilium.node_port if service == "NodePort" else APISERVER_PORT)
        found[name] = ClusterMeshMember(
            id=entry.id or 0,
            service=service,
            addresses=tuple(entry.addresses),
            port=port,
            annotations=entry.annotations,
            values=merge_values(cilium.values, entry.values),
        )
    return found


def _balanced_here(reading: ParsedStackFile) -> Collection[str]:
    """The clusters whose load balancer is a MetalLB of this program's."""
    metallb = reading.file.extensions.metallb
    return metallb.pools if metallb is not None else ()


def check_without_linkerd(reading: ParsedStackFile, faults: ValidationErrors) -> None:
    """Faults of what is about Linkerd alone, where there is none.

    Args:
        reading: the stack file.
        faults: where faults go.
    """
    file = reading.file
    extensions, trust = file.extensions, file.trust
    link = "links are Linkerd's, and a ClusterMesh joins all clusters"
    extension, other = "an extension of Linkerd, which isn't there", "it is about Linkerd, which isn't there"
    wanted: dict[tuple[str, ...], tuple[object, str]] = {
        ("links",): (file.links, link),
        ("topology",): (file.topology, link),
        ("buoyantCloud",): (file.buoyant_cloud, other),
        ("trust", "anchor"): (trust.anchor, other),
        ("trust", "issuers"): (trust.issuers, other),
        ("trust", "certManager"): (trust.cert_manager, other),
        ("extensions", "viz"): (_somewhere(extensions.viz), extension),
        ("extensions", "jaeger"): (_somewhere(extensions.jaeger), extension),
        ("extensions", "smi"): (_somewhere(extensions.smi), extension),
        # What a cluster says of Linkerd doesn't bring it.
        **{
            ("clusters", name, "linkerd"): (entry.linkerd.model_fields_set, other)
            for name, entry in file.clusters.items()
        },
    }
    for path, (value, rule) in wanted.items():
        if value:
            faults.add(path, ELLIPSIS, rule, "take it out, or set `linkerd: {}` to have both")


def _somewhere(extension: ExtensionConfig | None) -> bool:
    return extension is not None and extension.clusters != []


def _check_version(cilium: CiliumConfig, faults: ValidationErrors) -> None:
    if faults.is_invalid("cilium", "version"):
        return
    found = minor_version(cilium.version)
    if found < _OLDEST_VERSION:
        oldest = ".".join(map(str, _OLDEST_VERSION))
        rule = f"older than {oldest}, the first Cilium that this program knows"
        faults.add(("cilium", "version"), cilium.version, rule, f"choose {oldest}.0 or later")
    if cilium.max_connected_clusters > 255 and found < _MAX_511_SINCE:
        rule = f"Cilium {cilium.version} joins 255 clusters at most"
        remedy = "set cilium.version to 1.15.0 or later, or leave it at 255"
        faults.add(("cilium", "maxConnectedClusters"), cilium.max_connected_clusters, rule, remedy)


def minor_version(version: str) -> tuple[int, int]:
    """The first two numbers of a version."""
    major, following, *_ = version.removeprefix("v").split(".")
    return int(major), int(following)


def _check_ids(
    cilium: CiliumConfig, entries: Mapping[str, ClusterCiliumConfig], names: Sequence[str], faults: ValidationErrors
) -> None:
    taken: dict[int, str] = {}
    highest = cilium.max_connected_clusters
    free = (number for number in range(1, highest + 1) if number not in {entry.id for entry in entries.values()})
    for name in names:
        path = ("clusters", name, "cilium", "id")
        entry = entries.get(name)
        if entry is None or faults.is_invalid(*path) or faults.is_invalid(*path[:3]):
            continue
        if entry.id is None:
            number = next(free, None)
            remedy = f"give it one that no other cluster has, such as {number}"
            if number is None:
                remedy = f"take a cluster out{_more(highest)}"
            faults.add(path, None, "every cluster of a ClusterMesh has a number", remedy)
        elif entry.id > highest:
            remedy = f"choose one of 1 to {highest}{_more(highest)}"
            faults.add(path, entry.id, f"more than cilium.maxConnectedClusters ({highest})", remedy)
        elif entry.id in taken:
            faults.add(path, entry.id, f"clusters.{taken[entry.id]} has this number too", "choose another one")
        taken.setdefault(entry.id or 0, name)


def _more(highest: int) -> str:
    return ", or set cilium.maxConnectedClusters to 511" if highest == 255 else ""
