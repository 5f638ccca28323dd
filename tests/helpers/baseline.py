"""What a run that nothing disturbs comes to, and whether another one has come to the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.helpers.lab_stack import Deployment, comes_true, everything
from tests.helpers.live_objects import comparable, difference
from tests.helpers.update_progress import Progress, recorded

# Seconds for controllers to make, or to remove, what follows from the objects of a mesh.
_SETTLES_WITHIN = 60
_RELEASE = "kubernetes:helm.sh/v3:Release"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An uninterrupted `up`, and the uninterrupted `destroy` after it."""

    up: Progress
    destroy: Progress
    objects: Mapping[str, Mapping[str, Any]]  # by context, comparable
    urns: frozenset[str]


def measure(deployment: Deployment) -> Reference:
    """Bring a mesh up and take it away. What was in its clusters is kept in `before`."""
    deployment.before = {context: everything(deployment, context) for context in deployment.contexts.values()}
    with recorded(deployment.output) as up:
        deployment.up()
    assert [row for row in deployment.rows() if not row.passed] == []
    found = {context: comparable(everything(deployment, context)) for context in deployment.before}
    urns = frozenset(resource["urn"] for resource in latest(deployment)["resources"])
    with recorded(deployment.output) as destroy:
        deployment.destroy()
    assert_is_gone(deployment)
    return Reference(up=up[0], destroy=destroy[0], objects=found, urns=urns)


def latest(deployment: Deployment) -> dict[str, Any]:
    """The newest state."""
    found: dict[str, Any] = json.loads(deployment.state)["checkpoint"]["latest"]
    return found


def assert_is_whole(deployment: Deployment, reference: Reference) -> None:
    """Nothing is lost, doubled or half-made, in the clusters and in Pulumi's state."""
    assert [row for row in deployment.rows() if not row.passed] == []
    objects: dict[str, Mapping[str, Any]] = {}
    for context, wanted in reference.objects.items():
        comes_true(partial(_is_like, deployment, context, wanted, objects), _SETTLES_WITHIN)
        assert {context: difference(wanted, comparable(objects[context]))} == {context: []}
    deployment.up("--expect-no-changes")
    state = latest(deployment)
    assert state.get("pending_operations", []) == []
    urns = Counter(resource["urn"] for resource in state["resources"])
    assert sorted(urns.elements()) == sorted(reference.urns)
    assert [resource["urn"] for resource in state["resources"] if resource.get("delete")] == []
    assert _missing(state["resources"], {name: objects[context] for name, context in deployment.contexts.items()}) == []


def assert_is_gone(deployment: Deployment) -> None:
    """Nothing is left, in the clusters and in Pulumi's state."""
    assert not deployment.has_resources
    for context, before in deployment.before.items():
        comes_true(partial(deployment.is_as_before, context), _SETTLES_WITHIN)
        left = everything(deployment, context).keys()
        assert (sorted(left - before.keys()), sorted(before.keys() - left)) == ([], []), context


def _is_like(
    deployment: Deployment, context: str, wanted: Mapping[str, Any], into: dict[str, Mapping[str, Any]]
) -> bool:
    into[context] = everything(deployment, context)
    return not difference(wanted, comparable(into[context]))


def _missing(resources: list[dict[str, Any]], objects: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the state has and its cluster hasn't."""
    there = {
        name: {(item["kind"], _id(item["metadata"])) for item in found.values()}
        | {("Release", key.removeprefix("release/")) for key in comparable(found) if key.startswith("release/")}
        for name, found in objects.items()
    }
    made = [r for r in resources if r.get("custom") and r["type"].startswith("kubernetes:") and r.get("id")]
    return [
        resource["urn"]
        for resource in made
        if (resource["type"].rpartition(":")[2].removesuffix("Patch"), resource["id"])
        not in there[resource["provider"].split("::")[-2]]
    ]


def _id(metadata: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
