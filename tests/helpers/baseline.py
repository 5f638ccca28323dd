"""What a run that nothing disturbs comes to, and whether another one has come to the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.helpers.lab_stack import LabStack, list_all_objects, wait_until
from tests.helpers.live_objects import diff_objects, normalize_objects
from tests.helpers.update_progress import UpdateProgress, record_progress

# Seconds for controllers to make, or to remove, what follows from the objects of a mesh.
_SETTLE_TIMEOUT_S = 60
_RELEASE = "kubernetes:helm.sh/v3:Release"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An uninterrupted `up`, and the uninterrupted `destroy` after it."""

    up: UpdateProgress
    destroy: UpdateProgress
    objects: Mapping[str, Mapping[str, Any]]  # by context, comparable
    urns: frozenset[str]


def measure_baseline(deployment: LabStack) -> Baseline:
    """Bring a mesh up and take it away. What was in its clusters is kept in `before`."""
    deployment.objects_before = {
        context: list_all_objects(deployment, context) for context in deployment.contexts.values()
    }
    with record_progress(deployment.output) as up:
        deployment.up()
    assert [row for row in deployment.run_checks() if not row.passed] == []
    found = {context: normalize_objects(list_all_objects(deployment, context)) for context in deployment.objects_before}
    urns = frozenset(resource["urn"] for resource in read_checkpoint(deployment)["resources"])
    with record_progress(deployment.output) as destroy:
        deployment.destroy()
    assert_destroyed(deployment)
    return Baseline(up=up[0], destroy=destroy[0], objects=found, urns=urns)


def read_checkpoint(deployment: LabStack) -> dict[str, Any]:
    """The newest state."""
    found: dict[str, Any] = json.loads(deployment.state)["checkpoint"]["latest"]
    return found


def assert_matches_baseline(deployment: LabStack, reference: Baseline) -> None:
    """Nothing is lost, doubled or half-made, in the clusters and in Pulumi's state."""
    assert [row for row in deployment.run_checks() if not row.passed] == []
    objects: dict[str, Mapping[str, Any]] = {}
    for context, wanted in reference.objects.items():
        wait_until(partial(_matches, deployment, context, wanted, objects), _SETTLE_TIMEOUT_S)
        assert {context: diff_objects(wanted, normalize_objects(objects[context]))} == {context: []}
    deployment.up("--expect-no-changes")
    state = read_checkpoint(deployment)
    assert state.get("pending_operations", []) == []
    urns = Counter(resource["urn"] for resource in state["resources"])
    assert sorted(urns.elements()) == sorted(reference.urns)
    assert [resource["urn"] for resource in state["resources"] if resource.get("delete")] == []
    assert (
        _find_missing(state["resources"], {name: objects[context] for name, context in deployment.contexts.items()})
        == []
    )


def assert_destroyed(deployment: LabStack) -> None:
    """Nothing is left, in the clusters and in Pulumi's state."""
    assert not deployment.has_resources
    for context, before in deployment.objects_before.items():
        wait_until(partial(deployment.is_restored, context), _SETTLE_TIMEOUT_S)
        left = list_all_objects(deployment, context).keys()
        assert (sorted(left - before.keys()), sorted(before.keys() - left)) == ([], []), context


def _matches(deployment: LabStack, context: str, wanted: Mapping[str, Any], into: dict[str, Mapping[str, Any]]) -> bool:
    into[context] = list_all_objects(deployment, context)
    return not diff_objects(wanted, normalize_objects(into[context]))


def _find_missing(resources: list[dict[str, Any]], objects: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the state has and its cluster hasn't."""
    there = {
        name: {(item["kind"], _object_id(item["metadata"])) for item in found.values()}
        | {("Release", key.removeprefix("release/")) for key in normalize_objects(found) if key.startswith("release/")}
        for name, found in objects.items()
    }
    made = [r for r in resources if r.get("custom") and r["type"].startswith("kubernetes:") and r.get("id")]
    return [
        resource["urn"]
        for resource in made
        if (resource["type"].rpartition(":")[2].removesuffix("Patch"), resource["id"])
        not in there[resource["provider"].split("::")[-2]]
    ]


def _object_id(metadata: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
