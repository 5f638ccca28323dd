"""Updates between random stack files, some of them killed and repeated: no request is lost at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import pytest

from hack.lab.programs import LINKERD_RELEASES
from hack.lab.state_dir import StateDir
from hack.make import environment
from mesh.kube.connection import Access
from mesh.kube.constants import MULTICLUSTER_NAMESPACE
from tests.helpers import options
from tests.helpers.edge_releases import HAS_EDGE_RELEASES, newest_edge_release
from tests.helpers.options import FaultOptions
from tests.helpers.recorded_update import record_up
from tests.helpers.slow_pods import slow_pods
from tests.helpers.stack_pairs import SAMPLES, WalkSettings, describe_step, draw_walk
from tests.helpers.stack_under_test import deploy
from tests.helpers.traffic_invariants import describe_violations

pytestmark = [pytest.mark.lab(minutes=1), pytest.mark.timeout(3600)]

STEPS = 2
EXTENDED_STEPS = 5
# In a long run, every third update is killed after some of its changes.
KILL_SHARE = 1 / 3
MAX_KILL_AFTER = 15


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Take as many steps as the options have moments, in several walks."""
    if "walk" in metafunc.fixturenames:
        walks = ceil(options.read_options(metafunc.config).moments / EXTENDED_STEPS)
        metafunc.parametrize("walk", range(1, walks + 1))


def list_releases() -> Sequence[str]:
    """Return the releases that the lab has, oldest first."""
    edge = [newest_edge_release()] if HAS_EDGE_RELEASES else []
    return [*reversed(LINKERD_RELEASES), *edge]


def test_no_update_loses_requests(lab: StateDir, faults: FaultOptions, walk: int, tmp_path: Path) -> None:
    numbers = faults.random(f"stack files {walk}")
    releases = list_releases()
    settings = WalkSettings(
        clusters=faults.cluster_names,
        releases=releases,
        environment=environment.build_environment(lab, releases[-1]),
    )
    configs = list(draw_walk(numbers, settings, 1 + (EXTENDED_STEPS if faults.is_extended else STEPS)))
    # A stack file can leave out clusters.
    clusters = [Access(context=name, kubeconfig=str(lab.kubeconfig)) for name in faults.cluster_names]
    failures: list[str] = []
    with (
        slow_pods(clusters, [*SAMPLES, MULTICLUSTER_NAMESPACE]),
        deploy(lab, tmp_path, f"walk-{walk}", configs[0]) as lab_stack,
    ):
        deployed = configs[0]
        for number, config in enumerate(configs[1:], 1):
            is_killed = faults.is_extended and numbers.random() < KILL_SHARE
            kill_after = numbers.randrange(MAX_KILL_AFTER) if is_killed else None
            update = record_up(lab_stack, config, kill_after=kill_after)
            title = f"step {number}" if kill_after is None else f"step {number}, killed after {kill_after} resources"
            step = f"{title}:\n{describe_step(deployed, config)}"
            if update.violations:
                failures.append(f"{step}\n{describe_violations(update.log, update.violations)}")
            if not update.error:
                deployed = config
                continue
            lab_stack.configure(deployed)
            if not update.is_refused or update.has_changed:
                failures.append(f"{step}\nfails:\n{update.error}")
                break
    if failures:
        # An assertion would cut the text.
        pytest.fail("requests can be lost\n\n" + "\n\n".join(failures), pytrace=False)
