"""Whether a disturbance comes at its moment, whatever the pace; a stand-in says what it has done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fault_injection import wait_for_moment
from tests.helpers.update_progress import Moment, OutputWatch

# So many resources, so many seconds apart, and then nothing for as long as a test may take.
FAKE_COMMAND = """
import sys, time
for number in range(int(sys.argv[1])):
    time.sleep(float(sys.argv[2]))
    print(f" +  kubernetes:core/v1:Secret number-{number} created (0.1s) ", flush=True)
time.sleep(float(sys.argv[3]))
"""


def count_resources_at_moment(
    tmp_path: Path, at: Moment, *, resources: int, each: float, then: float = 60
) -> int | None:
    """How many resources were done when the moment came; None if it never did."""
    output = tmp_path / "output.log"
    output.touch()
    watch = OutputWatch(output)
    with output.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", FAKE_COMMAND, str(resources), str(each), str(then)], stdout=log
        )
    try:
        return watch.done if wait_for_moment(process, watch, at) else None
    finally:
        process.kill()
        process.wait()


def test_disturbance_starts_after_given_number_of_resources(tmp_path: Path) -> None:
    assert count_resources_at_moment(tmp_path, Moment(done=2, reached=1, after=0), resources=2, each=0.1) == 2


def test_disturbance_starts_no_later_than_the_next_resource(tmp_path: Path) -> None:
    assert count_resources_at_moment(tmp_path, Moment(done=1, reached=1, after=1000), resources=2, each=0.3) == 2


@pytest.mark.parametrize("at", [Moment(done=2, reached=1, after=0), Moment(done=1, reached=1, after=1000)])
def test_disturbance_never_starts_after_the_command(tmp_path: Path, at: Moment) -> None:
    assert count_resources_at_moment(tmp_path, at, resources=1, each=0, then=0) is None
