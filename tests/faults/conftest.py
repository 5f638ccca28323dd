"""The lab of the tests of faults: its own, since these kill and stop what others would need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import lifecycle
from lab.home import Home
from lab.spec import LoadBalancer
from tests.faults import options
from tests.faults.options import Faults


@pytest.fixture(scope="session")
def faults(pytestconfig: pytest.Config) -> Faults:
    """The seed, and how much is asked for."""
    return options.chosen(pytestconfig)


@pytest.fixture
def at_length(faults: Faults) -> None:
    """For a test that is left to `make faults`, because a shorter one shows the most of it."""
    if not faults.at_length:
        pytest.skip("left to `make faults`")


@pytest.fixture(scope="package")
def lab(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A running lab with as many clusters as were asked for."""
    home = Home(folder=tmp_path_factory.mktemp("faults") / "home")
    balancers = dict.fromkeys(faults.names, LoadBalancer.IP)
    try:
        lifecycle.start(home, faults.names, load_balancers=balancers, chart_folders=[], timeout=300, say=print)
        yield home
    finally:
        lifecycle.stop(home, [], delete=True)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """A failure says how to run the same once more."""
    if call.excinfo is not None:
        item.add_report_section(call.when, "seed", options.header(item.config))
