"""API discovery: the version of an API server and its kinds, on which charts depend when rendered.

Follows https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.transport import JSON_MEDIA_TYPE

_AGGREGATED_MEDIA_TYPES = ",".join(
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
    """The version of an API server, and its kinds."""

    version: str | None = None  # such as v1.36.3; None if unknown
    kinds: Mapping[tuple[str, str], bool] = field(default_factory=dict)  # (API version, kind) → is namespaced

    def is_namespaced(self, version: str, kind: str) -> bool | None:
        """Return whether a kind is namespaced, or None if the kind is unknown."""
        return self.kinds.get((version, kind))

    @property
    def api_versions(self) -> list[str]:
        """Return API versions and kinds in the form of Helm's `--api-versions`."""
        versions = {version for version, _ in self.kinds}
        return sorted(versions | {f"{version}/{kind}" for version, kind in self.kinds})

    def with_crds(self, crds: Iterable[Mapping[str, Any]]) -> ApiResources:
        """Return a copy that includes the kinds of CustomResourceDefinitions."""
        kinds = dict(self.kinds)
        for crd in crds:
            spec = crd.get("spec") or {}
            for version in spec.get("versions") or ():
                if version.get("served", True):
                    name = f"{spec.get('group')}/{version.get('name')}"
                    kinds[name, str((spec.get("names") or {}).get("kind"))] = spec.get("scope") == "Namespaced"
        return replace(self, kinds=kinds)


def discover(api: KubeClient) -> ApiResources:
    """Return the version and the kinds of an API server.

    Raises:
        ApiUnreachableError, BadCredentialsError: the API server does not answer, or rejects the credentials.
        NotReadableError: the API server does not return its kinds.
    """
    version = api.get_version().content or {}
    kinds: dict[tuple[str, str], bool] = {}
    for path in ("/api", "/apis"):
        answer = api.get(path, "the list of API groups", accept=_AGGREGATED_MEDIA_TYPES) or {}
        if answer.get("kind") == "APIGroupDiscoveryList":
            kinds |= _parse_aggregated_kinds(answer)
        else:
            kinds |= _read_each_version(api, path, answer)
    return ApiResources(version=version.get("gitVersion"), kinds=kinds)


def _parse_aggregated_kinds(answer: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    kinds = {}
    for group in answer.get("items") or ():
        name = (group.get("metadata") or {}).get("name")
        for version in group.get("versions") or ():
            label = f"{name}/{version['version']}" if name else version["version"]
            for resource in version.get("resources") or ():
                kind = (resource.get("responseKind") or {}).get("kind")
                kinds[label, str(kind)] = resource.get("scope") == "Namespaced"
    return kinds


def _read_each_version(api: KubeClient, path: str, answer: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    """Return the kinds of an API server before 1.26, with one request per API version."""
    labels = [*(answer.get("versions") or ())] if path == "/api" else []
    for group in answer.get("groups") or ():
        labels += [version["groupVersion"] for version in group.get("versions") or ()]
    kinds = {}
    for label in labels:
        try:
            resources = api.get(f"{path}/{label}", f"the kinds of {label}") or {}
        except NotReadableError:
            continue  # an aggregated API without a running server
        for resource in resources.get("resources") or ():
            if "/" not in resource["name"]:
                kinds[label, str(resource["kind"])] = bool(resource["namespaced"])
    return kinds
