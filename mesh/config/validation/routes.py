"""Rules on traffic splits, failover, profiles and fault injection, and on their combinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mesh.config.errors import ELLIPSIS, ValidationErrors, format_path
from mesh.config.models.samples import BooksappConfig, PodinfoConfig
from mesh.config.models.services import (
    ExportConfig,
    FailoverConfig,
    ProfileConfig,
    ServiceConfig,
    SplitConfig,
    SplitForm,
    SplitsConfig,
)
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterExtensions
from mesh.config.validation.clusters import check_known_cluster
from mesh.config.validation.extensions import check_listed_clusters
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]
Entry = TypeVar("Entry", SplitConfig, FailoverConfig)


class RouteValidator:
    """Validator of the routes of samples and services.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        links: all links.
        extensions: the extensions by cluster.
        linkerd_release: the Linkerd release of the mesh.
        errors: collects validation errors.
    """

    def __init__(
        self,
        parsed: ParsedStackFile,
        names: Sequence[str],
        links: Sequence[Link],
        extensions: Mapping[str, ClusterExtensions],
        linkerd_release: LinkerdRelease,
        errors: ValidationErrors,
    ) -> None:
        self._parsed, self._names, self._links = parsed, names, links
        self._extensions, self._linkerd_release, self._errors = extensions, linkerd_release, errors

    def check(self, path: Path, config: ExportConfig, clusters: Sequence[str]) -> None:
        """Report routes that cannot work.

        Args:
            path: path of the sample or service.
            config: the sample or service.
            clusters: the clusters that run it.
        """
        if isinstance(config, SplitsConfig):
            self._check_splits(path, config, clusters)
            self._check_failover(path, config, clusters)
        if isinstance(config, PodinfoConfig | ServiceConfig) and config.profile is not None:
            self._check_profile_conflicts(path, config.profile, config)
        if isinstance(config, BooksappConfig) and config.fault_injection is not None:
            for cluster in clusters:
                self._check_form((*path, "faultInjection", "form"), config.fault_injection.form, cluster)

    def _check_splits(self, sample: Path, config: SplitsConfig, clusters: Sequence[str]) -> None:
        split_clusters: set[str] = set()
        for path, split in self._valid_entries(sample, "splits", config.splits):
            if not check_known_cluster(split.cluster, (*path, "cluster"), self._names, self._errors):
                continue
            if split.cluster in split_clusters:
                rule = "another entry splits the requests of this cluster"
                self._errors.add((*path, "cluster"), split.cluster, rule, "merge the weights into one entry")
            split_clusters.add(split.cluster)
            self._check_runs(sample, path, split.cluster, clusters, "run it there, or split another cluster's requests")
            if not any(split.weights.values()):
                remedy = "set at least one weight above 0"
                self._errors.add((*path, "weights"), dict(split.weights), "no cluster would answer", remedy)
            for name, weight in split.weights.items():
                weight_path = (*path, "weights", name)
                if check_known_cluster(name, weight_path, self._names, self._errors) and name != split.cluster:
                    self._check_mirror(sample, weight_path, weight, split.cluster, name, config, "the weight")
            self._check_form((*path, "form"), split.form, split.cluster)

    def _check_failover(self, sample: Path, config: SplitsConfig, clusters: Sequence[str]) -> None:
        rule = "Linkerd's TrafficSplits do not fail over"
        conflicts = {split.cluster: rule for split in config.splits if self._is_smi_split(split)}
        for path, failover in self._valid_entries(sample, "failover", config.failover):
            cluster = failover.cluster
            if not check_known_cluster(cluster, (*path, "cluster"), self._names, self._errors):
                continue
            if cluster in conflicts:
                self._errors.add((*path, "cluster"), cluster, conflicts[cluster], "remove one of the two")
            conflicts[cluster] = "another entry covers the requests of this cluster"
            self._check_runs(sample, path, cluster, clusters, "run it there, or remove the entry")
            key = failover.targets_key
            if not failover.targets and not any(self._errors.is_invalid(*path, each) for each in ("to", "backups")):
                self._errors.add((*path, key), [], "no cluster would answer instead", "add at least one cluster")
            if failover.to and failover.backups:
                self._errors.add((*path, "backups"), ELLIPSIS, "former name of `to`, which is set too", "remove it")
            backups = check_listed_clusters(failover.targets, (*path, key), self._parsed, self._names, self._errors)
            for index, name in backups.items():
                backup_path = (*path, key, index)
                if name == cluster:
                    rule = "a cluster cannot be its own backup"
                    self._errors.add(backup_path, name, rule, "choose another cluster")
                else:
                    self._check_mirror(sample, backup_path, name, cluster, name, config, "it")

    def _valid_entries(self, sample: Path, key: str, entries: Sequence[Entry]) -> list[tuple[Path, Entry]]:
        """Return the valid entries of a list, with their paths."""
        indexed = zip(self._parsed.original_indices(*sample, key), entries, strict=True)
        paths: list[tuple[Path, Entry]] = [((*sample, key, index), entry) for index, entry in indexed]
        return [(path, entry) for path, entry in paths if not self._errors.is_invalid(*path)]

    def _check_runs(self, sample: Path, path: Path, cluster: str, clusters: Sequence[str], remedy: str) -> None:
        if cluster not in clusters and not self._errors.is_invalid(*sample, "clusters"):
            self._errors.add((*path, "cluster"), cluster, f"{sample[-1]} does not run in this cluster", remedy)

    def _check_mirror(
        self, sample: Path, path: Path, value: object, source: str, target: str, config: SplitsConfig, removable: str
    ) -> None:
        """Report a cluster without a mirror of another cluster's service.

        Args:
            sample: path of the sample or service.
            path: path of the setting that needs the mirror.
            value: value of that setting.
            source: the cluster that needs the mirror.
            target: the cluster of the mirrored service.
            config: the sample or service.
            removable: the part of the setting to remove, for the remedy.
        """
        link = next((link for link in self._links if (link.source, link.target) == (source, target)), None)
        if link is None and (self._errors.is_invalid("links") or self._errors.is_invalid("topology")):
            return
        if link is None:
            rule = f"{source} has no link to {target}, so it has no mirrors of its services"
            self._errors.add(path, value, rule, f"add the link, or remove {removable}")
        elif not link.has_gateway:
            rule = f"the link to {target} has no gateway, so its mirrors have no endpoints for requests"
            self._errors.add(path, value, rule, f"link them through the gateway, or remove {removable}")
        elif (
            isinstance(config, ExportConfig)
            and target not in config.exported
            and not self._errors.is_invalid(*sample, "exported")
        ):
            remedy = f"add it to {format_path(sample)}.exported"
            self._errors.add(path, value, f"the cluster does not export {sample[-1]}", remedy)

    def _check_profile_conflicts(self, sample: Path, profile: ProfileConfig, config: SplitsConfig) -> None:
        """Report splits that a profile would disable, or that would disable the profile.

        Linkerd's proxies ignore the HTTPRoutes of a service that has a ServiceProfile. A split without a form becomes a
        part of the profile (`components.services.traffic_rules`).
        """
        uses_routes = profile.form == "gateway-api"
        for path, split in self._valid_entries(sample, "splits", config.splits):
            if split.form == "gateway-api" and not uses_routes:
                rule = f"Linkerd would ignore the HTTPRoute because of {sample[-1]}.profile"
                remedy = "remove the form, so that the profile has the weights, or remove the profile"
                self._errors.add((*path, "form"), split.form, rule, remedy)
            elif uses_routes and self._is_smi_split(split):
                rule = "a TrafficSplit becomes a ServiceProfile, so Linkerd would ignore the profile's HTTPRoutes"
                remedy = "choose gateway-api, or profile.form service-profile"
                self._errors.add((*path, "form"), split.form or ELLIPSIS, rule, remedy)
        for path, _ in self._valid_entries(sample, "failover", config.failover):
            if not uses_routes:
                rule = (
                    "with a ServiceProfile, only a service without ready pods fails over, not one whose requests fail"
                )
                self._errors.warn(path, ELLIPSIS, rule, "choose profile.form gateway-api for both")

    def _is_smi_split(self, split: SplitConfig) -> bool:
        if split.form is not None or self._is_smi_unclear or split.cluster not in self._extensions:
            return split.form == "smi"
        return self._extensions[split.cluster].smi is not None

    def _check_form(self, path: Path, form: SplitForm | None, cluster: str) -> None:
        if form != "smi" or self._is_smi_unclear or cluster not in self._extensions:
            return
        if self._extensions[cluster].smi is None:
            rule = f"{cluster} has no TrafficSplits without Linkerd's smi extension"
            self._errors.add(path, form, rule, "add it to extensions.smi, or choose gateway-api")

    @property
    def _is_smi_unclear(self) -> bool:
        smi = self._parsed.file.extensions.smi
        has_unknown = smi is not None and not set(smi.clusters or ()) <= set(self._names)
        return has_unknown or self._errors.is_invalid("extensions", "smi")
