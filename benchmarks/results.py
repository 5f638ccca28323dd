"""Results as data: `results.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.stats import Spread, round_ratios


@dataclass(frozen=True, kw_only=True)
class Series:
    """One quantity, measured once in each round."""

    name: str
    unit: str  # s or MiB
    values: tuple[float, ...]

    @property
    def spread(self) -> Spread:
        """Return median and extremes."""
        return Spread.from_values(self.values)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The ratio of two series of a section, and its maximum as a goal (None: no goal)."""

    what: str
    ours: str
    peer: str
    at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number that is no ratio, as text; `met` is None without a goal."""

    what: str
    value: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its own columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a plot, as pairs of size and value."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One figure, which `ONLY` can select."""

    title: str
    date: str
    machine: str
    rounds: int
    text: str  # describes the measurement
    series: tuple[Series, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    curves: tuple[Curve, ...] = ()
    profile: str = ""  # in Markdown
    notes: tuple[str, ...] = field(default=())

    def find_series(self, name: str) -> Series:
        """Return the series with this name."""
        [match] = [series for series in self.series if series.name == name]
        return match

    def ratio(self, comparison: Comparison) -> Spread:
        """Return the spread of a comparison's ratios, computed in each round."""
        return Spread.from_values(
            round_ratios(self.find_series(comparison.ours).values, self.find_series(comparison.peer).values)
        )


def read_results(path: Path) -> dict[str, Section]:
    """Read the results of earlier runs; return no sections if the file has another format."""
    try:
        content: Mapping[str, Any] = json.loads(path.read_text())
        return {key: _parse_section(value) for key, value in content.items()}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def write_results(path: Path, sections: Mapping[str, Section]) -> None:
    """Write all sections."""
    content = {key: dataclasses.asdict(section) for key, section in sections.items()}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _parse_section(value: Mapping[str, Any]) -> Section:
    own = dict(value)
    own["series"] = tuple(Series(**{**each, "values": tuple(each["values"])}) for each in value["series"])
    own["comparisons"] = tuple(Comparison(**each) for each in value["comparisons"])
    own["facts"] = tuple(Fact(**each) for each in value["facts"])
    own["tables"] = tuple(
        Table(columns=tuple(each["columns"]), rows=tuple(map(tuple, each["rows"]))) for each in value["tables"]
    )
    own["curves"] = tuple(
        Curve(name=each["name"], points=tuple((x, y) for x, y in each["points"])) for each in value["curves"]
    )
    own["notes"] = tuple(value["notes"])
    return Section(**own)
