"""Resolution of the clusters: contexts, merged Linkerd settings, and rules on each cluster."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from mesh.config.base_model import StrictModel
from mesh.config.errors import ELLIPSIS, ValidationErrors, suggest
from mesh.config.field_types import SYSTEM_TRUST
from mesh.config.models.stack_file import ApiServerConfig, ClusterConfig, ClusterLinkerdConfig, StackFile
from mesh.config.network_types import is_loopback
from mesh.config.parser import ParsedStackFile
from mesh.config.reserved_values import check_linkerd_values
from mesh.config.resolved import ClusterSettings, PeerAccess, merge_values
from mesh.config.validation.contexts import ContextResolver
from mesh.config.value_checks import expand_path
from mesh.kube import kubeconfig
from mesh.linkerd_releases import LinkerdRelease

# Ports of the gateway's Service.
GATEWAY_PORT, PROBE_PORT = 4143, 4191


def resolve_clusters(
    parsed: ParsedStackFile,
    names: list[str],
    linkerd_release: LinkerdRelease,
    environment: Mapping[str, str],
    errors: ValidationErrors,
) -> list[ClusterSettings]:
    """Return the clusters whose kubeconfig has their context.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        linkerd_release: the Linkerd release of the mesh.
        environment: environment variables of the process, for `$KUBECONFIG`.
        errors: collects validation errors.
    """
    file = parsed.file
    if not names and not errors.is_invalid("clusters"):
        errors.add(
            ("clusters",), None, "at least one cluster is required", "add one below `clusters`, as in `west: {}`"
        )
    for name in file.kubeconfigs:
        if names and name not in names:
            errors.add(("kubeconfigs", name), ELLIPSIS, "no such cluster in `clusters`", suggest(name, names))
    check_linkerd_values(("linkerd", "values"), file.linkerd, errors)
    _check_tolerations(("linkerd", "tolerations"), file.linkerd, parsed, errors)
    resolver = ContextResolver(environment, errors)
    resolved: list[tuple[ClusterSettings, tuple[Any, ...]]] = []
    for name, config in file.clusters.items():
        path = ("clusters", name)
        check_linkerd_values((*path, "linkerd", "values"), config.linkerd, errors)
        _check_tolerations((*path, "linkerd", "tolerations"), config.linkerd, parsed, errors)
        _check_gateway((*path, "gateway"), config, errors)
        _check_api_server((*path, "apiServer"), config.api_server, errors)
        _check_renaming(path, config, file, names, errors)
        secret = file.kubeconfigs.get(name)
        if secret is not None and config.kubeconfig is not None:
            rule = f"duplicate of kubeconfigs.{name}"
            errors.add((*path, "kubeconfig"), config.kubeconfig, rule, "remove one of the two")
        content = secret.get_secret_value() if secret is not None else None
        context = resolver.find_context(name, config, content)
        if context is None:
            continue
        if config.kubeconfig is not None and context.has_relative_paths:
            # The Kubernetes provider resolves them for $KUBECONFIG only.
            content = context.render()
        cluster = ClusterSettings(
            name=name,
            context=context,
            kubeconfig=content or expand_path(config.kubeconfig or ""),
            has_secret_kubeconfig=content is not None,
            reachable=config.reachable is True,
            is_abandoned=config.reachable == "never",
            renamed_from=config.renamed_from,
            replaces=config.replaces,
            api_server=config.api_server.url or context.server,
            peer_access=_resolve_peer_access(config.api_server, context),
            gateway=config.gateway,
            networks=config.networks,
            adopt=config.adopt,
            linkerd=_merge_linkerd(file.linkerd, config.linkerd),
            timeouts=file.timeouts.model_copy(update=_set_fields(config.timeouts)),
            linkerd_release=linkerd_release,
        )
        resolved.append((cluster, resolver.kubeconfig_id(config, content)))
    _check_duplicate_clusters(resolved, errors)
    return [cluster for cluster, _ in resolved]


def _check_renaming(
    path: tuple[str, ...],
    config: ClusterConfig,
    file: StackFile,
    names: Sequence[str],
    errors: ValidationErrors,
) -> None:
    """Report a renamed or rebuilt cluster that contradicts the rest of the stack file."""
    former_path = (*path, "renamedFrom")
    if config.renamed_from is not None and config.renamed_from in names:
        rule = "a cluster of this name is in `clusters`, and a name cannot be reused in the update that frees it"
        remedy = "remove renamedFrom if the cluster is renamed already, or rename in two updates"
        errors.add(former_path, config.renamed_from, rule, remedy)
    if config.renamed_from is not None:
        first = next(name for name, each in file.clusters.items() if each.renamed_from == config.renamed_from)
        if first != path[-1]:
            errors.add(
                former_path, config.renamed_from, f"clusters.{first} has the same former name", "remove one of the two"
            )
        if file.cilium is not None:
            rule = "Cilium makes the name of a cluster part of the identity of every pod"
            errors.add(former_path, config.renamed_from, rule, "keep the old name, and set `context` to the new one")
    if config.replaces is not None and not file.preflight.enabled:
        rule = "without the preflight, the UID of the new cluster is unknown"
        errors.add((*path, "replaces"), config.replaces, rule, "enable the preflight for this update")
    for key, value in (("renamedFrom", config.renamed_from), ("replaces", config.replaces)):
        if value is not None and config.reachable is not True:
            rule = "resources of an unreachable cluster stay unchanged"
            errors.add((*path, key), value, rule, f"remove {key} until the cluster is reachable")


def _merge_linkerd(mesh_config: ClusterLinkerdConfig, cluster_config: ClusterLinkerdConfig) -> ClusterLinkerdConfig:
    """Return the mesh's settings, overridden by those of a cluster; chart values are merged key by key."""
    overrides = _set_fields(cluster_config)
    charts = mesh_config.values.keys() | cluster_config.values.keys()
    overrides["values"] = {
        chart: merge_values(mesh_config.values.get(chart, {}), cluster_config.values.get(chart, {})) for chart in charts
    }
    return mesh_config.model_copy(update=overrides)


