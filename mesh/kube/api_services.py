"""Aggregated APIs, and which of them are unavailable.

While one of them is unavailable, the namespace controller cannot list all kinds, so it deletes no namespace.

Follows https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.kube.conditions import condition_message, find_condition
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text

API_SERVICES_PATH = "/apis/apiregistration.k8s.io/v1/apiservices"


@dataclass(frozen=True, kw_only=True)
class UnavailableApi:
    """An APIService whose condition Available is False."""

    name: str
    service: str  # namespace/name of its Service; empty: the API server itself serves it
    cause: str  # message of the condition

    @property
    def remedy(self) -> str:
        """Return the instruction to make the API available, or to delete it."""
        delete = f"delete the APIService if nothing needs it (kubectl delete apiservice {self.name})"
        return f"repair its Service {self.service}, or {delete}" if self.service else delete


def find_unavailable_apis(api_services: Mapping[str, Any]) -> Iterator[UnavailableApi]:
    """Yield the unavailable APIs in a list of APIServices.

    A condition that is missing or Unknown belongs to an API that was not tried yet.
    """
    for api_service in as_mappings(api_services.get("items")):
        condition = find_condition(api_service, "Available")
        if condition.get("status") != "False":
            continue
        service = as_mapping(api_service, "spec", "service")
        namespace, name = as_text(service.get("namespace")), as_text(service.get("name"))
        yield UnavailableApi(
            name=to_single_line(as_text(as_mapping(api_service, "metadata").get("name")), 253),
            service=to_single_line(f"{namespace}/{name}", 128) if name else "",
            cause=condition_message(condition),
        )
