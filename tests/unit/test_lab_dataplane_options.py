"""Options of the lab's data plane that the running lab does not have."""

from pathlib import Path

import pytest

from hack.lab.errors import LabError
from hack.lab.lifecycle import reject_dataplane_changes
from hack.lab.spec import ClusterSpec, LabSpec, LoadBalancerKind

WEST = ClusterSpec(name="west", load_balancer=LoadBalancerKind.IP)
SIMULATED = LabSpec(clusters=(WEST,))
REAL = LabSpec(clusters=(WEST,), dataplane_folders=("/programs",), image_delay_s=2)


@pytest.mark.parametrize(
    ("before", "folders", "flat", "image_delay", "message"),
    [
        (LabSpec(), [], True, 0, "--flat: needs a data plane; set LAB_DATAPLANE"),
        (LabSpec(), [], False, 3, "--image-delay: needs a data plane; set LAB_DATAPLANE"),
        (SIMULATED, ["/programs"], False, 0, "LAB_DATAPLANE: /programs: the lab runs without a data plane; stop"),
        (REAL, ["/other"], False, 0, "LAB_DATAPLANE: /other: the lab runs with /programs; stop the lab first"),
        (REAL, [], True, 0, "--flat: the lab runs without a flat network; stop the lab first"),
        (REAL, [], False, 3, "--image-delay: 3: the lab runs with 2; stop the lab first"),
    ],
)
def test_option_of_another_data_plane_is_refused(
    before: LabSpec, folders: list[str], flat: bool, image_delay: float, message: str
) -> None:
    with pytest.raises(LabError, match=message):
        reject_dataplane_changes(before, [Path(each) for each in folders], flat=flat, image_delay=image_delay)


@pytest.mark.parametrize(
    ("before", "folders", "image_delay"),
    [(LabSpec(), ["/programs"], 3), (SIMULATED, [], 0), (REAL, [], 0), (REAL, ["/programs"], 2)],
)
def test_running_lab_keeps_its_data_plane(before: LabSpec, folders: list[str], image_delay: float) -> None:
    reject_dataplane_changes(before, [Path(each) for each in folders], flat=False, image_delay=image_delay)
