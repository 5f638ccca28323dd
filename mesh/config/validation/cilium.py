"""Resolution of the ClusterMesh, and rules that `cilium clustermesh connect` would report only after installation.

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

APISERVER_PORT = 2379
# Cilium's limit for cluster names.
MAX_NAME_LENGTH = 32
_OLDEST_VERSION = (1, 14)
_MAX_511_SINCE = (1, 15)
# Before this version, the chart requires different node ports where Cilium replaces kube-proxy (cilium/cilium#24692).
_SHARED_NODE_PORT_SINCE = (1, 19)
# The highest port of the default range of `kube-apiserver --service-node-port-range`, and the highest port of all.
_MAX_NODE_PORTS = (32767, 65535)
# Versions whose chart sets Service fields that a ClusterIP cannot have: from the first, up to before the second.
_BROKEN_CLUSTER_IP = ((1, 16), (1, 19))


def has_linkerd(config: Mapping[str, Any]) -> bool:
    """Return whether the stack has Linkerd: always, except with `cilium` and without the key `linkerd`."""
    return config.get("cilium") in (None, False) or config.get("linkerd") is not None


def resolve_clustermesh(
    parsed: ParsedStackFile, names: Sequence[str], errors: ValidationErrors
) -> dict[str, ClusterMeshMember]:
    """Return the members of the ClusterMesh by cluster; empty without Cilium.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        errors: collects validation errors.
    """
    cilium = parsed.file.cilium
    configs = {name: cluster.cilium for name, cluster in parsed.file.clusters.items()}
    if cilium is None:
        for name, config in configs.items():
            if config.model_fields_set and not errors.is_invalid("cilium"):
                rule = "the stack has no ClusterMesh"
                errors.add(("clusters", name, "cilium"), ELLIPSIS, rule, "set `cilium: {}` as well, or remove it")
        return {}
    _check_version(cilium, errors)
    check_chart_values(("cilium", "values"), "cilium", cilium.values, errors)
    _check_ids(cilium, configs, names, errors)
    node_ports = _resolve_node_ports(cilium, configs, errors)
    members = {}
    for name, config in configs.items():
        path = ("clusters", name, "cilium")
        check_chart_values((*path, "values"), "cilium", config.values, errors)
        if len(name) > MAX_NAME_LENGTH or name == "default":
            rule = f"Cilium accepts names of at most {MAX_NAME_LENGTH} characters, except `default`"
            errors.add(("clusters", name), ELLIPSIS, rule, "rename it, and set `context` to the old name")
        service = config.service or cilium.service
        host_names = [address for address in config.addresses if not is_ip(address)]
        if host_names and len(config.addresses) > 1:
            rule = "several IP addresses or one host name are allowed"
            errors.add((*path, "addresses"), config.addresses, rule, "keep only the host name, or remove it")
        if service == "ClusterIP" and not config.addresses and not errors.is_invalid(*path):
            rule = "other clusters cannot reach a ClusterIP"
            errors.add(
                (*path, "addresses"), [], rule, "set addresses at which they reach it, or choose another service"
            )
        if service == "ClusterIP" and _BROKEN_CLUSTER_IP[0] <= minor_version(cilium.version) < _BROKEN_CLUSTER_IP[1]:
            rule = f"the chart of Cilium {cilium.version} cannot create a ClusterIP"
            remedy = "choose 1.19 or later, or another service"
            errors.add((*path, "service") if config.service else ("cilium", "service"), service, rule, remedy)
        if service == "LoadBalancer" and not config.addresses and name in _metallb_clusters(parsed):
            rule = "MetalLB needs Cilium's network before it can assign an address to Cilium"
            errors.add((*path, "service"), service, rule, "choose NodePort, or set addresses")
        if config.port is not None and not config.addresses and not errors.is_invalid(*path, "addresses"):
            rule = "has no effect without addresses"
            errors.add((*path, "port"), config.port, rule, "set addresses, or remove the port")
        if config.node_port is not None and service != "NodePort" and not errors.is_invalid(*path, "service"):
            rule = f"has no effect with `service: {service}`"
            errors.add((*path, "nodePort"), config.node_port, rule, "remove it, or set `service: NodePort`")
        gateway = parsed.file.clusters[name].gateway.node_port
        if gateway is not None and node_ports.get(name) in (gateway.port, gateway.probe_port):
            remedy = "choose another port here or in gateway.nodePort"
            errors.add((*path, "nodePort"), node_ports[name], "also a node port of the cluster's gateway", remedy)
        port = config.port or node_ports.get(name, APISERVER_PORT)
        members[name] = ClusterMeshMember(
            id=config.id or 0,
            service=service,
            addresses=tuple(config.addresses),
            port=port,
            node_port=node_ports.get(name),
            annotations=config.annotations,
            values=merge_values(cilium.values, config.values),
        )
    return members


def _resolve_node_ports(
    cilium: CiliumConfig, configs: Mapping[str, ClusterCiliumConfig], errors: ValidationErrors
) -> dict[str, int]:
    """Return the node port of each cluster whose ClusterMesh API server has one.

    Cilium that replaces kube-proxy redirects requests for a port of a remote node to its own cluster, if its own
    cluster has a Service with the same node port. Such a cluster therefore needs a port that no peer has.
    """
    exposed = [name for name, config in configs.items() if (config.service or cilium.service) == "NodePort"]
    replacing = {name for name in exposed if _handles_node_ports(merge_values(cilium.values, configs[name].values))}
    if len(exposed) == 1 or minor_version(cilium.version) >= _SHARED_NODE_PORT_SINCE:
        replacing = set()
    ports = {}
    for name in exposed:
        config = configs[name]
        default = unique_node_port(cilium.node_port, config.id or 0) if name in replacing else cilium.node_port
        ports[name] = config.node_port or default
    # An invalid value may be any port, or no port at all.
    keys = ("service", "nodePort")
    valid = [name for name in exposed if not any(errors.is_invalid("clusters", name, "cilium", key) for key in keys)]
    for index, name in enumerate(valid):
        for other in valid[:index]:
            affected = replacing & {name, other}
            if affected and ports[name] == ports[other]:
                _report_shared_node_port(cilium, configs, (name, other), min(affected), errors)
    return ports


def _report_shared_node_port(
    cilium: CiliumConfig,
    configs: Mapping[str, ClusterCiliumConfig],
    pair: tuple[str, str],
    affected: str,
    errors: ValidationErrors,
) -> None:
    # Default ports are unique, so the stack file sets the port of at least one cluster, unless IDs are invalid.
    name, other = pair if configs[pair[0]].node_port is not None else (pair[1], pair[0])
    node_port = configs[name].node_port
    if node_port is not None:
        rule = (
            f"also the node port of clusters.{other}, and Cilium {cilium.version} replaces kube-proxy in "
            f"clusters.{affected}, which would answer requests for that port itself"
        )
        remedy = "choose a unique port, or remove it"
        errors.add(("clusters", name, "cilium", "nodePort"), node_port, rule, remedy)


def _handles_node_ports(values: Mapping[str, Any]) -> bool:
    """Return whether Cilium handles node ports in place of kube-proxy; no chart does so by default."""
    # `strict` is a word of 1.14 and 1.15; `partial` and `false` leave node ports to `nodePort.enabled`.
    if str(values.get("kubeProxyReplacement")).lower() in ("true", "strict"):
        return True
    node_port = values.get("nodePort")
    return isinstance(node_port, dict) and str(node_port.get("enabled")).lower() == "true"


def unique_node_port(base: int, cluster_id: int) -> int:
    """Return a node port that differs from the base and from the ports of all other IDs.

    Args:
        base: the node port of the clusters that need no unique port.
        cluster_id: ID of the cluster; as it never changes, neither does the port.
    """
    highest = next(port for port in _MAX_NODE_PORTS if base <= port)
    port = base + cluster_id
    return port if port <= highest else base - (port - highest)


def _metallb_clusters(parsed: ParsedStackFile) -> Collection[str]:
    """Return the clusters on which the stack installs MetalLB."""
    metallb = parsed.file.extensions.metallb
    return metallb.pools if metallb is not None else ()


def check_without_linkerd(parsed: ParsedStackFile, errors: ValidationErrors) -> None:
    """Report settings that need Linkerd, in a stack without Linkerd.

    Args:
        parsed: the stack file.
        errors: collects validation errors.
    """
    file = parsed.file
    extensions, trust = file.extensions, file.trust
    link = "links need Linkerd, and a ClusterMesh joins all clusters"
    extension, other = "extension of Linkerd in a stack without Linkerd", "needs Linkerd, which the stack does not have"
    settings: dict[tuple[str, ...], tuple[object, str]] = {
        ("links",): (file.links, link),
        ("topology",): (file.topology, link),
        ("buoyantCloud",): (file.buoyant_cloud, other),
        ("trust", "anchor"): (trust.anchor, other),
        ("trust", "issuers"): (trust.issuers, other),
        ("trust", "certManager"): (trust.cert_manager, other),
        ("extensions", "viz"): (_is_installed(extensions.viz), extension),
        ("extensions", "jaeger"): (_is_installed(extensions.jaeger), extension),
        ("extensions", "smi"): (_is_installed(extensions.smi), extension),
        # Settings of Linkerd below a cluster do not add Linkerd to the stack.
        **{
            ("clusters", name, "linkerd"): (cluster.linkerd.model_fields_set, other)
            for name, cluster in file.clusters.items()
        },
    }
    for path, (value, rule) in settings.items():
        if value:
            errors.add(path, ELLIPSIS, rule, "remove it, or set `linkerd: {}` to install Linkerd too")


def _is_installed(extension: ExtensionConfig | None) -> bool:
    return extension is not None and extension.clusters != []


def _check_version(cilium: CiliumConfig, errors: ValidationErrors) -> None:
    if errors.is_invalid("cilium", "version"):
        return
    version = minor_version(cilium.version)
    if version < _OLDEST_VERSION:
        oldest = ".".join(map(str, _OLDEST_VERSION))
        rule = f"older than {oldest}, the oldest supported version"
        errors.add(("cilium", "version"), cilium.version, rule, f"choose {oldest}.0 or later")
    if cilium.max_connected_clusters > 255 and version < _MAX_511_SINCE:
        rule = f"Cilium {cilium.version} supports at most 255 clusters"
        remedy = "set cilium.version to 1.15.0 or later, or this setting to 255"
        errors.add(("cilium", "maxConnectedClusters"), cilium.max_connected_clusters, rule, remedy)


def minor_version(version: str) -> tuple[int, int]:
    """Return the major and the minor number of a version."""
    major, minor, *_ = version.removeprefix("v").split(".")
    return int(major), int(minor)


def _check_ids(
    cilium: CiliumConfig, configs: Mapping[str, ClusterCiliumConfig], names: Sequence[str], errors: ValidationErrors
) -> None:
    owners: dict[int, str] = {}
    highest = cilium.max_connected_clusters
    used = {config.id for config in configs.values()}
    free = (number for number in range(1, highest + 1) if number not in used)
    for name in names:
        path = ("clusters", name, "cilium", "id")
        config = configs.get(name)
        if config is None or errors.is_invalid(*path) or errors.is_invalid(*path[:3]):
            continue
        if config.id is None:
            number = next(free, None)
            remedy = f"set a unique number, such as {number}"
            if number is None:
                remedy = f"remove a cluster{_larger_mesh(highest)}"
            errors.add(path, None, "every cluster of a ClusterMesh needs a number", remedy)
        elif config.id > highest:
            remedy = f"choose one of 1 to {highest}{_larger_mesh(highest)}"
            errors.add(path, config.id, f"more than cilium.maxConnectedClusters ({highest})", remedy)
        elif config.id in owners:
            errors.add(path, config.id, f"duplicate of clusters.{owners[config.id]}.cilium.id", "choose another number")
        owners.setdefault(config.id or 0, name)


def _larger_mesh(highest: int) -> str:
    return ", or set cilium.maxConnectedClusters to 511" if highest == 255 else ""
