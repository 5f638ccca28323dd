"""What a cluster's API server offers, which charts ask for when they are rendered.

Follows https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mesh.preflight.api import JSON_MEDIA_TYPE, ClusterApi, NotReadableError

_AGGREGATED = ",".join(
    [
        *(
            f"{JSON_MEDIA_TYPE};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            for version in ("v2", "v2beta1")
        ),
        JSON_MEDIA_TYPE,
    ]
)


@dataclass(frozen=True, kw_only=True)
class ApiResources:
    """An API server's version, and which kinds it knows."""

    version: str | None = None  # such as v1.36.3; None: nobody knows
    kinds: Mapping[tuple[str, str], bool] = field(default_factory=dict)  # (API version, kind) → is in namespaces

    def namespaced(self, version: str, kind: str) -> bool | None:
        """Whether objects of a kind are in namespaces; None if the kind isn't known."""
        return self.kinds.get((version, kind))

    @property
    def api_versions(self) -> list[str]:
        """All of it in the form in which Helm takes it."""
        versions = {version for version, _ in self.kinds}
        return sorted(versions | {f"{version}/{kind}" for version, kind in self.kinds})

    def with_definitions(self, definitions: Iterable[Mapping[str, Any]]) -> ApiResources:
        """The same with what CustomResourceDefinitions add."""
        kinds = dict(self.kinds)
        for definition in definitions:
            spec = definition.get("spec") or {}
            for version in spec.get("versions") or ():
                if version.get("served", True):
                    name = f"{spec.get('group')}/{version.get('name')}"
                    kinds[name, str((spec.get("names") or {}).get("kind"))] = spec.get("scope") == "Namespaced"
        return replace(self, kinds=kinds)


def discover(api: ClusterApi) -> ApiResources:
    """Ask an API server.

    Raises:
        Unanswered, Unusable: it doesn't answer, or not to these credentials.
        Unseen: it says nothing about its kinds.
    """
    version = api.version().content or {}
    found: dict[tuple[str, str], bool] = {}
    for path in ("/api", "/apis"):
        answer = api.get(path, "which kinds there are", accept=_AGGREGATED) or {}
        if answer.get("kind") == "APIGroupDiscoveryList":
            found |= _aggregated(answer)
        else:
            found |= _one_by_one(api, path, answer)
    return ApiResources(version=version.get("gitVersion"), kinds=found)


def _aggregated(answer: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    found = {}
    for group in answer.get("items") or ():
        name = (group.get("metadata") or {}).get("name")
        for version in group.get("versions") or ():
            label = f"{name}/{version['version']}" if name else version["version"]
            for resource in version.get("resources") or ():
                kind = (resource.get("responseKind") or {}).get("kind")
                found[label, str(kind)] = resource.get("scope") == "Namespaced"
    return found


def _one_by_one(api: ClusterApi, path: str, answer: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    """From an API server before 1.26."""
    labels = [*(answer.get("versions") or ())] if path == "/api" else []
    for group in answer.get("groups") or ():
        labels += [version["groupVersion"] for version in group.get("versions") or ()]
    found = {}
    for label in labels:
        try:
            listed = api.get(f"{path}/{label}", f"which kinds {label} has") or {}
        except NotReadableError:
            continue  # an aggregated API whose server is away
        for resource in listed.get("resources") or ():
            if "/" not in resource["name"]:
                found[label, str(resource["kind"])] = bool(resource["namespaced"])
    return found
