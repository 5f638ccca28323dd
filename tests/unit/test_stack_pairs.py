"""Random stack files for updates: valid, different, repeated by their seed, and with every kind of change."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from mesh.config import parse
from tests.helpers.stack_files import Environment
from tests.helpers.stack_pairs import Config, WalkSettings, describe_step, draw_walk

RELEASES = ("2.13.5", "2.14.10", "edge-26.8.3")


def draw(environment: Environment, seed: int, length: int = 5) -> list[Config]:
    settings = WalkSettings(clusters=("west", "east", "north"), releases=RELEASES, environment=environment)
    return list(draw_walk(random.Random(seed), settings, length))


def test_walk_is_repeated_by_its_seed(environment: Environment) -> None:
    assert draw(environment, 1) == draw(environment, 1) != draw(environment, 2)


@pytest.mark.thorough
def test_walks_cover_every_change(environment: Environment) -> None:
    walks = [draw(environment, seed) for seed in range(20)]

    settings = [parse(config, environment) for walk in walks for config in walk]
    samples = [sample.config.model_dump() for each in settings for sample in each.samples]
    keys = {key for sample in samples for key, value in sample.items() if value}
    assert keys >= {"exported", "federated", "splits", "failover", "profile", "policy", "policy_clients", "versions"}
    assert {len(each.clusters) for each in settings} == {2, 3}
    assert {link.has_gateway for each in settings for link in each.links} == {True, False}
    for walk in walks:
        releases = [RELEASES.index(config["linkerd"]["version"]) for config in walk]
        assert releases == sorted(releases)
        assert all(before != after for before, after in pairwise(walk))


def test_step_is_described_by_both_files() -> None:
    step = describe_step({"clusters": {"west": {}}, "links": []}, {"clusters": {"west": {}}, "links": ["a"]})

    assert step.splitlines()[3:] == [" clusters:", "   west: {}", "-links: []", "+links:", "+- a"]
