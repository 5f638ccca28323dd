"""Baseline of a run without faults, and assertions that another run ends in the same state."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.helpers.live_objects import diff_objects, normalize_objects
from tests.helpers.stack_under_test import StackUnderTest, list_all_objects, wait_until
from tests.helpers.update_progress import UpdateProgress, record_progress

# Controllers create and delete dependent objects asynchronously.
_SETTLE_TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Result of an uninterrupted `up`, and of the uninterrupted `destroy` after it."""

    up: UpdateProgress
    destroy: UpdateProgress
    objects: Mapping[str, Mapping[str, Any]]  # by context, normalized
    urns: frozenset[str]


def measure_baseline(lab_stack: StackUnderTest) -> Baseline:
    """Deploy a mesh, destroy it, and return its baseline.

    The objects of the empty clusters go to `lab_stack.objects_before`.
    """
    lab_stack.objects_before = {
        context: list_all_objects(lab_stack, context) for context in lab_stack.contexts.values()
    }
    with record_progress(lab_stack.output) as up:
        lab_stack.up()
    assert [row for row in lab_stack.run_checks() if not row.passed] == []
    objects = {context: normalize_objects(list_all_objects(lab_stack, context)) for context in lab_stack.objects_before}
    urns = frozenset(resource["urn"] for resource in read_checkpoint(lab_stack)["resources"])
    with record_progress(lab_stack.output) as destroy:
        lab_stack.destroy()
    assert_destroyed(lab_stack)
    return Baseline(up=up[0], destroy=destroy[0], objects=objects, urns=urns)


def read_checkpoint(lab_stack: StackUnderTest) -> dict[str, Any]:
    """Return the current checkpoint of the stack state."""
    checkpoint: dict[str, Any] = json.loads(lab_stack.state)["checkpoint"]["latest"]
    return checkpoint


def assert_matches_baseline(lab_stack: StackUnderTest, baseline: Baseline) -> None:
    """Require that the clusters and the stack state match the baseline.

    Objects and resources are neither missing, duplicated nor incomplete.
    """
    assert [row for row in lab_stack.run_checks() if not row.passed] == []
    objects: dict[str, Mapping[str, Any]] = {}
    for context, expected in baseline.objects.items():
        wait_until(partial(_matches, lab_stack, context, expected, objects), _SETTLE_TIMEOUT_S)
        assert {context: diff_objects(expected, normalize_objects(objects[context]))} == {context: []}
    lab_stack.up("--expect-no-changes")
    state = read_checkpoint(lab_stack)
    assert state.get("pending_operations", []) == []
    urns = Counter(resource["urn"] for resource in state["resources"])
    assert sorted(urns.elements()) == sorted(baseline.urns)
    assert [resource["urn"] for resource in state["resources"] if resource.get("delete")] == []
    assert (
        _find_missing(state["resources"], {name: objects[context] for name, context in lab_stack.contexts.items()})
        == []
    )


def assert_destroyed(lab_stack: StackUnderTest) -> None:
    """Require that the clusters have only their former objects, and that the stack state is empty."""
    assert not lab_stack.has_resources
    for context, before in lab_stack.objects_before.items():
        wait_until(partial(lab_stack.is_restored, context), _SETTLE_TIMEOUT_S)
        remaining = list_all_objects(lab_stack, context).keys()
        assert (sorted(remaining - before.keys()), sorted(before.keys() - remaining)) == ([], []), context


def _matches(
    lab_stack: StackUnderTest, context: str, expected: Mapping[str, Any], live: dict[str, Mapping[str, Any]]
) -> bool:
    live[context] = list_all_objects(lab_stack, context)
    return not diff_objects(expected, normalize_objects(live[context]))


def _find_missing(resources: list[dict[str, Any]], objects: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the URNs of resources in the stack state without an object in their cluster."""
    live_ids = {
        name: {(item["kind"], _object_id(item["metadata"])) for item in live.values()}
        | {("Release", key.removeprefix("release/")) for key in normalize_objects(live) if key.startswith("release/")}
        for name, live in objects.items()
    }
    managed = [r for r in resources if r.get("custom") and r["type"].startswith("kubernetes:") and r.get("id")]
    return [
        resource["urn"]
        for resource in managed
        if (resource["type"].rpartition(":")[2].removesuffix("Patch"), resource["id"])
        not in live_ids[resource["provider"].split("::")[-2]]
    ]


def _object_id(metadata: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
