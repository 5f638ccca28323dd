"""Resolution of `namespaces` and `services`, and rules on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.field_types import ADD_ON_NAMESPACES, LINKERD_NAMESPACES
from mesh.config.models.services import ServiceConfig
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import DeclaredNamespace, DeclaredService, Sample
from mesh.config.validation.allow import check_allow
from mesh.config.validation.exports import choose_export_mode
from mesh.config.validation.extensions import check_listed_clusters
from mesh.config.validation.traffic import TrafficValidators
from mesh.kube.federated_services import federated_service_name
from mesh.mirrors import mirror_name
from mesh.topology import Link

Path = tuple[str | int, ...]

# Longest name of a Service in Kubernetes.
_MAX_SERVICE_NAME_LENGTH = 63
# Services that each sample creates.
SAMPLE_SERVICES: Mapping[str, tuple[str, ...]] = {
    "podinfo": ("podinfo", "frontend"),
    "helloworld": ("helloworld", "sleep"),
    "booksapp": ("webapp", "authors", "books", "error-injector"),
    "emojivoto": ("web-svc", "emoji-svc", "voting-svc"),
    "userlist": ("userlist-svc",),
}


def resolve_namespaces(
    parsed: ParsedStackFile, names: Sequence[str], errors: ValidationErrors, *, has_linkerd: bool
) -> list[DeclaredNamespace]:
    """Return the declared namespaces.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        errors: collects validation errors.
        has_linkerd: whether the stack has Linkerd.
    """
    namespaces: list[DeclaredNamespace] = []
    for name, config in parsed.file.namespaces.items():
        path: Path = ("namespaces", name)
        known = check_listed_clusters(config.clusters or [], (*path, "clusters"), parsed, names, errors)
        clusters = tuple(names if config.clusters is None else known.values())
        namespace = DeclaredNamespace(name=name, config=config, clusters=clusters)
        namespaces.append(namespace)
        _check_owner(parsed, path, namespace, errors)
        if not has_linkerd and namespace.annotations:
            rule = "needs Linkerd, which the stack does not have"
            errors.add(path, ELLIPSIS, rule, "remove it, or set `linkerd: {}` as well as `cilium`")
        if config.create and config.optional:
            rule = "the stack creates the namespace, so it cannot be missing"
            errors.add((*path, "optional"), True, rule, "remove one of `create` and `optional`")
        if config.restart and config.meshed is None:
            rule = "restarts only the workloads that do not match `meshed`, which is not set"
            errors.add((*path, "restart"), True, rule, "set `meshed`, or remove it")
    return namespaces


def _check_owner(parsed: ParsedStackFile, path: Path, namespace: DeclaredNamespace, errors: ValidationErrors) -> None:
    """Report a namespace that another part of the program uses."""
    remedy = "remove the entry"
    for cluster in namespace.clusters:
        if namespace.name == parsed.control_plane_namespace(cluster) or namespace.name in LINKERD_NAMESPACES:
            errors.add(path, ELLIPSIS, f"namespace of Linkerd in {cluster}", remedy)
        elif namespace.name in ADD_ON_NAMESPACES:
            errors.add(path, ELLIPSIS, "namespace of an add-on of this program", remedy)
    if namespace.name.startswith("kube-"):
        errors.add(path, ELLIPSIS, "reserved by Kubernetes, whose pods must start without the mesh", remedy)
    elif namespace.name == "default" and namespace.config.create:
        errors.add((*path, "create"), True, "every cluster has this namespace", "remove it")


def resolve_services(
    parsed: ParsedStackFile,
    names: Sequence[str],
    links: Sequence[Link],
    samples: Sequence[Sample],
    namespaces: Sequence[DeclaredNamespace],
    validators: TrafficValidators,
    errors: ValidationErrors,
    *,
    has_linkerd: bool,
) -> list[DeclaredService]:
    """Return the declared services.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        links: all links.
        samples: the samples.
        namespaces: the declared namespaces.
        validators: validators of exports, routes and profiles.
        errors: collects validation errors and warnings.
        has_linkerd: whether the stack has Linkerd.
    """
    namespace_clusters = {namespace.name: namespace.clusters for namespace in namespaces}
    services: list[DeclaredService] = []
    for key, config in parsed.file.services.items():
        namespace, _, name = key.partition("/")
        path: Path = ("services", key)
        if not has_linkerd:
            rule = "needs Linkerd, which the stack does not have"
            errors.add(path, ELLIPSIS, rule, "remove it, or set `linkerd: {}` as well as `cilium`")
            continue
        known = check_listed_clusters(config.clusters or [], (*path, "clusters"), parsed, names, errors)
        default = _named_clusters(config, names) or namespace_clusters.get(namespace) or tuple(names)
        clusters = tuple(default if config.clusters is None else known.values())
        modes = {cluster: choose_export_mode(config, cluster, links) for cluster in config.exported}
        profile = validators.profiles.resolve((*path, "profile"), config.profile, has_default_routes=False)
        service = DeclaredService(
            namespace=namespace, name=name, config=config, clusters=clusters, export_modes=modes, profile=profile
        )
        services.append(service)
        exported, federated = (
            _check_clusters(parsed, path, key, config_key, listed_names, service, names, errors)
            for config_key, listed_names in (("exported", config.exported), ("federated", config.federated))
        )
        validators.exports.check(path, config, exported, federated)
        validators.routes.check(path, config, clusters)
        _check_lengths(path, service, links, errors)
        _check_samples(path, service, samples, errors)
        _check_ports(parsed, path, config, errors)
        check_allow(parsed, path, service, names, links, errors)
        _check_linkerd_namespace(parsed, path, service, errors)
        _check_default_policy(parsed, path, service, namespaces, errors)
        if _is_empty(config):
            rule = "the entry changes nothing"
            errors.add(
                path, ELLIPSIS, rule, "set exported, federated, splits, failover, profile or allow, or remove it"
            )
    return services


def _named_clusters(config: ServiceConfig, names: Sequence[str]) -> tuple[str, ...]:
    """Return the clusters that an entry names as those of the service, in the order of the stack file."""
    split = {each.cluster for each in config.splits} | {each.cluster for each in config.failover}
    return tuple(name for name in names if name in {*config.exported, *config.federated} | split)


def _check_clusters(
    parsed: ParsedStackFile,
    path: Path,
    key: str,
    config_key: str,
    listed_names: Sequence[str],
    service: DeclaredService,
    names: Sequence[str],
    errors: ValidationErrors,
) -> Mapping[int, str]:
    """Return the known clusters of a list by their index, and report those that do not have the service."""
    clusters = check_listed_clusters(listed_names, (*path, config_key), parsed, names, errors)
    for index, name in clusters.items():
        if name not in service.clusters and not errors.is_invalid(*path, "clusters"):
            rule = f"{key} does not run in this cluster"
            errors.add((*path, config_key, index), name, rule, f"add it to services.{key}.clusters")
    return clusters


def _check_lengths(path: Path, service: DeclaredService, links: Sequence[Link], errors: ValidationErrors) -> None:
    """Report a service whose mirror would have a name that Kubernetes refuses."""
    for cluster in service.export_modes:
        mirror = mirror_name(service.name, cluster)
        if len(mirror) > _MAX_SERVICE_NAME_LENGTH and any(link.target == cluster for link in links):
            rule = (
                f"its mirror {mirror} would have {len(mirror)} characters, and Kubernetes allows "
                f"{_MAX_SERVICE_NAME_LENGTH}"
            )
            remedy = "export a Service with a shorter name that selects the same pods, or shorten the cluster's name"
            errors.add((*path, "exported"), cluster, rule, remedy)
    federated = federated_service_name(service.name)
    if service.config.federated and len(federated) > _MAX_SERVICE_NAME_LENGTH:
        rule = f"{federated} would have {len(federated)} characters, and Kubernetes allows {_MAX_SERVICE_NAME_LENGTH}"
        remedy = "use a Service with a shorter name that selects the same pods"
        errors.add((*path, "federated"), ELLIPSIS, rule, remedy)


def _check_samples(path: Path, service: DeclaredService, samples: Sequence[Sample], errors: ValidationErrors) -> None:
    """Report a service that a sample creates."""
    for sample in samples:
        if sample.config.namespace == service.namespace and service.name in SAMPLE_SERVICES[sample.name]:
            rule = f"the sample {sample.name} creates this service"
            errors.add(path, ELLIPSIS, rule, f"move the settings to workloads, below {sample.name}")


def _check_linkerd_namespace(
    parsed: ParsedStackFile, path: Path, service: DeclaredService, errors: ValidationErrors
) -> None:
    """Report a policy for pods of Linkerd, which would stop the mesh if it allowed too few clients."""
    reserved = {*LINKERD_NAMESPACES, *(parsed.control_plane_namespace(cluster) for cluster in service.clusters)}
    if service.config.allow is not None and service.namespace in reserved:
        rule = f"Linkerd's charts create the policies in namespace {service.namespace}"
        errors.add((*path, "allow"), ELLIPSIS, rule, "remove it")


def _check_default_policy(
    parsed: ParsedStackFile,
    path: Path,
    service: DeclaredService,
    namespaces: Sequence[DeclaredNamespace],
    errors: ValidationErrors,
) -> None:
    """Warn of an exported service whose namespace or cluster refuses all requests, those of the gateway included."""
    if service.config.allow is not None:
        return
    policies = {
        cluster: (f"namespaces.{namespace.name}", namespace.config.default_inbound_policy)
        for namespace in namespaces
        if namespace.name == service.namespace and namespace.config.default_inbound_policy is not None
        for cluster in namespace.clusters
    }
    for cluster in dict.fromkeys([*service.config.exported, *service.config.federated]):
        default = ("linkerd", parsed.default_inbound_policy(cluster))
        setting, policy = policies.get(cluster, default)
        if policy == "deny":
            rule = f"{setting}.defaultInboundPolicy: deny refuses all requests to it in {cluster}"
            errors.warn(path, ELLIPSIS, rule, "set allow, with the clusters of its clients")


def _check_ports(parsed: ParsedStackFile, path: Path, config: ServiceConfig, errors: ValidationErrors) -> None:
    used: set[int] = set()
    for index, port in zip(parsed.original_indices(*path, "ports"), config.ports, strict=True):
        if port.port in used:
            errors.add((*path, "ports", index), port.port, "duplicate entry", "remove one of the two")
        used.add(port.port)


def _is_empty(config: ServiceConfig) -> bool:
    return not (
        config.exported
        or config.federated
        or config.splits
        or config.failover
        or config.profile is not None
        or config.allow is not None
    )