def _set_fields(config: StrictModel) -> dict[str, Any]:
    """Return the fields that the stack file sets."""
    return {key: getattr(config, key) for key in config.model_fields_set}


def _check_gateway(path: tuple[str, ...], config: ClusterConfig, errors: ValidationErrors) -> None:
    gateway, load_balancer = config.gateway, config.gateway.load_balancer
    same_port = "the gateway and its probe need different ports"
    if (gateway.port or GATEWAY_PORT) == (gateway.probe_port or PROBE_PORT):
        key, value = ("probePort", gateway.probe_port) if gateway.probe_port else ("port", gateway.port)
        errors.add((*path, key), value, same_port, "choose another port")
    if not gateway.enabled and gateway.model_fields_set - {"enabled"}:
        rule = "the other settings need a gateway"
        errors.add((*path, "enabled"), False, rule, "remove the other settings, or enable the gateway")
    if load_balancer.public and load_balancer.source_ranges:
        rule = "contradicts sourceRanges, which restricts access"
        errors.add((*path, "loadBalancer", "public"), True, rule, "remove one of the two")
    if gateway.node_port is None:
        return
    if load_balancer.model_fields_set and load_balancer.enabled:
        rule = "a gateway has either node ports or a load balancer"
        errors.add((*path, "nodePort"), gateway.node_port.model_dump(), rule, "remove nodePort or loadBalancer")
    if gateway.node_port.port == gateway.node_port.probe_port:
        errors.add((*path, "nodePort", "probePort"), gateway.node_port.probe_port, same_port, "choose another port")


def _check_api_server(path: tuple[str, ...], api_server: ApiServerConfig, errors: ValidationErrors) -> None:
    authority = api_server.certificate_authority
    if authority is None or authority == SYSTEM_TRUST:
        return
    from mesh import certificate_validation

    for finding in certificate_validation.check_readable(authority):
        errors.add((*path, "certificateAuthority"), authority, finding.rule, finding.remedy)


def _resolve_peer_access(api_server: ApiServerConfig, context: kubeconfig.Context) -> PeerAccess:
    """Return how other clusters verify the API server.

    The kubeconfig's CA and server name belong to the kubeconfig's URL, which can be that of a proxy in front of the
    cluster. A proxy of the kubeconfig is for this machine only.
    """
    is_same_server = api_server.url is None or _normalize_url(api_server.url) == _normalize_url(context.server)
    authority, uses_cluster_authority = context.certificate_authority, False
    if api_server.certificate_authority is not None:
        authority = None
        if api_server.certificate_authority != SYSTEM_TRUST:
            authority = base64.b64encode(api_server.certificate_authority.encode()).decode()
    elif not is_same_server or not context.is_verified:
        # A kubeconfig that does not verify the API server has no CA that could be carried over.
        authority, uses_cluster_authority = None, True
    return PeerAccess(
        certificate_authority=authority,
        uses_cluster_authority=uses_cluster_authority,
        tls_server_name=api_server.tls_server_name or (context.tls_server_name if is_same_server else None),
        is_checked=api_server.check,
    )


def _normalize_url(url: str) -> tuple[str, str, int, str] | str:
    """Return a value that is equal for two forms of one URL; invalid URLs are equal only to themselves."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or 443, parts.path.rstrip("/")
    except ValueError:
        return url


def _check_tolerations(
    path: tuple[str, ...], linkerd: ClusterLinkerdConfig, parsed: ParsedStackFile, errors: ValidationErrors
) -> None:
    """Report tolerations that Kubernetes would reject after a part of Linkerd is installed."""
    for index, toleration in zip(parsed.original_indices(*path), linkerd.tolerations, strict=True):
        entry_path: tuple[str | int, ...] = (*path, index)
        if errors.is_invalid(*entry_path):
            continue
        if toleration.operator == "Exists" and toleration.value:
            rule = "`operator: Exists` accepts any value"
            errors.add((*entry_path, "value"), toleration.value, rule, "remove the value or the operator")
        if toleration.key is None and toleration.operator != "Exists":
            remedy = "add the key of the taint, or `operator: Exists` for any key"
            errors.add((*entry_path, "key"), None, "no taint is named", remedy)
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            rule = "tolerationSeconds needs the effect NoExecute"
            remedy = "set `effect: NoExecute`, or remove tolerationSeconds"
            errors.add((*entry_path, "effect"), toleration.effect, rule, remedy)


def _check_duplicate_clusters(
    resolved: list[tuple[ClusterSettings, tuple[Any, ...]]], errors: ValidationErrors
) -> None:
    owners: dict[tuple[Any, ...], str] = {}
    for cluster, kubeconfig_id in resolved:
        key = (*kubeconfig_id, cluster.context.name)
        if key in owners:
            rule = f"same context as clusters.{owners[key]}, but a cluster can be in the mesh only once"
            errors.add(("clusters", cluster.name, "context"), cluster.context.name, rule, "set another context")
        owners.setdefault(key, cluster.name)


def check_known_cluster(name: str, path: tuple[str | int, ...], names: Sequence[str], errors: ValidationErrors) -> bool:
    """Return whether the stack file has a cluster of that name, and report an unknown name.

    Without any cluster, nothing is reported: `resolve_clusters` reports that already.
    """
    if names and name not in names:
        errors.add(path, name, "no such cluster in `clusters`", suggest(name, names))
    return name in names


def is_loopback_url(url: str) -> bool:
    """Return whether the host of a URL is a loopback address."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
