"""High availability, compared with the values that each release's own chart has for it."""

from __future__ import annotations

import tarfile
import urllib.request
from io import BytesIO
from typing import Any

import pytest
import yaml

from components.linkerd.control_plane import high_availability_values
from hack.lab.state_dir import StateDir
from mesh import config
from mesh.linkerd_releases import LINKERD_RELEASES, LinkerdRelease

pytestmark = pytest.mark.lab("west")

STABLE = [release for release in LINKERD_RELEASES.values() if release.channel == "stable"]
# What is set beyond the older chart's own values: it knows no such keys, and Linkerd's check asks for the first.
ADDITIONAL_KEYS = {"highAvailability", "policyControllerResources"}


@pytest.mark.parametrize("release", STABLE, ids=lambda release: release.version)
def test_high_availability_equals_values_of_the_chart(lab: StateDir, release: LinkerdRelease) -> None:
    defaults, theirs = read_chart_values(lab, release, "values"), read_chart_values(lab, release, "values-ha")
    ours = high_availability_values()
    beyond = {key: value for key, value in ours.items() if key not in theirs}

    assert theirs["controllerReplicas"] == 3
    assert config.merge_values(defaults, ours) == config.merge_values(config.merge_values(defaults, theirs), beyond)
    assert set(beyond) == (ADDITIONAL_KEYS if release.version == "2.13.5" else set())


def read_chart_values(lab: StateDir, release: LinkerdRelease, name: str) -> dict[str, Any]:
    """One of the values files of a release's control plane."""
    address = f"{lab.read_status()['charts']}/linkerd-control-plane-{release.control_plane}.tgz"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(address) as answer, tarfile.open(fileobj=BytesIO(answer.read())) as archive:
        file = archive.extractfile(f"linkerd-control-plane/{name}.yaml")
        assert file is not None
        return dict(yaml.safe_load(file))
