"""Which clusters a person asked for: the desired state, as a file."""

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
    """What a Service of type LoadBalancer gets in a cluster."""

    IP = "ip"
    HOSTNAME = "hostname"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """One wanted cluster."""

    name: str
    load_balancer: LoadBalancerKind = LoadBalancerKind.IP


@dataclass(frozen=True, kw_only=True)
class Spec:
    """All that is wanted of one lab; no clusters means that nothing shall run."""

    clusters: tuple[ClusterSpec, ...] = ()
    chart_folders: tuple[str, ...] = ()  # in place of the toolchain's
    own_chart_folders: tuple[str, ...] = ()  # before all others
    linkerd_folders: tuple[str, ...] = ()  # with programs of releases that the toolchain doesn't have

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the wanted clusters, in the order in which they were asked for."""
        return tuple(cluster.name for cluster in self.clusters)

    def with_clusters(self, added: Sequence[ClusterSpec]) -> "Spec":
        """The same, and these clusters; those already wanted stay as they are."""
        return replace(self, clusters=self.clusters + tuple(c for c in added if c.name not in self.names))

    def without_clusters(self, names: Sequence[str]) -> "Spec":
        """The same, less these clusters."""
        return replace(self, clusters=tuple(c for c in self.clusters if c.name not in names))


def check_name(name: str) -> str:
    """A cluster's name, if it is a DNS label (RFC 1123): it becomes part of host names and of label values.

    Raises:
        LabError: it is not.
    """
    if not _LABEL.fullmatch(name):
        raise LabError(
            f"cluster name {name!r}: use 1 to 63 lower-case letters, digits and hyphens, "
            "beginning and ending with a letter or digit (a DNS label), for example 'west'."
        )
    return name


def parse_load_balancers(options: Sequence[str]) -> dict[str, LoadBalancerKind]:
    """`NAME=ip|hostname|none`, given any number of times, as a mapping.

    Raises:
        LabError: an entry has another form or names an unknown kind.
    """
    chosen: dict[str, LoadBalancerKind] = {}
    for option in options:
        name, _, kind = option.partition("=")
        kinds = ", ".join(LoadBalancerKind)
        if kind not in list(LoadBalancerKind):
            raise LabError(f"--load-balancer {option!r}: write NAME=KIND, KIND being one of {kinds}.")
        chosen[check_name(name)] = LoadBalancerKind(kind)
    return chosen


def load(home: StateDir) -> Spec:
    """Read the spec; a lab that never ran wants nothing.

    Raises:
        LabError: the file is not what `save` writes.
    """
    try:
        content: Mapping[str, Any] = json.loads(home.spec.read_text())
        return Spec(
            clusters=tuple(
                ClusterSpec(name=check_name(entry["name"]), load_balancer=LoadBalancerKind(entry["loadBalancer"]))
                for entry in content["clusters"]
            ),
            chart_folders=tuple(content["chartFolders"]),
            # A lab that was last used by an earlier version of this program has none.
            own_chart_folders=tuple(content.get("ownChartFolders", ())),
            linkerd_folders=tuple(content.get("linkerdFolders", ())),
        )
    except FileNotFoundError:
        return Spec()
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{home.spec}: not readable as the lab's spec ({error!r}). Remove the file.") from error


def save(home: StateDir, spec: Spec) -> None:
    """Write the spec; a running supervisor acts on it within a moment."""
    content = {
        "clusters": [{"name": c.name, "loadBalancer": str(c.load_balancer)} for c in spec.clusters],
        "chartFolders": list(spec.chart_folders),
        "ownChartFolders": list(spec.own_chart_folders),
        "linkerdFolders": list(spec.linkerd_folders),
    }
    write_atomically(home.spec, json.dumps(content, indent=2) + "\n")
