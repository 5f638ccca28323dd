"""What Helm makes or removes without writing down how that ended: the next `up` makes up for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hack.lab.state_dir import StateDir
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers import unreachable_webhook
from tests.helpers.lab_stack import LabStack, list_all_objects
from tests.helpers.live_objects import diff_objects, normalize_objects
from tests.helpers.options import FaultOptions

pytestmark = pytest.mark.lab(minutes=1)


@pytest.fixture(scope="module")
def linkerd_stack(lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """A cluster that gets Linkerd, and nothing of which is up."""
    name, *_ = faults.cluster_names
    lab_stack = LabStack(lab, tmp_path_factory.mktemp("records"), "records", {"clusters": {name: {}}})
    yield lab_stack
    if lab_stack.has_resources:
        lab_stack.destroy()


def read_release_statuses(lab_stack: LabStack) -> dict[str, str]:
    """What Helm has written down of each release."""
    [context] = lab_stack.contexts.values()
    records = lab_stack.list_objects(context, "secrets", "--all-namespaces", "--selector=owner=helm")
    return {labels["name"]: labels["status"] for labels in (record["metadata"]["labels"] for record in records)}


def assert_deployed(lab_stack: LabStack) -> None:
    assert read_release_statuses(lab_stack) == {"linkerd-crds": "deployed", "linkerd-control-plane": "deployed"}
    assert [row for row in lab_stack.run_checks() if not row.passed] == []
    lab_stack.up("--expect-no-changes")


def test_release_that_stayed_pending_is_completed_by_next_up(alone: LabStack) -> None:
    [(name, context)] = alone.contexts.items()
    with unreachable_webhook.install_webhook(alone.lab, context, labels={"owner": "helm", "status": "deployed"}):
        printed = alone.up_expecting_failure()

    assert read_release_statuses(alone) == {"linkerd-crds": "pending-install"}
    message = f"{name}: release linkerd-crds: Helm installed it but could not mark its revision as deployed"
    assert message in printed
    assert unreachable_webhook.WEBHOOK_NAME in printed
    alone.up()
    assert_deployed(alone)


def test_partly_uninstalled_release_is_restored_by_next_up(alone: LabStack) -> None:
    [context] = alone.contexts.values()
    before = normalize_objects(list_all_objects(alone, context))
    labels = {"owner": "helm", "status": "uninstalling"}
    with (
        unreachable_webhook.install_webhook(alone.lab, context, operations=["CREATE", "DELETE"], labels=labels),
        pytest.raises(PulumiCommandError),
    ):
        alone.destroy()

    assert read_release_statuses(alone) == {"linkerd-crds": "deployed", "linkerd-control-plane": "uninstalling"}
    assert alone.list_objects(context, "deployments", "--namespace=linkerd") == []
    alone.up()
    assert_deployed(alone)
    assert diff_objects(before, normalize_objects(list_all_objects(alone, context))) == []
