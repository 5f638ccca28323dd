"""How the services of samples are seen in other clusters: the mode of each, and what the links allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.samples import ExportMode, SampleConfig
from mesh.config.parser import ParsedStackFile
from mesh.config.validation.links import on_one_network
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]


def export_mode(part: SampleConfig, cluster: str, links: Iterable[Link]) -> ExportMode:
    """How the services that a cluster exports are reached.

    Args:
        part: the sample.
        cluster: where it is exported.
        links: all links.
    """
    if part.export_mode is not None:
        return part.export_mode
    inward = [link for link in links if link.target == cluster]
    return "remote-discovery" if inward and not any(link.gateway for link in inward) else "gateway"


class Exports:
    """The rules on what samples export.

    Args:
        reading: the stack file.
        links: who sees whose services.
        release: of Linkerd.
        faults: where faults go.
    """

    def __init__(
        self, reading: ParsedStackFile, links: Sequence[Link], release: LinkerdRelease, faults: ValidationErrors
    ) -> None:
        self._reading, self._links, self._release, self._faults = reading, links, release, faults

    def check(self, path: Path, part: SampleConfig, exported: Mapping[int, str], federated: Mapping[int, str]) -> None:
        """Find what can't work.

        Args:
            path: the sample's.
            part: the sample.
            exported: the clusters that export it, by their places in its list.
            federated: those whose services of it are members of a federated service, in the same way.
        """
        if part.export_mode is not None and not part.exported:
            rule = "nothing of it is exported"
            self._faults.add((*path, "exportMode"), part.export_mode, rule, "set `exported`, or take it out")
        for place, cluster in exported.items():
            self._exported((*path, "exported", place), part, cluster)
        if federated and not self._release.federation:
            rule = f"Linkerd {self._release.version} has no federated services"
            self._faults.add((*path, "federated"), ELLIPSIS, rule, "choose 2.17 or later, or take it out")
            return
        for place, cluster in federated.items():
            if cluster in exported.values():
                rule = "Linkerd's controllers mirror a service that is exported too, and overlook that it is a member"
                remedy = "take it out of `exported`, since the federated service leads to it; or out here"
                self._faults.add((*path, "federated", place), cluster, rule, remedy)
            for link in self._apart(cluster):
                rule = (
                    f"a federated service leads to its members' pods themselves, which those of {link.source} can't "
                    f"reach: its link to {cluster} goes through the gateway"
                )
                self._faults.add((*path, "federated", place), cluster, rule, self._remedy(link))

    def _exported(self, path: Path, part: SampleConfig, cluster: str) -> None:
        inward = [link for link in self._links if link.target == cluster]
        through = [link for link in inward if link.gateway]
        if part.export_mode == "gateway" and inward and not through:
            rule = f"no link to {cluster} goes through its gateway"
            self._faults.add((*path[:-2], "exportMode"), "gateway", rule, "take it out, or choose remote-discovery")
        elif part.export_mode == "remote-discovery":
            for link in self._apart(cluster):
                rule = f"pods of {link.source} can't reach those of {cluster}: their link goes through the gateway"
                self._faults.add((*path[:-2], "exportMode"), "remote-discovery", rule, self._remedy(link))
        elif part.export_mode is None and through and len(through) < len(inward):
            flat = next(link for link in inward if not link.gateway)
            rule = (
                f"{through[0].source} reaches {cluster} through its gateway and {flat.source} without it; a service is "
                "exported in one mode, and this one for the first alone"
            )
            remedy = "say so (exportMode: gateway), or set remote-discovery where all their pods are on one network"
            self._faults.warn(path, cluster, rule, remedy)

    def _apart(self, cluster: str) -> list[Link]:
        """The links that see what is reached pod by pod, of clusters whose pods, as far as they say, don't reach it."""
        inward = [link for link in self._links if link.target == cluster and link.gateway and link.discovers]
        return [link for link in inward if not on_one_network(self._reading, link)]

    @staticmethod
    def _remedy(link: Link) -> str:
        return (
            f"set `gateway: false` on the link, or the same networks.flat on {link.source} and {link.target}, if "
            "their pods are on one network; or take it out"
        )
