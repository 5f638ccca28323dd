"""The resources of a preview, out of the JSON that `pulumi preview --json --show-sames` prints.

Follows https://www.pulumi.com/docs/iac/cli/commands/pulumi_preview/ (--json).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from policy.planned_resource import PlannedResource, items

# What there is after the update; of what is deleted, or only read, nothing is judged.
_STAYS = frozenset({"same", "create", "update", "replace", "create-replacement", "import", "import-replacement"})


class PreviewError(Exception):
    """What was given is no preview, or one that has failed."""


def read(text: str) -> list[PlannedResource]:
    """The resources of a preview.

    Args:
        text: what Pulumi has printed.

    Raises:
        PreviewError: it is no JSON, no preview, or a preview that has failed.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PreviewError("not JSON; give it what `pulumi preview --json --show-sames` prints") from None
    return resources(document)


def resources(document: Any) -> list[PlannedResource]:
    """The resources of a preview, each once, in the preview's order.

    Args:
        document: the JSON, decoded.

    Raises:
        PreviewError: it is no preview, or one that has failed: the half of one would have half of the violations.
    """
    if not isinstance(document, Mapping) or not document.keys() & {"steps", "changeSummary", "diagnostics"}:
        raise PreviewError("no preview; give it what `pulumi preview --json --show-sames` prints")
    if any(
        isinstance(each, Mapping) and each.get("severity") == "error" for each in items(document.get("diagnostics"))
    ):
        raise PreviewError("the preview has failed, and is not complete; mend what its diagnostics say")
    found: dict[str, PlannedResource] = {}
    for number, step in enumerate(items(document.get("steps"))):
        if not isinstance(step, Mapping):
            raise PreviewError(f"steps[{number}]: not a step of a preview")
        if step.get("op") in _STAYS:
            resource = _resource(step.get("newState"), number)
            found[resource.urn] = resource
    return list(found.values())


def _resource(state: Any, number: int) -> PlannedResource:
    if not isinstance(state, Mapping) or not all(isinstance(state.get(key), str) for key in ("urn", "type")):
        raise PreviewError(f"steps[{number}].newState: not a resource")
    properties = state.get("inputs") or {}
    if not isinstance(properties, Mapping):
        raise PreviewError(f"steps[{number}].newState.inputs: not the inputs of a resource")
    return PlannedResource(
        urn=state["urn"], type=state["type"], properties=properties, provider=str(state.get("provider") or "")
    )
