"""Fixtures of the tests under live requests: a lab with a data plane, and a mesh on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.lab import lifecycle
from hack.lab.dataplane import requirements
from hack.lab.state_dir import StateDir
from tests.helpers.changes_under_load import mesh_config
from tests.helpers.dataplane_programs import NAMED_FOLDERS
from tests.helpers.edge_releases import newest_edge_release
from tests.helpers.stack_under_test import StackUnderTest
from tests.helpers.traffic import MeshUnderLoad, TrafficResults

# Without the time that real images take, a wrong order would lose few requests or none.
_IMAGE_DELAY_S = 3


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDir]:
    """Yield a lab with a data plane on one flat network, and delete it at the end."""
    home = StateDir(folder=tmp_path_factory.mktemp("traffic-lab") / "home")
    try:
        lifecycle.start(
            home,
            ["west", "east", "north"],
            load_balancers={},
            chart_folders=[],
            timeout=300,
            report=print,
            owner=os.getpid(),
            dataplane_folders=requirements.check_folders(NAMED_FOLDERS),
            flat=True,
            image_delay=_IMAGE_DELAY_S,
        )
        yield home
    finally:
        lifecycle.stop(home, [], delete=True)


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config) -> TrafficResults:
    """Return the files with all reports."""
    return TrafficResults(Path(pytestconfig.option.traffic_results), newest_edge_release())


@pytest.fixture(scope="module")
def mesh(lab: StateDir, results: TrafficResults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshUnderLoad]:
    """Yield a mesh before its deployment, and destroy it at the end."""
    stack = StackUnderTest(lab, tmp_path_factory.mktemp("traffic"), "traffic", mesh_config())
    mesh = MeshUnderLoad(stack=stack, release=newest_edge_release(), results=results)
    yield mesh
    mesh.destroy()
