"""Moments of an update at which a fault is injected, and the count of completed resources."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.helpers.update_progress import Moment, OutputWatch, UpdateProgress, record_progress

# Three resources after 1, 2 and 8 seconds; the run ends after 10 seconds.
RUN = UpdateProgress(times=(1.0, 2.0, 8.0, 10.0))


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0.0, Moment(resource_count=0, reached_s=0.0, delay_s=0.0)),
        (0.05, Moment(resource_count=0, reached_s=0.0, delay_s=0.5)),
        (0.1, Moment(resource_count=1, reached_s=1.0, delay_s=0.0)),
        (0.5, Moment(resource_count=2, reached_s=2.0, delay_s=3.0)),
        (0.9, Moment(resource_count=3, reached_s=8.0, delay_s=1.0)),
    ],
)
def test_moment_has_completed_resources_and_delay(fraction: float, expected: Moment) -> None:
    assert RUN.moment_at(fraction) == expected


def test_only_newly_completed_resources_are_counted(tmp_path: Path) -> None:
    output = tmp_path / "output.log"
    output.write_text(" +  kubernetes:core/v1:Namespace west-test created (0.1s) \n")
    watch = OutputWatch(output)
    with output.open("a") as log:
        log.write(" +  kubernetes:core/v1:Secret west-issuer creating (0s) \n")
        log.write(" +  kubernetes:core/v1:Secret west-issuer created (0.1s) \n")
        log.write(" -  kubernetes:helm.sh/v3:Release west-linkerd deleted (2s) \n")

    assert watch.resource_count == 2


def test_progress_of_a_run_is_recorded(tmp_path: Path) -> None:
    output = tmp_path / "output.log"
    with record_progress(output) as progress, output.open("a") as log:
        log.write(" +  kubernetes:core/v1:Secret west-issuer created (0.1s) \n")
        log.flush()
        time.sleep(0.3)

    (first, end) = progress[0].times
    assert 0 < first < end
