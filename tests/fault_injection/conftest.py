"""Fixtures of the fault tests: options, and the clusters of the lab."""

from __future__ import annotations

import pytest

from tests.helpers import options
from tests.helpers.options import FaultOptions

# pytest must also show the differing values of assertions in this helper.
pytest.register_assert_rewrite("tests.helpers.baseline")


@pytest.fixture(scope="session")
def faults(pytestconfig: pytest.Config) -> FaultOptions:
    """Return the options of the command line."""
    return options.read_options(pytestconfig)


@pytest.fixture
def at_length(faults: FaultOptions) -> None:
    """Skip the test outside of `make faults`, because a shorter test covers most of it."""
    if not faults.is_extended:
        pytest.skip("runs only with `make faults`")


@pytest.fixture(scope="module")
def lab_clusters(faults: FaultOptions) -> list[str]:
    """Return the names of as many clusters as requested."""
    return faults.cluster_names


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Add the command that repeats the run to the report of a failure."""
    if call.excinfo is not None:
        item.add_report_section(call.when, "seed", options.report_header(item.config))
