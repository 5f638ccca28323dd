"""Command-line options of the fault tests (`--seed --moments --clusters`) and the traffic tests."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

# Values of `make test`, which repeats the same faults each time.
DEFAULT_SEED = "1"
DEFAULT_MOMENTS = 1
DEFAULT_CLUSTERS = 2
DEFAULT_RESULTS = ".lab/traffic"
_LARGEST_SEED = 1_000_000
_NAMES = ("west", "east", "north", "south")


@dataclass(frozen=True, kw_only=True)
class FaultOptions:
    """Values of the options."""

    seed: str
    moments: int
    clusters: int

    @property
    def is_extended(self) -> bool:
        """Return whether the options exceed those of `make test`."""
        return self.moments > DEFAULT_MOMENTS or self.clusters > DEFAULT_CLUSTERS

    def random(self, purpose: str) -> random.Random:
        """Return random numbers for one purpose, by the seed, independent of other purposes."""
        return random.Random(f"{self.seed}/{purpose}")

    @property
    def cluster_names(self) -> list[str]:
        """Return the names of the lab's clusters."""
        additional = [f"cluster-{number}" for number in range(len(_NAMES) + 1, self.clusters + 1)]
        return [*_NAMES, *additional][: self.clusters]


def add_options(parser: pytest.Parser) -> None:
    """Add the options to pytest."""
    group = parser.getgroup("faults", "fault tests (tests/fault_injection)")
    group.addoption("--seed", default=DEFAULT_SEED, help="seed of the random numbers; `random` draws one and prints it")
    group.addoption("--moments", type=int, default=DEFAULT_MOMENTS, help="number of moments at which faults occur")
    group.addoption("--clusters", type=int, default=DEFAULT_CLUSTERS, help="number of clusters in the mesh, at least 2")
    traffic = parser.getgroup("traffic", "tests under live requests (tests/traffic)")
    traffic.addoption("--traffic-results", default=DEFAULT_RESULTS, help="folder for the reports of all changes")


def resolve_options(config: pytest.Config) -> None:
    """Draw a random seed if requested, and validate the options.

    The main process draws the seed, because all workers must use the same one.
    """
    if config.option.seed == "random":
        config.option.seed = str(random.SystemRandom().randrange(_LARGEST_SEED))
    if config.option.clusters < 2:
        raise pytest.UsageError(f"--clusters={config.option.clusters}: a mesh has at least 2 clusters; pass 2 or more")
    if config.option.moments < 1:
        raise pytest.UsageError(f"--moments={config.option.moments}: at least 1 moment is needed; pass 1 or more")


def read_options(config: pytest.Config) -> FaultOptions:
    """Return the options of the command line."""
    return FaultOptions(seed=config.option.seed, moments=config.option.moments, clusters=config.option.clusters)


def report_header(config: pytest.Config) -> str:
    """Return the command that repeats the fault tests."""
    options = read_options(config)
    return f"faults: make faults SEED={options.seed} MOMENTS={options.moments} CLUSTERS={options.clusters}"
