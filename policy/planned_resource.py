"""A resource of an update, and access to its untyped properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PlannedResource:
    """A resource that an update creates, changes or leaves unchanged."""

    urn: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)  # inputs after the provider's check
    provider: str = ""  # URN of the provider, with or without an ID; empty without a provider

    @property
    def name(self) -> str:
        """Return the resource name."""
        return self.urn.split("::", 3)[-1]

    @property
    def kind(self) -> str:
        """Return the last part of the type, such as `Deployment` of `kubernetes:apps/v1:Deployment`."""
        return self.type.rpartition(":")[2]


def value_at(value: Any, *path: str) -> Any:
    """Return the value at a path of mapping keys, or None if the path does not exist."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def list_items(value: Any) -> Sequence[Any]:
    """Return the items of a list, or no items for any other value."""
    return value if isinstance(value, list | tuple) else ()
