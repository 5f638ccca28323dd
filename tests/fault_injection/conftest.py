"""How much the tests of faults do, and with how many clusters."""

from __future__ import annotations

import pytest

from tests.helpers import options
from tests.helpers.options import FaultOptions

# What differs is to be seen where its assertions fail, too.
pytest.register_assert_rewrite("tests.helpers.baseline")


@pytest.fixture(scope="session")
def faults(pytestconfig: pytest.Config) -> FaultOptions:
    """The seed, and how much is asked for."""
    return options.read_options(pytestconfig)


@pytest.fixture
def at_length(faults: FaultOptions) -> None:
    """For a test that is left to `make faults`, because a shorter one shows the most of it."""
    if not faults.at_length:
        pytest.skip("left to `make faults`")


@pytest.fixture(scope="module")
def lab_clusters(faults: FaultOptions) -> list[str]:
    """As many clusters as were asked for."""
    return faults.names


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """A failure says how to run the same once more."""
    if call.excinfo is not None:
        item.add_report_section(call.when, "seed", options.report_header(item.config))
