"""High availability values, compared with those of each release's chart."""

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

STABLE_RELEASES = [each for each in LINKERD_RELEASES.values() if each.channel == "stable"]
# Keys that the older chart lacks. `linkerd check` requires the first one.
ADDITIONAL_KEYS = {"highAvailability", "policyControllerResources"}


@pytest.mark.parametrize("linkerd_release", STABLE_RELEASES, ids=lambda each: each.version)
def test_high_availability_equals_values_of_the_chart(lab: StateDir, linkerd_release: LinkerdRelease) -> None:
    defaults, chart_values = (
        read_chart_values(lab, linkerd_release, "values"),
        read_chart_values(lab, linkerd_release, "values-ha"),
    )
    values = high_availability_values()
    additional = {key: value for key, value in values.items() if key not in chart_values}

    assert chart_values["controllerReplicas"] == 3
    assert config.merge_values(defaults, values) == config.merge_values(
        config.merge_values(defaults, chart_values), additional
    )
    assert set(additional) == (ADDITIONAL_KEYS if linkerd_release.version == "2.13.5" else set())


def read_chart_values(lab: StateDir, linkerd_release: LinkerdRelease, name: str) -> dict[str, Any]:
    """Return a values file of a release's control plane chart."""
    address = f"{lab.read_status()['charts']}/linkerd-control-plane-{linkerd_release.control_plane}.tgz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address) as response, tarfile.open(fileobj=BytesIO(response.read())) as archive:
        file = archive.extractfile(f"linkerd-control-plane/{name}.yaml")
        assert file is not None
        return dict(yaml.safe_load(file))
