"""Facts about the declared Services, read from the clusters: what a stack file does not contain.

The checks before an update read them (`mesh.preflight`), and the components need them: routes and policies name ports,
policies select pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ServiceKey = tuple[str, str, str]  # cluster, namespace and name of a Service


@dataclass(frozen=True, kw_only=True)
class LivePort:
    """A TCP port of a Service."""

    name: str  # empty if the Service has only one port
    port: int
    target: int | str  # number or name of the pods' port
    app_protocol: str  # as in the Service; empty without one


@dataclass(frozen=True, kw_only=True)
class LiveService:
    """A Service of another owner."""

    ports: tuple[LivePort, ...]  # the TCP ports
    selector: Mapping[str, str]  # empty: another program manages the endpoints
    labels: Mapping[str, str]
    uid: str = ""  # another one if its owner has created the Service again
    is_headless: bool = False


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """Facts about all clusters that the checks before an update could read."""

    uids: Mapping[str, str]  # by name of the cluster
    services: Mapping[ServiceKey, LiveService]  # the declared Services that exist
    # UIDs of the declared namespaces that exist, by cluster and name.
    namespaces: Mapping[tuple[str, str], str] = field(default_factory=dict)
