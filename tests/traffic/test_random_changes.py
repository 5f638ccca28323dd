"""Updates between random stack files under live requests (`--seed`, `--moments`): none is lost."""

from __future__ import annotations

from math import ceil

import pytest

from hack.make import environment
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers import options
from tests.helpers.changes_under_load import stable_clients
from tests.helpers.dataplane_programs import REQUIRES_DATAPLANE
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES
from tests.helpers.stack_pairs import WalkSettings, describe_step, draw_walk
from tests.helpers.stack_under_test import REFUSAL
from tests.helpers.traffic import MeshUnderLoad

pytestmark = [
    pytest.mark.lab("west", "east", "north", minutes=3),
    pytest.mark.timeout(3600),
    REQUIRES_DATAPLANE,
    REQUIRES_EDGE_RELEASES,
]

_STEPS = 5
# Not every change has a service that answers before and after it.
_MAX_CONFIGS = 100


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Take as many steps as the options have moments, in several walks."""
    walks = ceil(options.read_options(metafunc.config).moments / _STEPS)
    metafunc.parametrize("walk", range(1, walks + 1))


def test_no_update_loses_requests(mesh: MeshUnderLoad, pytestconfig: pytest.Config, walk: int) -> None:
    faults = options.read_options(pytestconfig)
    variables = environment.build_environment(mesh.stack.lab, mesh.release)
    settings = WalkSettings(clusters=("west", "east", "north"), releases=[mesh.release], environment=variables)
    configs = draw_walk(faults.random(f"stack files {walk}"), settings, _MAX_CONFIGS)
    former, failures, steps = next(configs), [], 0
    for config in configs:
        before, former = former, config
        clients = stable_clients(before, config)
        if not clients:
            continue
        steps += 1
        mesh.apply(before)
        mesh.configure(config)
        length = len(mesh.stack.output.read_text())
        try:
            mesh.disturb(f"random change {walk}.{steps}, seed {faults.seed}", mesh.stack.up, clients)
        except AssertionError as error:
            failures.append(f"{error}\n{describe_step(before, config)}")
        except PulumiCommandError as error:
            mesh.configure(before)
            former = before
            if REFUSAL not in mesh.stack.output.read_text()[length:]:
                failures.append(f"{error}\n{describe_step(before, config)}")
                break
        if steps == _STEPS:
            break
    assert not failures, "\n\n".join(failures)
    assert steps == _STEPS, f"{_MAX_CONFIGS} stack files had {steps} changes that a client can notice"
