"""What was measured, as Markdown: `results.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.results import Comparison, Fact, Section, Series

_HEAD = """# Figures

Made by `make bench`, which writes this file; [README.md](README.md) says how to run it, what is measured, and how it
is fair. Values are the median of all rounds, with the least and the most. A ratio is taken within each round, where
what it compares ran one after the other; it is the median of these, with the least and the most. A goal is met if the
median is.
"""


def markdown(sections: Mapping[str, Section], plots: Mapping[str, Sequence[str]]) -> str:
    """The whole file.

    Args:
        sections: what was measured, by key.
        plots: the file names of each section's plots.
    """
    parts = [_HEAD, _summary(sections)]
    for key, section in sections.items():
        rounds = "1 round" if section.rounds == 1 else f"{section.rounds} rounds"
        parts += [
            f"## {section.title}\n",
            f"{section.date}, {section.machine}; {rounds}.\n",
            f"{section.text.strip()}\n",
            *(f"![{section.title}]({plot})\n" for plot in plots.get(key, ())),
            *_tables(section),
            *(f"- {note}" for note in section.notes),
            *([""] if section.notes else []),
            *([f"### Where the time goes\n\n{section.profile.strip()}\n"] if section.profile else []),
        ]
    return "\n".join(parts).rstrip() + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; what is no name stands to the right."""
    lines = [
        _row(columns),
        _row(["---", *("---:" for _ in columns[1:])]),
        *(_row([cell.replace("|", "\\|") for cell in row]) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def compared(section: Section, comparison: Comparison) -> tuple[str, str, str, str]:
    """What is compared, the ratio, the goal, and whether it is met."""
    ratio = section.ratio(comparison)
    goal = "" if comparison.at_most is None else f"≤ {comparison.at_most:g}"
    met = None if comparison.at_most is None else ratio.median <= comparison.at_most
    return comparison.what, ratio.text(2), goal, _verdict(met)


def _summary(sections: Mapping[str, Section]) -> str:
    rows = []
    for section in sections.values():
        aimed = [each for each in section.comparisons if each.at_most is not None]
        rows += [(section.title, *compared(section, each)) for each in aimed]
        rows += [(section.title, *_fact(each)) for each in section.facts if each.met is not None]
    if not rows:
        return ""
    tried = "[What was tried](README.md#what-was-tried-where-a-goal-is-missed) where a goal is missed.\n"
    return f"## Goals\n\n{table(['figure', 'what', 'value or ratio', 'goal', ''], rows)}\n{tried}"


def _tables(section: Section) -> Iterable[str]:
    if section.series:
        yield table(["measured", "median (least–most)"], [(each.name, _value(each)) for each in section.series])
    if section.comparisons:
        yield table(["ratio", "median (least–most)", "goal", ""], [compared(section, c) for c in section.comparisons])
    if section.facts:
        yield table(["", "value", "goal", ""], [_fact(fact) for fact in section.facts])
    for each in section.tables:
        yield table(each.columns, each.rows)


def _value(series: Series) -> str:
    return f"{series.spread.text(1 if series.unit == 'MiB' or series.spread.median >= 10 else 2)} {series.unit}"


def _fact(fact: Fact) -> tuple[str, str, str, str]:
    return fact.what, fact.value, fact.goal, _verdict(fact.met)


def _verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "**missed**"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
