"""Resolution of the sample workloads, and rules on their clusters and namespaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.config.errors import ELLIPSIS, ValidationErrors, format_path, join_names
from mesh.config.field_types import ADD_ON_NAMESPACES, LINKERD_NAMESPACES
from mesh.config.memory import memory_bytes
from mesh.config.models.samples import (
    BooksappConfig,
    EmojivotoConfig,
    HelloworldConfig,
    PodinfoConfig,
    SampleConfig,
    UserlistConfig,
    WorkloadConfig,
)
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import Sample
from mesh.config.validation.clusters import check_known_cluster
from mesh.config.validation.exports import choose_export_mode
from mesh.config.validation.extensions import check_listed_clusters
from mesh.config.validation.traffic import TrafficValidators
from mesh.topology import Link

Path = tuple[str | int, ...]

# The containers of each sample, whose images a stack file can replace.
CONTAINERS: Mapping[str, tuple[str, ...]] = {
    "podinfo": ("podinfo", "nginx", "internal", "external"),
    "helloworld": ("helloworld-v1", "helloworld-v2", "sleep"),
    "booksapp": ("webapp", "authors", "books", "traffic", "error-injector"),
    "emojivoto": ("web-svc", "emoji-svc", "voting-svc", "vote-bot"),
    "userlist": ("userlist", "curltest"),
}
# Names that stack files may use for containers with another name now.
_FORMER_CONTAINERS: Mapping[str, tuple[str, ...]] = {"podinfo": ("frontend",)}
_LINKERD_FIELDS = (
    "exported",
    "federated",
    "export_mode",
    "splits",
    "failover",
    "profile",
    "policy",
    "policy_clients",
    "fault_injection",
    "default_inbound_policy",
)


def resolve_samples(
    parsed: ParsedStackFile,
    names: Sequence[str],
    links: Sequence[Link],
    validators: TrafficValidators,
    errors: ValidationErrors,
    *,
    has_linkerd: bool = True,
) -> list[Sample]:
    """Return the sample workloads.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        links: all links.
        validators: validators of exports, routes and profiles.
        errors: collects validation errors and warnings.
        has_linkerd: whether the stack has Linkerd.
    """
    samples: list[Sample] = []
    used_names = _UsedNames()
    for index, workload in zip(parsed.original_indices("workloads"), parsed.file.workloads, strict=True):
        validator = _SampleValidator(parsed, names, errors, index, workload)
        sample = validator.resolve(links, validators, used_names, has_linkerd=has_linkerd)
        if sample is not None:
            samples.append(sample)
    return samples


@dataclass
class _UsedNames:
    """Names that earlier entries of `workloads` use."""

    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)  # by resource name: cluster and namespace
    samples: set[tuple[str, str, str]] = field(default_factory=set)  # cluster, namespace and sample


class _SampleValidator:
    """Validator of one entry of `workloads`."""

    def __init__(
        self,
        parsed: ParsedStackFile,
        names: Sequence[str],
        errors: ValidationErrors,
        index: int,
        workload: WorkloadConfig,
    ) -> None:
        self._parsed, self._names, self._errors = parsed, names, errors
        self._entry_path: Path = ("workloads", index)
        configs = {name: getattr(workload, name) for name in CONTAINERS}
        self._configs: dict[str, Any] = {name: config for name, config in configs.items() if config is not None}
        self._path: Path = self._entry_path
        self._clusters: tuple[str, ...] = ()

    def resolve(
        self,
        links: Sequence[Link],
        validators: TrafficValidators,
        used_names: _UsedNames,
        *,
        has_linkerd: bool,
    ) -> Sample | None:
        """Return the sample; None if the entry does not name exactly one."""
        if len(self._configs) != 1:
            self._report_not_one_sample()
            return None
        ((name, config),) = self._configs.items()
        self._path = (*self._entry_path, name)
        listed_clusters = self._check_clusters("clusters", config.clusters or []).values()
        self._clusters = tuple(self._names if config.clusters is None else listed_clusters)
        modes = {cluster: choose_export_mode(config, cluster, links) for cluster in config.exported}
        profile = None
        if has_linkerd and isinstance(config, PodinfoConfig | BooksappConfig):
            profile = validators.profiles.resolve((*self._path, "profile"), config.profile, has_default_routes=True)
        sample = Sample(config=config, clusters=self._clusters, export_modes=modes, profile=profile)
        exported = self._check_running_clusters("exported", config.exported, name)
        federated = self._check_running_clusters("federated", config.federated, name)
        if isinstance(config, UserlistConfig):
            self._check_userlist(config)
        if isinstance(config, PodinfoConfig):
            self._check_running_clusters("frontend", config.frontend, "podinfo")
        elif isinstance(config, HelloworldConfig):
            self._check_clusters("sleep", config.sleep)
            self._check_versions(config)
        if has_linkerd:
            if isinstance(config, PodinfoConfig | EmojivotoConfig):
                self._check_policy_clients(config)
            validators.routes.check(self._path, config, self._clusters)
            if not isinstance(config, UserlistConfig):
                validators.exports.check(self._path, config, exported, federated)
        else:
            self._check_without_linkerd(config)
        for container in config.images:
            if container not in (*CONTAINERS[name], *_FORMER_CONTAINERS.get(name, ())):
                path = (*self._path, "images", container)
                remedy = f"choose one of {join_names(CONTAINERS[name])}"
                self._errors.add(path, config.images[container], "no such container", remedy)
        if not self._errors.is_invalid(*self._path, "namespace"):
            self._check_namespace(sample, used_names)
        return sample

    def _report_not_one_sample(self) -> None:
        if self._errors.is_invalid(*self._entry_path):
            return
        remedy = "write `- podinfo: {}`, or remove the entry"
        if self._configs:
            remedy = f"write an entry for each: {', '.join(f'`- {name}:`' for name in self._configs)}"
        value = ELLIPSIS if self._configs else {}
        self._errors.add(self._entry_path, value, "each entry must name one sample", remedy)

    def _check_clusters(self, key: str, names: Sequence[str]) -> dict[int, str]:
        return check_listed_clusters(names, (*self._path, key), self._parsed, self._names, self._errors)

    def _check_running_clusters(self, key: str, names: Sequence[str], sample: str) -> dict[int, str]:
        """Return the known clusters of a list by their index, and report clusters that do not run the sample."""
        clusters = self._check_clusters(key, names)
        for index, name in clusters.items():
            if not self._can_run(name):
                remedy = f"add it to {self._formatted_path}.clusters"
                self._errors.add((*self._path, key, index), name, f"{sample} does not run in this cluster", remedy)
        return clusters

    def _can_run(self, cluster: str) -> bool:
        return cluster in self._clusters or self._errors.is_invalid(*self._path, "clusters")

    @property
    def _formatted_path(self) -> str:
        return format_path(self._path)

    def _check_versions(self, config: HelloworldConfig) -> None:
        for name in config.versions:
            path = (*self._path, "versions", name)
            if check_known_cluster(name, path, self._names, self._errors) and not self._can_run(name):
                remedy = f"remove it, or add it to {self._formatted_path}.clusters"
                self._errors.add(path, config.versions[name], "helloworld does not run in this cluster", remedy)

    def _check_policy_clients(self, config: PodinfoConfig | EmojivotoConfig) -> None:
        clients, path = config.policy_clients, (*self._path, "policyClients")
        if clients is None or self._errors.is_invalid(*path):
            return
        if config.policy is None and not self._errors.is_invalid(*self._path, "policy"):
            rule = "has no effect without policy"
            self._errors.add(path, ELLIPSIS, rule, f"set {self._formatted_path}.policy, or remove it")
        if clients.identities is not None and clients.unauthenticated_tls:
            rule = "clients without an identity are allowed, so a list of identities has no effect"
            self._errors.add((*path, "identities"), ELLIPSIS, rule, "remove one of the two")
        elif clients.identities == []:
            remedy = "add at least one, or remove the key for the sample's own clients"
            self._errors.add((*path, "identities"), [], "no client could call the sample", remedy)
        elif clients.identities is None and not clients.unauthenticated_tls:
            remedy = "set unauthenticatedTLS or identities, or remove the key for the sample's own clients"
            self._errors.add(path, ELLIPSIS, "selects no clients", remedy)
        if clients.unauthenticated_tls and config.policy == "authorization-policy":
            rule = "an AuthorizationPolicy has no clients with TLS but without an identity"
            remedy = f"set {self._formatted_path}.policy to server-authorization, or remove it"
            self._errors.add((*path, "unauthenticatedTLS"), True, rule, remedy)

    def _check_without_linkerd(self, config: SampleConfig) -> None:
        for key in _LINKERD_FIELDS:
            # `_check_userlist` reports these fields with and without Linkerd.
            is_reported = key in ("exported", "federated") and isinstance(config, UserlistConfig)
            if getattr(config, key, None) and not is_reported:
                remedy = "remove it, or set `linkerd: {}` as well as `cilium`"
                alias = type(config).model_fields[key].alias or key
                rule = "needs Linkerd, which the stack does not have"
                self._errors.add((*self._path, alias), ELLIPSIS, rule, remedy)

    def _check_userlist(self, config: UserlistConfig) -> None:
        if self._parsed.file.cilium is None and not self._errors.is_invalid("cilium"):
            rule = "needs a ClusterMesh, which the stack does not have"
            self._errors.add(self._path, ELLIPSIS, rule, "set `cilium`, or remove the entry")
        request, limit = config.memory.resolve()
        if memory_bytes(request) > memory_bytes(limit):
            rule = f"more than the limit {limit}, which Kubernetes refuses"
            self._errors.add((*self._path, "memory", "request"), request, rule, "lower it, or raise the limit")
        self._check_running_clusters("shared", config.shared or [], "userlist")
        self._check_clusters("curltest", config.curltest or [])
        for key in ("exported", "federated"):
            if getattr(config, key):
                rule = "userlist is a global service, which Linkerd does not export"
                self._errors.add((*self._path, key), ELLIPSIS, rule, "remove it")

    def _check_namespace(self, sample: Sample, used_names: _UsedNames) -> None:
        """Report a namespace that another part of the program uses, or another sample of the same kind."""
        path, namespace = (*self._path, "namespace"), sample.config.namespace
        remedy = "choose another namespace"
        for name in sample.all_clusters:
            if namespace == self._parsed.control_plane_namespace(name) or namespace in LINKERD_NAMESPACES:
                self._errors.add(path, namespace, f"namespace of Linkerd in {name}", remedy)
            elif namespace in ADD_ON_NAMESPACES:
                self._errors.add(path, namespace, "namespace of an add-on of this program", remedy)
            # Two pairs of cluster and namespace can result in the same resource name.
            other = used_names.namespaces.setdefault(f"{name}-{namespace}", (name, namespace))
            if other != (name, namespace):
                rule = f"resources of {sample.name} in {name} would have the names of those in {other[1]} of {other[0]}"
                self._errors.add(path, namespace, rule, remedy)
            elif (name, namespace, sample.name) in used_names.samples:
                self._errors.add(path, namespace, f"{name} already has a {sample.name} in this namespace", remedy)
            used_names.samples.add((name, namespace, sample.name))
