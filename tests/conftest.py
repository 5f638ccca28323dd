"""Fixtures shared by several files: one lab per worker, and the environment of stack files."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.lab import lifecycle
from hack.lab.dataplane import requirements
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir
from hack.make import signals
from tests.helpers import options
from tests.helpers.config_fixtures import corpus_texts as corpus_texts
from tests.helpers.config_fixtures import environment as environment
from tests.helpers.config_fixtures import home as home
from tests.helpers.config_fixtures import small_environment as small_environment
from tests.helpers.dataplane_programs import NAMED_FOLDERS
from tests.helpers.mock_engine import run as run

# Address kind of LoadBalancer Services per cluster; all other clusters assign an IP.
LOAD_BALANCERS = {
    "ctx-1": LoadBalancerKind.NONE,
    "ctx-2": LoadBalancerKind.HOSTNAME,
    "kpaas-2": LoadBalancerKind.HOSTNAME,
    "kind-demo": LoadBalancerKind.NONE,
    "bastion02": LoadBalancerKind.NONE,
    "bastion03": LoadBalancerKind.NONE,
    "bastion05": LoadBalancerKind.HOSTNAME,
}

# Most files use these clusters. A start costs as much CPU time as four idle minutes, so they keep running.
ALWAYS_RUNNING = {"west", "east", "north"}

# SIGTERM must stop the lab, as SIGINT does.
signal.signal(signal.SIGTERM, signal.default_int_handler)
signals.restore_sigint_for_children()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fault and traffic tests; pytest accepts options only from this file."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the options before pytest passes them to workers."""
    options.resolve_options(config)
    if not getattr(config.option, "numprocesses", None):
        # The process runs tests; all others of a parallel run are started with this one's environment.
        os.environ.pop(requirements.VARIABLE, None)


def pytest_report_header(config: pytest.Config) -> str:
    """Return the command that repeats the fault tests of this run."""
    return options.report_header(config)


@pytest.fixture(scope="session")
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDir]:
    """Yield the state folder of this worker's lab, and delete the lab at the end."""
    yield from create_lab_home(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def dataplane_lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDir]:
    """Yield the state folder of this worker's lab with a data plane, and delete the lab at the end."""
    yield from create_lab_home(tmp_path_factory.mktemp("dataplane"))


def create_lab_home(folder: Path) -> Iterator[StateDir]:
    """Yield a state folder below another one, and delete its lab at the end."""
    home = StateDir(folder=folder / "home")
    try:
        yield home
    finally:
        lifecycle.stop(home, [], delete=True)


@pytest.fixture(scope="module")
def dataplane_lab(dataplane_lab_home: StateDir, lab_clusters: list[str]) -> StateDir:
    """Return the lab with the clusters of the test file, whose pods are processes behind Linkerd's proxies."""
    return start_clusters(dataplane_lab_home, lab_clusters, requirements.check_folders(NAMED_FOLDERS))


@pytest.fixture(scope="module")
def lab(lab_home: StateDir, lab_clusters: list[str]) -> StateDir:
    """Return the lab with the clusters of the test file, whose pods are simulated.

    Other clusters are stopped, because each takes 4 % of a processor.
    """
    return start_clusters(lab_home, lab_clusters, [])


def start_clusters(lab_home: StateDir, lab_clusters: list[str], dataplane_folders: list[Path]) -> StateDir:
    """Start clusters of a lab, and stop others."""
    live = lifecycle.read_live_status(lab_home).get("clusters", {})
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
        report=print,
        # A killed run cannot stop its lab itself.
        owner=os.getpid(),
        dataplane_folders=dataplane_folders,
    )
    return lab_home


@pytest.fixture(scope="module")
def lab_clusters(request: pytest.FixtureRequest) -> list[str]:
    """Return the clusters of the file's `lab` marker."""
    return list(request.node.get_closest_marker("lab").args)


def pytest_collection_finish() -> None:
    """Run the garbage collector less often, because imported modules and cached results stay alive."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests: fast ones first, then lab files from the longest to the shortest."""

    def minutes(item: pytest.Item) -> float:
        marker = item.get_closest_marker("lab")
        return -1 if marker is None else float(marker.kwargs.get("minutes", 0))

    items.sort(key=lambda item: (minutes(item) >= 0, -minutes(item)))


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a short path, for the lab of a single test."""
    return tmp_path_factory.mktemp("scratch")
