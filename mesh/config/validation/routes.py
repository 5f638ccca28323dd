"""Where requests to samples go: splits, failover, profiles and injected faults, and which of them get along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mesh.config.errors import ELLIPSIS, ValidationErrors, format_path
from mesh.config.models.samples import (
    BooksappConfig,
    FailoverConfig,
    HelloworldConfig,
    PodinfoConfig,
    ProfileConfig,
    SampleConfig,
    SplitConfig,
    SplitForm,
)
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterExtensions
from mesh.config.validation.extensions import listed_clusters
from mesh.config.validation.links import check_known_cluster
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]
Entry = TypeVar("Entry", SplitConfig, FailoverConfig)

# The longest path that an HTTPRoute can match.
_LONGEST = 1024


class Routes:
    """The rules on where requests go.

    Args:
        reading: the stack file.
        names: all names of clusters in it.
        links: who sees whose services.
        extensions: what each cluster has.
        release: of Linkerd.
        faults: where faults go.
    """

    def __init__(
        self,
        reading: ParsedStackFile,
        names: Sequence[str],
        links: Sequence[Link],
        extensions: Mapping[str, ClusterExtensions],
        release: LinkerdRelease,
        faults: ValidationErrors,
    ) -> None:
        self._reading, self._names, self._links = reading, names, links
        self._extensions, self._release, self._faults = extensions, release, faults

    def check(self, path: Path, part: SampleConfig, clusters: Sequence[str]) -> None:
        """Find what can't work.

        Args:
            path: the sample's.
            part: the sample.
            clusters: those that run it.
        """
        if isinstance(part, PodinfoConfig | HelloworldConfig):
            self._splits(path, part, clusters)
            self._failover(path, part, clusters)
        if isinstance(part, PodinfoConfig | BooksappConfig) and part.profile is not None:
            self._profile((*path, "profile"), part.profile)
        if isinstance(part, PodinfoConfig) and part.profile is not None:
            self._beside(path, part.profile, part)
        if isinstance(part, BooksappConfig) and part.fault_injection is not None:
            for cluster in clusters:
                self._form((*path, "faultInjection", "form"), part.fault_injection.form, cluster)

    def _splits(self, sample: Path, part: PodinfoConfig | HelloworldConfig, clusters: Sequence[str]) -> None:
        seen: set[str] = set()
        for path, split in self._entries(sample, "splits", part.splits):
            if not check_known_cluster(split.cluster, (*path, "cluster"), self._names, self._faults):
                continue
            if split.cluster in seen:
                remedy = "put all weights into one of them"
                self._faults.add((*path, "cluster"), split.cluster, "its requests are split already", remedy)
            seen.add(split.cluster)
            self._runs(sample, path, split.cluster, clusters, "let it run there, or split somewhere else")
            if not any(split.weights.values()):
                remedy = "give at least one cluster a weight above 0"
                self._faults.add((*path, "weights"), dict(split.weights), "no cluster would answer", remedy)
            for name, weight in split.weights.items():
                here = (*path, "weights", name)
                if check_known_cluster(name, here, self._names, self._faults) and name != split.cluster:
                    self._reaches(sample, here, weight, split.cluster, name, part, "the weight")
            self._form((*path, "form"), split.form, split.cluster)

    def _failover(self, sample: Path, part: PodinfoConfig | HelloworldConfig, clusters: Sequence[str]) -> None:
        taken = {split.cluster: "split already" for split in part.splits}
        for path, failover in self._entries(sample, "failover", part.failover):
            cluster = failover.cluster
            if not check_known_cluster(cluster, (*path, "cluster"), self._names, self._faults):
                continue
            if cluster in taken:
                remedy = "take one of the two out"
                self._faults.add((*path, "cluster"), cluster, f"its requests are {taken[cluster]}", remedy)
            taken[cluster] = "looked after already"
            self._runs(sample, path, cluster, clusters, "let it run there, or take the entry out")
            if not failover.backups and not self._faults.is_invalid(*path, "backups"):
                self._faults.add((*path, "backups"), [], "no cluster would answer in its place", "name at least one")
            found = listed_clusters(failover.backups, (*path, "backups"), self._reading, self._names, self._faults)
            for place, name in found.items():
                here = (*path, "backups", place)
                if name == cluster:
                    self._faults.add(here, name, "it is the cluster itself", "name another one")
                else:
                    self._reaches(sample, here, name, cluster, name, part, "it")

    def _entries(self, sample: Path, key: str, entries: Sequence[Entry]) -> list[tuple[Path, Entry]]:
        numbered = zip(self._reading.original_indices(*sample, key), entries, strict=True)
        found: list[tuple[Path, Entry]] = [((*sample, key, number), entry) for number, entry in numbered]
        return [(path, entry) for path, entry in found if not self._faults.is_invalid(*path)]

    def _runs(self, sample: Path, path: Path, cluster: str, clusters: Sequence[str], remedy: str) -> None:
        if cluster not in clusters and not self._faults.is_invalid(*sample, "clusters"):
            self._faults.add((*path, "cluster"), cluster, f"{sample[-1]} doesn't run there", remedy)

    def _reaches(
        self, sample: Path, path: Path, value: object, source: str, target: str, part: SampleConfig, what: str
    ) -> None:
        """A cluster sees the sample's mirror of another one's."""
        link = next((each for each in self._links if (each.source, each.target) == (source, target)), None)
        if link is None and (self._faults.is_invalid("links") or self._faults.is_invalid("topology")):
            return
        if link is None:
            rule = f"{source} has no link to {target}, and sees none of its services"
            self._faults.add(path, value, rule, f"add the link, or take {what} out")
        elif not link.gateway:
            rule = f"the link to {target} has no gateway, and its services no mirror that requests could go to"
            self._faults.add(path, value, rule, f"link them through the gateway, or take {what} out")
        elif target not in part.exported and not self._faults.is_invalid(*sample, "exported"):
            remedy = f"add it to {format_path(sample)}.exported"
            self._faults.add(path, value, f"{sample[-1]} is not exported there", remedy)

    def _profile(self, path: Path, profile: ProfileConfig) -> None:
        by_routes = profile.form == "gateway-api"
        if by_routes and not self._release.route_annotations:
            rule = f"Linkerd {self._release.version} has neither retries nor timeouts for HTTPRoutes"
            remedy = "choose service-profile, or a linkerd.version from 2.16 on"
            self._faults.add((*path, "form"), profile.form, rule, remedy)
        if by_routes and "retry_budget" in profile.model_fields_set:
            rule = "a ServiceProfile has a budget; of HTTPRoutes, each has a limit of its own"
            remedy = "set retryLimit of the routes in its place, or take it out"
            self._faults.add((*path, "retryBudget"), ELLIPSIS, rule, remedy)
        for number, route in zip(self._reading.original_indices(*path, "routes"), profile.routes, strict=True):
            here = (*path, "routes", number)
            if by_routes and len(route.path_regex) > _LONGEST:
                rule = f"an HTTPRoute can match no more than {_LONGEST} characters"
                self._faults.add((*here, "pathRegex"), ELLIPSIS, rule, "make several routes of it")
            if route.retry_limit is not None and not by_routes:
                rule = "the routes of a ServiceProfile share one budget"
                remedy = "set retryBudget in its place, or choose the form gateway-api"
                self._faults.add((*here, "retryLimit"), route.retry_limit, rule, remedy)
            elif route.retry_limit is not None and not route.is_retryable:
                rule = "nothing is sent again unless isRetryable says so"
                self._faults.add((*here, "retryLimit"), route.retry_limit, rule, "set isRetryable, or take it out")

    def _beside(self, sample: Path, profile: ProfileConfig, part: PodinfoConfig) -> None:
        """While a service has a ServiceProfile, Linkerd's proxies don't look at its HTTPRoutes."""
        overlooked = f"{sample[-1]}.profile would make Linkerd overlook the HTTPRoute"
        past = f"the HTTPRoutes of {sample[-1]}.profile would take requests past it"
        routes = profile.form == "gateway-api"
        for path, split in self._entries(sample, "splits", part.splits):
            if split.cluster not in self._extensions or (split.form is None and self._smi_is_unclear):
                continue
            smi = self._extensions[split.cluster].smi is not None
            by_route = split.form == "gateway-api" or (split.form is None and not smi)
            remedy = "choose smi (with extensions.smi), or take the profile out"
            if by_route and not routes:
                self._faults.add((*path, "form"), split.form or ELLIPSIS, overlooked, remedy)
            elif by_route:
                remedy = "choose smi (with extensions.smi) and profile.form service-profile, or take the profile out"
                self._faults.add((*path, "form"), split.form or ELLIPSIS, past, remedy)
            elif routes:
                rule = (
                    "a TrafficSplit becomes a ServiceProfile, by which Linkerd overlooks the HTTPRoutes of the profile"
                )
                remedy = "choose profile.form service-profile, or take one of the two out"
                self._faults.add((*path, "form"), split.form or ELLIPSIS, rule, remedy)
        for path, _ in self._entries(sample, "failover", part.failover):
            self._faults.add(path, ELLIPSIS, past if routes else overlooked, "take one of the two out")

    def _form(self, path: Path, form: SplitForm | None, cluster: str) -> None:
        known = cluster in self._extensions
        if form == "smi" and not self._smi_is_unclear and known and self._extensions[cluster].smi is None:
            rule = f"{cluster} has no TrafficSplits without Linkerd's smi extension"
            self._faults.add(path, form, rule, "add it to extensions.smi, or choose gateway-api")

    @property
    def _smi_is_unclear(self) -> bool:
        smi = self._reading.file.extensions.smi
        misspelt = smi is not None and not set(smi.clusters or ()) <= set(self._names)
        return misspelt or self._faults.is_invalid("extensions", "smi")
