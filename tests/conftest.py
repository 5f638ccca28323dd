"""What tests of several files are given: one lab for all that need one, and the surroundings of stack files."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import interrupts
from lab import lifecycle
from lab.home import Home
from lab.spec import LoadBalancer
from tests.faults import options
from tests.recording import run as run
from tests.surroundings import environment as environment
from tests.surroundings import home as home
from tests.surroundings import small as small
from tests.surroundings import texts as texts

# The clusters of the shared lab, and what a LoadBalancer Service gets there.
CLUSTERS = {
    "west": LoadBalancer.IP,
    "east": LoadBalancer.IP,
    "north": LoadBalancer.IP,
    "ctx-1": LoadBalancer.NONE,
    "ctx-2": LoadBalancer.HOSTNAME,
}

# A run that is told to end takes its lab down, as one that is interrupted does.
signal.signal(signal.SIGTERM, signal.default_int_handler)
interrupts.heed_in_children()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the tests of faults; pytest takes options from here alone."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Settle them before workers are given them."""
    options.settle(config)


def pytest_report_header(config: pytest.Config) -> str:
    """How to run the tests of faults as this run does."""
    return options.header(config)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A running lab with all CLUSTERS in it."""
    home = Home(folder=tmp_path_factory.mktemp("lab") / "home")
    try:
        lifecycle.start(home, list(CLUSTERS), load_balancers=CLUSTERS, chart_folders=[], timeout=300, say=print)
        yield home
    finally:
        lifecycle.stop(home, [], delete=True)


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
