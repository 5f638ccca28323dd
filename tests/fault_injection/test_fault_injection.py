"""Whether a disturbance comes at its moment, whatever the pace; a stand-in says what it has done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fault_injection import reached
from tests.helpers.update_progress import Moment, Watch

# So many resources, so many seconds apart, and then nothing for as long as a test may take.
STAND_IN = """
import sys, time
for number in range(int(sys.argv[1])):
    time.sleep(float(sys.argv[2]))
    print(f" +  kubernetes:core/v1:Secret number-{number} created (0.1s) ", flush=True)
time.sleep(float(sys.argv[3]))
"""


def run(tmp_path: Path, at: Moment, *, resources: int, each: float, then: float = 60) -> int | None:
    """How many resources were done when the moment came; None if it never did."""
    output = tmp_path / "output.log"
    output.touch()
    watch = Watch(output)
    with output.open("a") as log:
        process = subprocess.Popen([sys.executable, "-c", STAND_IN, str(resources), str(each), str(then)], stdout=log)
    try:
        return watch.done if reached(process, watch, at) else None
    finally:
        process.kill()
        process.wait()


def test_it_comes_after_as_many_resources(tmp_path: Path) -> None:
    assert run(tmp_path, Moment(done=2, reached=1, after=0), resources=2, each=0.1) == 2


def test_it_comes_with_the_next_resource_at_the_latest(tmp_path: Path) -> None:
    assert run(tmp_path, Moment(done=1, reached=1, after=1000), resources=2, each=0.3) == 2


@pytest.mark.parametrize("at", [Moment(done=2, reached=1, after=0), Moment(done=1, reached=1, after=1000)])
def test_it_never_comes_where_the_command_has_ended(tmp_path: Path, at: Moment) -> None:
    assert run(tmp_path, at, resources=1, each=0, then=0) is None
