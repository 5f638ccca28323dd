"""Checks of a mesh that carries packets: `make check` and `make verify`, without exceptions for missing proxies."""

from __future__ import annotations

import pytest

from hack.make.verify import Verifier
from tests.helpers.changes_under_load import SPLIT_HELLOWORLD, mesh_config
from tests.helpers.dataplane_programs import REQUIRES_DATAPLANE
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES
from tests.helpers.traffic import MeshUnderLoad, list_unmeshed_pods

pytestmark = [pytest.mark.lab("west", "east", minutes=2), REQUIRES_DATAPLANE, REQUIRES_EDGE_RELEASES]

CONFIG = mesh_config(helloworld={**SPLIT_HELLOWORLD, "sleep": ["west"]})


def test_first_up_puts_every_pod_into_the_mesh(mesh: MeshUnderLoad) -> None:
    mesh.apply(CONFIG)

    assert {cluster: list_unmeshed_pods(mesh.stack, cluster) for cluster in mesh.stack.contexts} == {
        "west": [],
        "east": [],
    }


def test_checks_of_linkerd_and_its_proxies_pass(mesh: MeshUnderLoad) -> None:
    mesh.apply(CONFIG)

    assert [f"{row.subject}: {row.check}: {row.detail}" for row in mesh.stack.run_checks() if not row.passed] == []


def test_requests_follow_weights_of_split(mesh: MeshUnderLoad) -> None:
    mesh.apply(CONFIG)

    rows = list(Verifier(mesh.stack.stack, mesh.stack.environment, mesh.stack.lab.kubeconfig).rows())

    assert [(row.check, row.passed) for row in rows] == [("helloworld split", True)], rows
