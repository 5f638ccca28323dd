"""Helm can make a release and not write down that it has: the next `up` does."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.home import Home
from tests.deployment import Deployment
from tests.faults import webhook
from tests.faults.options import Faults

pytestmark = pytest.mark.lab(minutes=0.5)


def statuses(deployment: Deployment, context: str) -> dict[str, str]:
    """What Helm has written down of each release's first revision."""
    records = deployment.objects(context, "secrets", "--all-namespaces", "--selector=owner=helm")
    return {labels["name"]: labels["status"] for labels in (record["metadata"]["labels"] for record in records)}


def test_a_release_whose_record_could_not_be_ended_is_no_success_and_ended_by_the_next_up(
    lab: Home, faults: Faults, tmp_path: Path
) -> None:
    name, *_ = faults.names
    deployment = Deployment(lab, tmp_path, "records", {"clusters": {name: {}}})
    context = deployment.contexts[name]

    with webhook.unanswered(lab, context, labels={"owner": "helm", "status": "deployed"}):
        printed = deployment.failing_up()

    assert statuses(deployment, context) == {"linkerd-crds": "pending-install"}
    assert f"{name}: release linkerd-crds is installed, and Helm's record of it can't be brought to an end" in printed
    assert webhook.NAME in printed
    deployment.up()
    assert set(statuses(deployment, context).values()) == {"deployed"}
    assert [row for row in deployment.rows() if not row.passed] == []
    deployment.up("--expect-no-changes")
    deployment.destroy()
