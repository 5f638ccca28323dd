"""Report of the results in Markdown: `results.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.results import Comparison, Fact, Section, Series

_HEAD = """# Figures

`make bench` generates this file. [README.md](README.md) describes how to run it, what is measured, and why the
comparison is fair. Values are the median of all rounds, with minimum and maximum. A ratio is computed within each
round, whose measurements ran one after the other. The tables show the median of these ratios, with minimum and maximum.
A goal is met if the median meets it.
"""


def render_markdown(sections: Mapping[str, Section], plots: Mapping[str, Sequence[str]]) -> str:
    """Return the whole report.

    Args:
        sections: the sections by key.
        plots: the file names of each section's plots.
    """
    parts = [_HEAD, _render_goals(sections)]
    for key, section in sections.items():
        rounds = "1 round" if section.rounds == 1 else f"{section.rounds} rounds"
        parts += [
            f"## {section.title}\n",
            f"{section.date}, {section.machine}; {rounds}.\n",
            f"{section.text.strip()}\n",
            *(f"![{section.title}]({plot})\n" for plot in plots.get(key, ())),
            *_render_tables(section),
            *(f"- {note}" for note in section.notes),
            *([""] if section.notes else []),
            *([f"### Profile\n\n{section.profile.strip()}\n"] if section.profile else []),
        ]
    return "\n".join(parts).rstrip() + "\n"


def render_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    lines = [
        _render_row(columns),
        _render_row(["---", *("---:" for _ in columns[1:])]),
        *(_render_row([cell.replace("|", "\\|") for cell in row]) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def comparison_row(section: Section, comparison: Comparison) -> tuple[str, str, str, str]:
    """Return the name, the ratio, the goal and the verdict of a comparison."""
    ratio = section.ratio(comparison)
    goal = "" if comparison.at_most is None else f"≤ {comparison.at_most:g}"
    met = None if comparison.at_most is None else ratio.median <= comparison.at_most
    return comparison.what, ratio.text(2), goal, _format_verdict(met)


def _render_goals(sections: Mapping[str, Section]) -> str:
    rows = []
    for section in sections.values():
        goals = [each for each in section.comparisons if each.at_most is not None]
        rows += [(section.title, *comparison_row(section, each)) for each in goals]
        rows += [(section.title, *_fact_row(each)) for each in section.facts if each.met is not None]
    if not rows:
        return ""
    footnote = "[What was tried](README.md#attempts-where-a-goal-is-missed) where a goal is missed.\n"
    return f"## Goals\n\n{render_table(['figure', 'what', 'value or ratio', 'goal', ''], rows)}\n{footnote}"


def _render_tables(section: Section) -> Iterable[str]:
    if section.series:
        yield render_table(
            ["measured", "median (least–most)"], [(each.name, _format_value(each)) for each in section.series]
        )
    if section.comparisons:
        yield render_table(
            ["ratio", "median (least–most)", "goal", ""], [comparison_row(section, c) for c in section.comparisons]
        )
    if section.facts:
        yield render_table(["", "value", "goal", ""], [_fact_row(fact) for fact in section.facts])
    for each in section.tables:
        yield render_table(each.columns, each.rows)


def _format_value(series: Series) -> str:
    return f"{series.spread.text(1 if series.unit == 'MiB' or series.spread.median >= 10 else 2)} {series.unit}"


def _fact_row(fact: Fact) -> tuple[str, str, str, str]:
    return fact.what, fact.value, fact.goal, _format_verdict(fact.met)


def _format_verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "**missed**"


def _render_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
