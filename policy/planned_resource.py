"""A resource as an update plans it, and the values in it that nobody can look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# What `pulumi preview --json` prints in place of a secret, and of a value that only the update will know.
SECRET = "[secret]"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


@dataclass(frozen=True, kw_only=True)
class PlannedResource:
    """One resource that an update makes, changes or keeps."""

    urn: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)  # inputs, as the provider has checked them
    provider: str = ""  # the URN of its provider, maybe with an identifier after it; empty: none

    @property
    def name(self) -> str:
        """The name that the program has given it."""
        return self.urn.split("::", 3)[-1]

    @property
    def kind(self) -> str:
        """The last part of its type: `Deployment`, of `kubernetes:apps/v1:Deployment`."""
        return self.type.rpartition(":")[2]


def at(value: Any, *path: str) -> Any:
    """What is at a path of mappings; None where there is nothing.

    Args:
        value: where the path begins.
        path: keys.
    """
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def items(value: Any) -> Sequence[Any]:
    """The items of a list; of anything else, none."""
    return value if isinstance(value, list | tuple) else ()
