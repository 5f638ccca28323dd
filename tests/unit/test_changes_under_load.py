"""Stack files of the tests under live requests, which run only on request."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mesh.config import parse
from tests.helpers.changes_under_load import (
    Change,
    TrafficClient,
    link_changes,
    refused_changes,
    sample_changes,
    stable_clients,
    three_cluster_changes,
)
from tests.helpers.stack_files import Environment

CHANGES = [*sample_changes(), *link_changes(), *refused_changes(), *three_cluster_changes()]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_stack_files_of_change_are_valid(change: Change, environment: Environment) -> None:
    for config in (change.before, change.after):
        parse({"linkerd": {"version": "edge-26.8.3"}, **config}, environment, ())


def test_names_of_changes_are_unique() -> None:
    names = [change.name for change in CHANGES]

    assert len(set(names)) == len(names)


def test_most_changes_begin_where_the_last_one_ends() -> None:
    additional = [after.name for before, after in pairwise(CHANGES) if before.after != after.before]

    assert len(additional) <= len(CHANGES) / 4, additional


def test_client_of_mirror_is_named_after_it() -> None:
    assert TrafficClient.of_helloworld("west", "helloworld-east").name == "west → helloworld-east"


def test_clients_are_those_that_both_stack_files_serve() -> None:
    before = {"clusters": {"west": {}, "east": {}}, "workloads": [{"helloworld": {"namespace": "hello"}}]}
    after = {**before, "workloads": [{"helloworld": {"namespace": "hello", "clusters": ["west"]}}, {"podinfo": {}}]}

    assert stable_clients(before, after) == [TrafficClient.of_helloworld("west")]
