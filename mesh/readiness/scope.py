"""The object that a diagnosis is about, and the means to examine it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.kube.json_access import as_mapping, as_text
from mesh.readiness.cluster_reader import ClusterReader
from mesh.readiness.quotation import quote_name
from mesh.readiness.remedies import RemedySettings


@dataclass(frozen=True, kw_only=True)
class Scope:
    """An object that is not ready, and the means to examine it."""

    live: Mapping[str, Any]
    reader: ClusterReader
    settings: RemedySettings

    @property
    def kind(self) -> str:
        """Return the object's kind."""
        return quote_name(as_text(self.live.get("kind"))) or "Object"

    @property
    def name(self) -> str:
        """Return the object's name."""
        return object_name(self.live)

    @property
    def namespace(self) -> str:
        """Return the object's namespace; empty for a cluster-scoped object."""
        return quote_name(as_text(as_mapping(dict(self.live), "metadata").get("namespace")))

    @property
    def spec(self) -> dict[str, Any]:
        """Return the object's spec."""
        return as_mapping(dict(self.live), "spec")

    @property
    def status(self) -> dict[str, Any]:
        """Return the object's status."""
        return as_mapping(dict(self.live), "status")

    def identify(self, *parts: str) -> str:
        """Return the identity of a permanent cause, which does not depend on the names of pods."""
        return "/".join((self.kind, self.namespace, self.name, *parts))

    def kubectl(self, command: str) -> str:
        """Return a kubectl command for the object's namespace."""
        return self.settings.kubectl(command, self.namespace)


def object_name(live: Mapping[str, Any]) -> str:
    """Return an object's name for a message."""
    return quote_name(as_text(as_mapping(dict(live), "metadata").get("name"))) or "without a name"
