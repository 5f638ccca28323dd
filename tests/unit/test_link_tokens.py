"""Generations of the tokens by which sources read a target, in both generations of Linkerd."""

from __future__ import annotations

from typing import Any

import pytest

from components.linkerd.link_credentials import token_name
from tests.helpers.lab_stacks import full_mesh
from tests.helpers.mock_engine import Run

PREFIX = "linkerd-service-mirror-remote-access-"


def names(run: Run, version: str, **said: Any) -> dict[str, str]:
    """The names of the tokens' Secrets, by their resources, as a stack file has them."""
    config = full_mesh(west={}, east={"linkerd": said.pop("east", {})})
    found = run({**config, "linkerd": {"version": version, **said}}).of(":Secret")
    tokens = {name: inputs["metadata"]["name"] for name, inputs in found.items() if name.endswith("-token")}
    assert len(tokens) == 2
    return tokens


@pytest.mark.parametrize("version", ["2.14.10", "2.18"])
def test_a_token_is_called_by_its_source_and_its_targets_generation(run: Run, version: str) -> None:
    to_east, to_west = "link-west-to-east-token", "link-east-to-west-token"

    assert names(run, version) == {to_east: f"{PREFIX}west", to_west: f"{PREFIX}east"}
    assert names(run, version, linkTokens="2") == {to_east: f"{PREFIX}west.2", to_west: f"{PREFIX}east.2"}
    only = names(run, version, linkTokens="2", east={"linkTokens": "3"})
    assert only == {to_east: f"{PREFIX}west.3", to_west: f"{PREFIX}east.2"}


def test_a_generation_is_never_taken_for_a_part_of_a_clusters_name() -> None:
    assert token_name("west", "2") != token_name("west-2", None)
