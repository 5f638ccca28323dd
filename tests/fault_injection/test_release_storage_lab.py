"""What Helm makes or removes without writing down how that ended: the next `up` makes up for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hack.lab.state_dir import StateDir
from hack.make.pulumi_cli import PulumiFailed
from tests.helpers import webhook
from tests.helpers.lab_stack import Deployment, everything
from tests.helpers.live_objects import comparable, difference
from tests.helpers.options import Faults

pytestmark = pytest.mark.lab(minutes=1)


@pytest.fixture(scope="module")
def alone(lab: StateDir, faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A cluster that gets Linkerd, and nothing of which is up."""
    name, *_ = faults.names
    deployment = Deployment(lab, tmp_path_factory.mktemp("records"), "records", {"clusters": {name: {}}})
    yield deployment
    if deployment.has_resources:
        deployment.destroy()


def statuses(deployment: Deployment) -> dict[str, str]:
    """What Helm has written down of each release."""
    [context] = deployment.contexts.values()
    records = deployment.objects(context, "secrets", "--all-namespaces", "--selector=owner=helm")
    return {labels["name"]: labels["status"] for labels in (record["metadata"]["labels"] for record in records)}


def assert_is_whole(deployment: Deployment) -> None:
    assert statuses(deployment) == {"linkerd-crds": "deployed", "linkerd-control-plane": "deployed"}
    assert [row for row in deployment.rows() if not row.passed] == []
    deployment.up("--expect-no-changes")


def test_a_release_whose_record_could_not_be_ended_is_no_success_and_ended_by_the_next_up(alone: Deployment) -> None:
    [(name, context)] = alone.contexts.items()
    with webhook.unanswered(alone.lab, context, labels={"owner": "helm", "status": "deployed"}):
        printed = alone.failing_up()

    assert statuses(alone) == {"linkerd-crds": "pending-install"}
    assert f"{name}: release linkerd-crds is installed, and Helm's record of it can't be brought to an end" in printed
    assert webhook.NAME in printed
    alone.up()
    assert_is_whole(alone)


def test_a_release_that_was_uninstalled_in_part_is_whole_after_the_next_up(alone: Deployment) -> None:
    [context] = alone.contexts.values()
    before = comparable(everything(alone, context))
    labels = {"owner": "helm", "status": "uninstalling"}
    with (
        webhook.unanswered(alone.lab, context, before=["CREATE", "DELETE"], labels=labels),
        pytest.raises(PulumiFailed),
    ):
        alone.destroy()

    assert statuses(alone) == {"linkerd-crds": "deployed", "linkerd-control-plane": "uninstalling"}
    assert alone.objects(context, "deployments", "--namespace=linkerd") == []
    alone.up()
    assert_is_whole(alone)
    assert difference(before, comparable(everything(alone, context))) == []
