"""Parser of the resources in the output of `pulumi preview --json --show-sames`.

Follows https://www.pulumi.com/docs/iac/cli/commands/pulumi_preview/ (--json).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from policy.planned_resource import PlannedResource, list_items

# Operations after which the resource exists. Resources that are deleted or only read are not checked.
_REMAINING = frozenset({"same", "create", "update", "replace", "create-replacement", "import", "import-replacement"})
_REMEDY = "pass the output of `pulumi preview --json --show-sames`"


class PreviewError(Exception):
    """Input that is no preview, or a preview that failed."""


def read_preview(text: str) -> list[PlannedResource]:
    """Return the resources of a preview.

    Args:
        text: output of Pulumi.

    Raises:
        PreviewError: the text is not JSON or no preview, or the preview failed.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PreviewError(f"not JSON; {_REMEDY}") from None
    return extract_resources(document)


def extract_resources(document: Any) -> list[PlannedResource]:
    """Return the resources of a preview in their order, each once.

    Args:
        document: decoded JSON.

    Raises:
        PreviewError: the document is no preview, or the preview failed and is therefore incomplete.
    """
    if not isinstance(document, Mapping) or not document.keys() & {"steps", "changeSummary", "diagnostics"}:
        raise PreviewError(f"no preview; {_REMEDY}")
    if any(
        isinstance(each, Mapping) and each.get("severity") == "error"
        for each in list_items(document.get("diagnostics"))
    ):
        raise PreviewError("the preview has failed, and is incomplete; fix the errors in its diagnostics")
    resources: dict[str, PlannedResource] = {}
    for number, step in enumerate(list_items(document.get("steps"))):
        if not isinstance(step, Mapping):
            raise PreviewError(f"steps[{number}]: not a step of a preview; {_REMEDY}")
        if step.get("op") in _REMAINING:
            resource = _parse_resource(step.get("newState"), number)
            resources[resource.urn] = resource
    return list(resources.values())


def _parse_resource(state: Any, number: int) -> PlannedResource:
    if not isinstance(state, Mapping) or not all(isinstance(state.get(key), str) for key in ("urn", "type")):
        raise PreviewError(f"steps[{number}].newState: not a resource; {_REMEDY}")
    properties = state.get("inputs") or {}
    if not isinstance(properties, Mapping):
        raise PreviewError(f"steps[{number}].newState.inputs: not the inputs of a resource; {_REMEDY}")
    return PlannedResource(
        urn=state["urn"], type=state["type"], properties=properties, provider=str(state.get("provider") or "")
    )
