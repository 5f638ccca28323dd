"""What was measured, as data: `results.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.stats import Spread, ratios


@dataclass(frozen=True, kw_only=True)
class Series:
    """One thing, measured once in each round."""

    name: str
    unit: str  # s or MiB
    values: tuple[float, ...]

    @property
    def spread(self) -> Spread:
        """Median and extremes."""
        return Spread.of(self.values)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One series against another of the same section, and what their ratio shall be at most (None: only shown)."""

    what: str
    ours: str
    peer: str
    at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number that is no ratio, as text; `met` is None where nothing was aimed at."""

    what: str
    value: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that need columns of their own."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a plot: sizes and values."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One figure: what `ONLY` can name."""

    title: str
    date: str
    machine: str
    rounds: int
    text: str  # what is measured, and how it is fair
    series: tuple[Series, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    curves: tuple[Curve, ...] = ()
    profile: str = ""  # Markdown: where the time goes
    notes: tuple[str, ...] = field(default=())

    def one(self, name: str) -> Series:
        """The series of a name."""
        [found] = [series for series in self.series if series.name == name]
        return found

    def ratio(self, comparison: Comparison) -> Spread:
        """The spread of a comparison's ratios, round by round."""
        return Spread.of(ratios(self.one(comparison.ours).values, self.one(comparison.peer).values))


def read(path: Path) -> dict[str, Section]:
    """What earlier runs have measured; sections of another form than today's are left out."""
    try:
        content: Mapping[str, Any] = json.loads(path.read_text())
        return {key: _section(value) for key, value in content.items()}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def write(path: Path, sections: Mapping[str, Section]) -> None:
    """Keep what was measured."""
    content = {key: dataclasses.asdict(section) for key, section in sections.items()}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _section(value: Mapping[str, Any]) -> Section:
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
