"""Start of a fault at its moment, at any speed of the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fault_injection import wait_for_moment
from tests.helpers.update_progress import Moment, OutputWatch

# Arguments: number of resources, seconds between two of them, and idle seconds at the end.
FAKE_COMMAND = """
import sys, time
for number in range(int(sys.argv[1])):
    time.sleep(float(sys.argv[2]))
    print(f" +  kubernetes:core/v1:Secret number-{number} created (0.1s) ", flush=True)
time.sleep(float(sys.argv[3]))
"""


def count_resources_at_moment(
    tmp_path: Path, moment: Moment, *, resources: int, interval_s: float, idle_s: float = 60
) -> int | None:
    """Return the number of completed resources at the moment, or None if the command ended first."""
    output = tmp_path / "output.log"
    output.touch()
    watch = OutputWatch(output)
    with output.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", FAKE_COMMAND, str(resources), str(interval_s), str(idle_s)], stdout=log
        )
    try:
        return watch.resource_count if wait_for_moment(process, watch, moment) else None
    finally:
        process.kill()
        process.wait()


def test_fault_starts_after_given_number_of_resources(tmp_path: Path) -> None:
    assert (
        count_resources_at_moment(
            tmp_path, Moment(resource_count=2, reached_s=1, delay_s=0), resources=2, interval_s=0.1
        )
        == 2
    )


@pytest.mark.thorough  # waits for timeouts
def test_fault_starts_no_later_than_the_next_resource(tmp_path: Path) -> None:
    assert (
        count_resources_at_moment(
            tmp_path, Moment(resource_count=1, reached_s=1, delay_s=1000), resources=2, interval_s=0.3
        )
        == 2
    )


@pytest.mark.parametrize(
    "moment", [Moment(resource_count=2, reached_s=1, delay_s=0), Moment(resource_count=1, reached_s=1, delay_s=1000)]
)
def test_fault_never_starts_after_the_command(tmp_path: Path, moment: Moment) -> None:
    assert count_resources_at_moment(tmp_path, moment, resources=1, interval_s=0, idle_s=0) is None
