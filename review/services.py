"""Changes of a stack's services: exports, mirrors, weights and allowed clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mesh.config import Settings
from mesh.kube.json_access import as_mapping
from mesh.service_summary import build_services_output, summarize_services
from review.preview import Preview

# Keys of the output `services` that the stack file decides, also the headings of the columns.
COLUMNS = ("exported", "mirrors", "weights", "failover", "routes", "clients")


@dataclass(frozen=True, kw_only=True)
class ServiceChange:
    """A service on one cluster, before and after the change."""

    service: str  # namespace and name
    cluster: str
    before: Mapping[str, Any] | None  # entry of the output `services`; None: not in the stack
    after: Mapping[str, Any] | None

    @property
    def operation(self) -> Literal["create", "update", "delete"]:
        """Return the operation that the change stands for."""
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"


def compare_services(planned: Preview, settings: Settings | None) -> list[ServiceChange]:
    """Return the services that change, sorted by service and cluster.

    Args:
        planned: the preview, whose stack has the services of the last update.
        settings: the settings; None if the stack file is invalid.
    """
    if settings is None:
        return []
    stack = planned.stack
    outputs = stack.before.outputs if stack is not None and stack.before is not None else {}
    before = dict(_list_entries(outputs.get("services")))
    after = dict(_list_entries(build_services_output(summarize_services(settings))))
    return [
        ServiceChange(service=service, cluster=cluster, before=before.get(key), after=after.get(key))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
        for service, cluster in [key]
    ]


def format_cell(value: Any) -> str:
    """Return a part of an entry as text for a table."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_format_number(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _list_entries(output: Any) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Yield each entry of the output `services`, by service and cluster, without `pending`."""
    for service, clusters in as_mapping(output).items():
        for cluster, entry in as_mapping(clusters).items():
            yield (service, cluster), {key: value for key, value in as_mapping(entry).items() if key in COLUMNS}


def _format_number(value: Any) -> str:
    # The stack state has each number as a float.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
