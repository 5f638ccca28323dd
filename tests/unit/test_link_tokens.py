"""Names of link tokens by token generation, up to Linkerd 2.17 and from 2.18."""

from __future__ import annotations

from typing import Any

import pytest

from components.linkerd.link_credentials import token_name
from tests.helpers.mock_engine import RunProgram
from tests.helpers.stack_configs import full_mesh_config

TOKEN_PREFIX = "linkerd-service-mirror-remote-access-"


def token_names(run: RunProgram, version: str, **linkerd: Any) -> dict[str, str]:
    """Return the names of the token Secrets by resource name."""
    config = full_mesh_config(west={}, east={"linkerd": linkerd.pop("east", {})})
    secrets = run({**config, "linkerd": {"version": version, **linkerd}}).inputs_of(":Secret")
    tokens = {name: inputs["metadata"]["name"] for name, inputs in secrets.items() if name.endswith("-token")}
    assert len(tokens) == 2
    return tokens


@pytest.mark.parametrize("version", ["2.14.10", "2.18"])
def test_token_name_contains_source_and_generation_of_target(run: RunProgram, version: str) -> None:
    to_east, to_west = "link-west-to-east-token", "link-east-to-west-token"

    assert token_names(run, version) == {to_east: f"{TOKEN_PREFIX}west", to_west: f"{TOKEN_PREFIX}east"}
    assert token_names(run, version, linkTokens="2") == {
        to_east: f"{TOKEN_PREFIX}west.2",
        to_west: f"{TOKEN_PREFIX}east.2",
    }
    single_target = token_names(run, version, linkTokens="2", east={"linkTokens": "3"})
    assert single_target == {to_east: f"{TOKEN_PREFIX}west.3", to_west: f"{TOKEN_PREFIX}east.2"}


def test_token_generation_differs_from_cluster_name_suffix() -> None:
    assert token_name("west", "2") != token_name("west-2", None)
