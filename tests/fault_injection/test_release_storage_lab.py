"""Helm operations whose result could not be stored: the next `up` completes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hack.lab.state_dir import StateDir
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers import unreachable_webhook
from tests.helpers.live_objects import diff_objects, normalize_objects
from tests.helpers.options import FaultOptions
from tests.helpers.stack_under_test import StackUnderTest, list_all_objects

pytestmark = pytest.mark.lab(minutes=1)


@pytest.fixture(scope="module")
def linkerd_stack(
    lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackUnderTest]:
    """Yield a stack with one cluster before its deployment."""
    name, *_ = faults.cluster_names
    lab_stack = StackUnderTest(lab, tmp_path_factory.mktemp("revisions"), "revisions", {"clusters": {name: {}}})
    yield lab_stack
    if lab_stack.has_resources:
        lab_stack.destroy()


def read_release_statuses(lab_stack: StackUnderTest) -> dict[str, str]:
    """Return the status of each Helm release."""
    [context] = lab_stack.contexts.values()
    secrets = lab_stack.list_objects(context, "secrets", "--all-namespaces", "--selector=owner=helm")
    return {labels["name"]: labels["status"] for labels in (secret["metadata"]["labels"] for secret in secrets)}


def assert_deployed(lab_stack: StackUnderTest) -> None:
    assert read_release_statuses(lab_stack) == {"linkerd-crds": "deployed", "linkerd-control-plane": "deployed"}
    assert [row for row in lab_stack.run_checks() if not row.passed] == []
    lab_stack.up("--expect-no-changes")


def test_release_that_stayed_pending_is_completed_by_next_up(linkerd_stack: StackUnderTest) -> None:
    [(name, context)] = linkerd_stack.contexts.items()
    with unreachable_webhook.install_webhook(
        linkerd_stack.lab, context, labels={"owner": "helm", "status": "deployed"}
    ):
        output = linkerd_stack.up_expecting_failure()

    assert read_release_statuses(linkerd_stack) == {"linkerd-crds": "pending-install"}
    message = f"{name}: release linkerd-crds: Helm installed it but could not mark its revision as deployed"
    assert message in output
    assert unreachable_webhook.WEBHOOK_NAME in output
    linkerd_stack.up()
    assert_deployed(linkerd_stack)


def test_partly_uninstalled_release_is_restored_by_next_up(linkerd_stack: StackUnderTest) -> None:
    [context] = linkerd_stack.contexts.values()
    before = normalize_objects(list_all_objects(linkerd_stack, context))
    labels = {"owner": "helm", "status": "uninstalling"}
    with (
        unreachable_webhook.install_webhook(linkerd_stack.lab, context, operations=["CREATE", "DELETE"], labels=labels),
        pytest.raises(PulumiCommandError),
    ):
        linkerd_stack.destroy()

    assert read_release_statuses(linkerd_stack) == {"linkerd-crds": "deployed", "linkerd-control-plane": "uninstalling"}
    assert linkerd_stack.list_objects(context, "deployments", "--namespace=linkerd") == []
    linkerd_stack.up()
    assert_deployed(linkerd_stack)
    assert diff_objects(before, normalize_objects(list_all_objects(linkerd_stack, context))) == []
