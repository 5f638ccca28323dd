"""Upgrade of Linkerd under live requests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.changes_under_load import HELLOWORLD_CLIENTS, SPLIT_HELLOWORLD, mesh_config
from tests.helpers.dataplane_programs import NAMED_FOLDERS, REQUIRES_DATAPLANE
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES, list_runnable_edge_releases
from tests.helpers.traffic import MeshUnderLoad

pytestmark = [pytest.mark.lab("west", "east", minutes=2), REQUIRES_DATAPLANE, REQUIRES_EDGE_RELEASES]


def list_releases_with_proxies() -> list[str]:
    """Return the releases whose charts, controllers and proxies are available, the newest last."""
    folders = {Path(part).name for part in NAMED_FOLDERS.split(os.pathsep)}
    return [release for release in list_runnable_edge_releases() if release in folders]


def test_upgrade_of_linkerd_loses_no_request(mesh: MeshUnderLoad) -> None:
    releases = list_releases_with_proxies()
    if len(releases) < 2:
        pytest.skip(f"an upgrade needs two releases, each in a folder of its own name; there is {releases}")
    config = mesh_config(helloworld=SPLIT_HELLOWORLD)
    mesh.release = releases[-2]
    mesh.apply(config)

    mesh.release = releases[-1]
    mesh.configure(config)
    mesh.disturb(f"Linkerd upgraded from {releases[-2]} to {releases[-1]}", mesh.stack.up, HELLOWORLD_CLIENTS)
