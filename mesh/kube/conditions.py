"""Conditions in the status of an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text

# A namespace's condition can list many kinds and APIs.
_MAX_MESSAGE_LENGTH = 400


def find_condition(live: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return an object's condition of one type, or an empty mapping."""
    conditions = as_mappings(as_mapping(dict(live), "status").get("conditions"))
    return next((each for each in conditions if each.get("type") == kind), {})


def condition_message(condition: Mapping[str, Any]) -> str:
    """Return the message of a condition, or else its reason, for users."""
    text = as_text(condition.get("message")) or as_text(condition.get("reason"))
    return to_single_line(text, _MAX_MESSAGE_LENGTH).rstrip(".") or "no message given"
