"""Desired state of the lab, as a file."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from hack.lab.errors import LabError
from hack.lab.state_dir import StateDir, write_atomically

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class LoadBalancerKind(StrEnum):
    """The kind of address that a Service of type LoadBalancer gets."""

    IP = "ip"
    HOSTNAME = "hostname"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """One desired cluster."""

    name: str
    load_balancer: LoadBalancerKind = LoadBalancerKind.IP


@dataclass(frozen=True, kw_only=True)
class LabSpec:
    """The desired state of one lab; without clusters nothing runs."""

    clusters: tuple[ClusterSpec, ...] = ()
    chart_folders: tuple[str, ...] = ()  # replace the toolchain's
    own_chart_folders: tuple[str, ...] = ()  # take precedence over all others
    linkerd_folders: tuple[str, ...] = ()  # contain programs of releases that the toolchain does not have
    dataplane_folders: tuple[str, ...] = ()  # contain Linkerd's proxies; none if the lab has no data plane
    is_flat: bool = False  # the data plane's pods reach pods of other clusters
    image_delay_s: float = 0.0  # the data plane's containers start this much later

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the desired clusters, in the order of their requests."""
        return tuple(cluster.name for cluster in self.clusters)

    @property
    def has_dataplane(self) -> bool:
        """Return whether pods are real processes behind real proxies."""
        return bool(self.dataplane_folders)

    def with_clusters(self, added: Sequence[ClusterSpec]) -> "LabSpec":
        """Return the spec with these clusters added; clusters that it already contains are not changed."""
        return replace(self, clusters=self.clusters + tuple(c for c in added if c.name not in self.names))

    def without_clusters(self, names: Sequence[str]) -> "LabSpec":
        """Return the spec without these clusters."""
        return replace(self, clusters=tuple(c for c in self.clusters if c.name not in names))


def check_name(name: str) -> str:
    """Return the name if it is a DNS label (RFC 1123), because it becomes part of host names and label values.

    Raises:
        LabError: the name is no DNS label.
    """
    if not _LABEL.fullmatch(name):
        raise LabError(
            f"cluster name {name!r}: not a DNS label; use 1 to 63 lower-case letters, digits and hyphens, with a "
            "letter or digit at both ends, for example 'west'"
        )
    return name


def parse_load_balancers(options: Sequence[str]) -> dict[str, LoadBalancerKind]:
    """Parse options of the form `NAME=ip|hostname|none` into a mapping.

    Raises:
        LabError: an option has another form, or its kind is unknown.
    """
    kinds_by_cluster: dict[str, LoadBalancerKind] = {}
    for option in options:
        name, _, kind = option.partition("=")
        kinds = ", ".join(LoadBalancerKind)
        if kind not in list(LoadBalancerKind):
            raise LabError(f"--load-balancer {option!r}: not NAME=KIND; write one of {kinds} as KIND")
        kinds_by_cluster[check_name(name)] = LoadBalancerKind(kind)
    return kinds_by_cluster


def load(state_dir: StateDir) -> LabSpec:
    """Read the spec; it is empty for a lab that never ran.

    Raises:
        LabError: the file was not written by `save`.
    """
    try:
        content: Mapping[str, Any] = json.loads(state_dir.spec.read_text())
        return LabSpec(
            clusters=tuple(
                ClusterSpec(name=check_name(entry["name"]), load_balancer=LoadBalancerKind(entry["loadBalancer"]))
                for entry in content["clusters"]
            ),
            chart_folders=tuple(content["chartFolders"]),
            # Earlier versions of this program did not write the following keys.
            own_chart_folders=tuple(content.get("ownChartFolders", ())),
            linkerd_folders=tuple(content.get("linkerdFolders", ())),
            dataplane_folders=tuple(content.get("dataplaneFolders", ())),
            is_flat=bool(content.get("flat", False)),
            image_delay_s=float(content.get("imageDelaySeconds", 0)),
        )
    except FileNotFoundError:
        return LabSpec()
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{state_dir.spec}: not the lab's spec ({error!r}); remove the file") from error


def save(state_dir: StateDir, spec: LabSpec) -> None:
    """Write the spec; a running supervisor applies it within a second."""
    content = {
        "clusters": [{"name": c.name, "loadBalancer": str(c.load_balancer)} for c in spec.clusters],
        "chartFolders": list(spec.chart_folders),
        "ownChartFolders": list(spec.own_chart_folders),
        "linkerdFolders": list(spec.linkerd_folders),
        "dataplaneFolders": list(spec.dataplane_folders),
        "flat": spec.is_flat,
        "imageDelaySeconds": spec.image_delay_s,
    }
    write_atomically(state_dir.spec, json.dumps(content, indent=2) + "\n")
