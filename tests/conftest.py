"""What tests of several files are given: one lab for all that need one, and the surroundings of stack files."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.lab import lifecycle
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir
from hack.make import signals
from tests.helpers import options
from tests.helpers.config_fixtures import corpus_texts as corpus_texts
from tests.helpers.config_fixtures import environment as environment
from tests.helpers.config_fixtures import home as home
from tests.helpers.config_fixtures import small_environment as small_environment
from tests.helpers.mock_engine import run as run

# What a LoadBalancer Service gets in a cluster of the lab: an IP, unless these say something else.
LOAD_BALANCERS = {
    "ctx-1": LoadBalancerKind.NONE,
    "ctx-2": LoadBalancerKind.HOSTNAME,
    "kpaas-2": LoadBalancerKind.HOSTNAME,
    "kind-demo": LoadBalancerKind.NONE,
    "bastion02": LoadBalancerKind.NONE,
    "bastion03": LoadBalancerKind.NONE,
    "bastion05": LoadBalancerKind.HOSTNAME,
}

# Those that most files need: to start one takes as much of a processor as four minutes of it idling.
ALWAYS_RUNNING = {"west", "east", "north"}

# A run that is told to end takes its lab down, as one that is interrupted does.
signal.signal(signal.SIGTERM, signal.default_int_handler)
signals.restore_sigint_for_children()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the tests of faults; pytest takes options from here alone."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Settle them before workers are given them."""
    options.resolve_options(config)


def pytest_report_header(config: pytest.Config) -> str:
    """How to run the tests of faults as this run does."""
    return options.report_header(config)


@pytest.fixture(scope="session")
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDir]:
    """Where the lab of all tests of this worker is, whichever of its clusters run."""
    home = StateDir(folder=tmp_path_factory.mktemp("lab") / "home")
    try:
        yield home
    finally:
        lifecycle.stop(home, [], delete=True)


@pytest.fixture(scope="module")
def lab(lab_home: StateDir, lab_clusters: list[str]) -> StateDir:
    """The lab, with the clusters that the file needs, and few that it doesn't: each takes 4 % of a processor."""
    live = lifecycle.live_status(lab_home).get("clusters", {})
    idle = [name for name in live if name not in {*lab_clusters, *ALWAYS_RUNNING}]
    if idle:
        lifecycle.stop(lab_home, idle, delete=False)
    kinds = {name: LOAD_BALANCERS.get(name, LoadBalancerKind.IP) for name in lab_clusters}
    lifecycle.start(
        lab_home,
        lab_clusters,
        load_balancers=kinds,
        chart_folders=[],
        timeout=300,
        say=print,
        # Whoever ends a run may not leave it the time to take its lab down.
        owner=os.getpid(),
    )
    return lab_home


@pytest.fixture(scope="module")
def lab_clusters(request: pytest.FixtureRequest) -> list[str]:
    """The clusters that the file's marker names."""
    return list(request.node.get_closest_marker("lab").args)


def pytest_collection_finish() -> None:
    """What has been imported by now stays, and tests keep much: the collector need not look through it all so often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fast tests first, so that a slip is seen at once; then what takes long, so that nothing long comes last."""

    def minutes(item: pytest.Item) -> float:
        marker = item.get_closest_marker("lab")
        return -1 if marker is None else float(marker.kwargs.get("minutes", 0))

    items.sort(key=lambda item: (minutes(item) >= 0, -minutes(item)))


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short path for a lab of one test's own."""
    return tmp_path_factory.mktemp("scratch")
