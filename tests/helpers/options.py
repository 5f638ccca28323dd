"""How long tests of faults are, and by which seed: `pytest --seed --moments --clusters`."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

# What `make test` runs: the same each time.
DEFAULT_SEED = "1"
DEFAULT_MOMENTS = 1
DEFAULT_CLUSTERS = 2
_LARGEST_SEED = 1_000_000
_NAMES = ("west", "east", "north", "south")


@dataclass(frozen=True, kw_only=True)
class FaultOptions:
    """What was asked for on the command line."""

    seed: str
    moments: int
    clusters: int

    @property
    def at_length(self) -> bool:
        """Whether more is asked for than `make test` does."""
        return self.moments > DEFAULT_MOMENTS or self.clusters > DEFAULT_CLUSTERS

    def random(self, what: str) -> random.Random:
        """Chance for one purpose, by the seed: what others draw doesn't change it."""
        return random.Random(f"{self.seed}/{what}")

    @property
    def names(self) -> list[str]:
        """The clusters of the lab."""
        more = [f"cluster-{number}" for number in range(len(_NAMES) + 1, self.clusters + 1)]
        return [*_NAMES, *more][: self.clusters]


def add_options(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("faults", "tests of faults (tests/faults)")
    group.addoption("--seed", default=DEFAULT_SEED, help="what chance follows; `random` for one that is printed")
    group.addoption("--moments", type=int, default=DEFAULT_MOMENTS, help="at how many moments each fault strikes")
    group.addoption("--clusters", type=int, default=DEFAULT_CLUSTERS, help="how many clusters the mesh has; at least 2")


def resolve_options(config: pytest.Config) -> None:
    """Draw the seed, where it is left to chance. Workers are given what was drawn here."""
    if config.option.seed == "random":
        config.option.seed = str(random.SystemRandom().randrange(_LARGEST_SEED))
    if config.option.clusters < 2:
        raise pytest.UsageError(f"--clusters={config.option.clusters}: a mesh has 2 clusters or more")
    if config.option.moments < 1:
        raise pytest.UsageError(f"--moments={config.option.moments}: 1 or more")


def read_options(config: pytest.Config) -> FaultOptions:
    """What was asked for."""
    return FaultOptions(seed=config.option.seed, moments=config.option.moments, clusters=config.option.clusters)


def report_header(config: pytest.Config) -> str:
    """How to run the same once more."""
    found = read_options(config)
    return f"faults: make faults SEED={found.seed} MOMENTS={found.moments} CLUSTERS={found.clusters}"
