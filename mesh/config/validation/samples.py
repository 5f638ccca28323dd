"""The sample workloads of a stack file: which clusters they go to, and that they don't get in each other's way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mesh.config.errors import ELLIPSIS, ValidationErrors, format_path, join_names
from mesh.config.field_types import LINKERD_NAMESPACES, OTHER_NAMESPACES
from mesh.config.models.samples import HelloworldConfig, PodinfoConfig, SampleConfig, UserlistConfig, WorkloadConfig
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterExtensions, Sample
from mesh.config.validation.exports import Exports, export_mode
from mesh.config.validation.extensions import listed_clusters
from mesh.config.validation.links import check_known_cluster
from mesh.config.validation.routes import Routes
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]

# The containers of each sample, whose images may be others.
CONTAINERS: Mapping[str, tuple[str, ...]] = {
    "podinfo": ("podinfo", "frontend"),
    "helloworld": ("helloworld-v1", "helloworld-v2", "sleep"),
    "booksapp": ("webapp", "authors", "books", "traffic", "error-injector"),
    "emojivoto": ("web-svc", "emoji-svc", "voting-svc", "vote-bot"),
    "userlist": ("userlist", "curltest"),
}


def resolve_samples(
    reading: ParsedStackFile,
    names: Sequence[str],
    links: Sequence[Link],
    extensions: Mapping[str, ClusterExtensions],
    release: LinkerdRelease,
    faults: ValidationErrors,
    *,
    linkerd: bool = True,
) -> list[Sample]:
    """The sample workloads.

    Args:
        reading: the stack file.
        names: all names of clusters in it.
        links: who sees whose services.
        extensions: what each cluster has.
        release: of Linkerd.
        faults: where faults go.
        linkerd: whether Linkerd is there.
    """
    found: list[Sample] = []
    taken = _Taken()
    exports = Exports(reading, links, release, faults)
    routes = Routes(reading, names, links, extensions, release, faults)
    for number, entry in zip(reading.original_indices("workloads"), reading.file.workloads, strict=True):
        sample = _Entry(reading, names, faults, number, entry).sample(links, routes, exports, taken, linkerd=linkerd)
        if sample is not None:
            found.append(sample)
    return found


@dataclass
class _Taken:
    """What other entries have taken."""

    places: dict[str, tuple[str, str]] = field(default_factory=dict)  # cluster and namespace, by what they are called
    samples: set[tuple[str, str, str]] = field(default_factory=set)  # with the sample's name as the third


class _Entry:
    """One entry of `workloads`."""

    def __init__(
        self,
        reading: ParsedStackFile,
        names: Sequence[str],
        faults: ValidationErrors,
        number: int,
        entry: WorkloadConfig,
    ) -> None:
        self._reading, self._names, self._faults = reading, names, faults
        self._entry: Path = ("workloads", number)
        given = {name: getattr(entry, name) for name in CONTAINERS}
        self._given = {name: part for name, part in given.items() if part is not None}
        self._path: Path = self._entry
        self._clusters: tuple[str, ...] = ()

    def sample(
        self,
        links: Sequence[Link],
        routes: Routes,
        exports: Exports,
        taken: _Taken,
        *,
        linkerd: bool,
    ) -> Sample | None:
        """The sample, unless it isn't clear which."""
        if len(self._given) != 1:
            if not self._faults.is_invalid(*self._entry):
                rule = "each entry names one workload"
                remedy = "write `- podinfo: {}`, or take the entry out"
                if self._given:
                    remedy = f"make an entry of its own of each: {', '.join(f'`- {name}:`' for name in self._given)}"
                self._faults.add(self._entry, ELLIPSIS if self._given else {}, rule, remedy)
            return None
        ((name, part),) = self._given.items()
        self._path = (*self._entry, name)
        chosen = self._known("clusters", part.clusters or []).values()
        self._clusters = tuple(self._names if part.clusters is None else chosen)
        modes = {cluster: export_mode(part, cluster, links) for cluster in part.exported}
        sample = Sample(part=part, clusters=self._clusters, export_modes=modes)
        exported = self._placed("exported", part.exported, name)
        federated = self._placed("federated", part.federated, name)
        if isinstance(part, UserlistConfig):
            self._userlist(part)
        if isinstance(part, PodinfoConfig):
            self._runs("frontend", self._known("frontend", part.frontend), "podinfo")
        elif isinstance(part, HelloworldConfig):
            self._known("sleep", part.sleep)
            self._versions(part)
        if linkerd:
            routes.check(self._path, part, self._clusters)
            if not isinstance(part, UserlistConfig):
                exports.check(self._path, part, exported, federated)
        else:
            self._without_linkerd(part)
        for container in part.images:
            if container not in CONTAINERS[name]:
                remedy = f"its containers are {join_names(CONTAINERS[name])}"
                path = (*self._path, "images", container)
                self._faults.add(path, part.images[container], "no such container", remedy)
        if not self._faults.is_invalid(*self._path, "namespace"):
            self._namespace(sample, taken)
        return sample

    def _known(self, key: str, wanted: Sequence[str]) -> dict[int, str]:
        return listed_clusters(wanted, (*self._path, key), self._reading, self._names, self._faults)

    def _runs(self, key: str, found: Mapping[int, str], what: str) -> None:
        for place, name in found.items():
            if not self._may_run(name):
                here = f"{self._place}.clusters"
                self._faults.add((*self._path, key, place), name, f"{what} doesn't run there", f"add it to {here}")

    def _may_run(self, cluster: str) -> bool:
        return cluster in self._clusters or self._faults.is_invalid(*self._path, "clusters")

    @property
    def _place(self) -> str:
        return format_path(self._path)

    def _placed(self, key: str, wanted: Sequence[str], name: str) -> dict[int, str]:
        found = self._known(key, wanted)
        self._runs(key, found, name)
        return found

    def _versions(self, part: HelloworldConfig) -> None:
        for name in part.versions:
            path = (*self._path, "versions", name)
            if check_known_cluster(name, path, self._names, self._faults) and not self._may_run(name):
                remedy = f"take it out, or add it to {self._place}.clusters"
                self._faults.add(path, part.versions[name], "helloworld doesn't run there", remedy)

    def _without_linkerd(self, part: SampleConfig) -> None:
        for key in (
            "exported",
            "federated",
            "export_mode",
            "splits",
            "failover",
            "profile",
            "policy",
            "fault_injection",
            "default_inbound_policy",
        ):
            # Of userlist, nothing is exported whether Linkerd is there or not.
            if getattr(part, key, None) and not (key in ("exported", "federated") and isinstance(part, UserlistConfig)):
                remedy = "take it out, or set `linkerd: {}` beside `cilium`"
                alias = type(part).model_fields[key].alias or key
                self._faults.add((*self._path, alias), ELLIPSIS, "it is Linkerd's, which isn't there", remedy)

    def _userlist(self, part: UserlistConfig) -> None:
        cilium = self._reading.file.cilium
        if cilium is None and not self._faults.is_invalid("cilium"):
            rule = "its service is global in a ClusterMesh, and there is none"
            self._faults.add(self._path, ELLIPSIS, rule, "set `cilium`, or take the entry out")
        for key, wanted in (("shared", part.shared), ("curltest", part.curltest)):
            found = self._known(key, wanted or [])
            if key == "shared":
                self._runs(key, found, "userlist")
        for key in ("exported", "federated"):
            if getattr(part, key):
                rule = "its service is seen by way of `shared`"
                self._faults.add((*self._path, key), ELLIPSIS, rule, "take it out")

    def _namespace(self, sample: Sample, taken: _Taken) -> None:
        """Each cluster has one sample of a kind in a namespace, and nothing of this program's own there."""
        path, namespace = (*self._path, "namespace"), sample.part.namespace
        remedy = "choose another namespace"
        for name in sample.all_clusters:
            entry = self._reading.file.clusters.get(name)
            own = entry is not None and "namespace" in entry.linkerd.model_fields_set
            linkerd = entry.linkerd if entry is not None and own else self._reading.file.linkerd
            if namespace == linkerd.namespace or namespace in LINKERD_NAMESPACES:
                self._faults.add(path, namespace, f"{name} has Linkerd itself in that namespace", remedy)
            elif namespace in OTHER_NAMESPACES:
                self._faults.add(path, namespace, "another part of this program goes there", remedy)
            # In the names of resources; two pairs may come to the same.
            other = taken.places.setdefault(f"{name}-{namespace}", (name, namespace))
            if other != (name, namespace):
                rule = f"resources of {sample.name} in {name} would have the names of those in {other[1]} of {other[0]}"
                self._faults.add(path, namespace, rule, remedy)
            elif (name, namespace, sample.name) in taken.samples:
                self._faults.add(path, namespace, f"{name} has a {sample.name} in that namespace already", remedy)
            taken.samples.add((name, namespace, sample.name))
