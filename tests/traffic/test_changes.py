"""Changes of a stack by one `up` under live requests: none is lost."""

from __future__ import annotations

import pytest

from tests.helpers.changes_under_load import (
    Change,
    link_changes,
    refused_changes,
    sample_changes,
    three_cluster_changes,
)
from tests.helpers.dataplane_programs import REQUIRES_DATAPLANE
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES
from tests.helpers.stack_under_test import REFUSAL
from tests.helpers.traffic import MeshUnderLoad

pytestmark = [pytest.mark.lab("west", "east", "north", minutes=20), REQUIRES_DATAPLANE, REQUIRES_EDGE_RELEASES]


@pytest.mark.parametrize("change", [*sample_changes(), *link_changes(), *three_cluster_changes()], ids=str)
def test_change_loses_no_request(mesh: MeshUnderLoad, change: Change) -> None:
    mesh.change(change)


@pytest.mark.parametrize("change", [*refused_changes()], ids=str)
def test_change_without_lossless_order_is_refused(mesh: MeshUnderLoad, change: Change) -> None:
    outputs: list[str] = []
    mesh.apply(change.before)
    mesh.configure(change.after)

    mesh.disturb(f"{change.name} (refused)", lambda: outputs.append(mesh.stack.up_expecting_failure()), change.clients)

    mesh.configure(change.before)
    assert REFUSAL in outputs[0]
