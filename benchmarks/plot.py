"""Plots of the results: bars for comparisons, lines for growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from benchmarks.contenders.contender import PROGRAM_NAME
from benchmarks.results import Curve, Section, Series

_BAR, _PROGRAM_BAR, _WHISKER = "#9aa7b5", "#2f6f9f", "#333333"
# Sections with bars, and the suffix of the names of the drawn series.
_BAR_SUFFIXES = {"mesh": "up", "destroy": "down", "preview": "time"}
_CURVES = ("scale-lab", "scale-mock")

# Text is not converted to paths, and the same figures produce the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "figures", "font.size": 10})


def draw(folder: Path, sections: Mapping[str, Section]) -> dict[str, list[str]]:
    """Draw every section with series or curves; return the file names by section."""
    file_names: dict[str, list[str]] = {}
    for key, section in sections.items():
        figure = None
        if key in _BAR_SUFFIXES:
            figure = _draw_bars(
                [each for each in section.series if each.name.endswith(f": {_BAR_SUFFIXES[key]}")], _BAR_SUFFIXES[key]
            )
        elif key in _CURVES and any(len(curve.points) > 1 for curve in section.curves):
            figure = _draw_lines(section.curves)
        if figure is not None:
            name = f"{key}.svg"
            figure.savefig(folder / name, metadata={"Date": None}, bbox_inches="tight")
            file_names[key] = [name]
    return file_names


def _draw_bars(series: Sequence[Series], quantity: str) -> Figure:
    figure = Figure(figsize=(8, 0.45 * len(series) + 0.9))
    axes = figure.subplots()
    labels = [each.name.rpartition(": ")[0] for each in series]
    spreads = [each.spread for each in series]
    below = [spread.median - spread.least for spread in spreads]
    above = [spread.most - spread.median for spread in spreads]
    axes.barh(
        labels,
        [spread.median for spread in spreads],
        xerr=[below, above],
        color=[_PROGRAM_BAR if label.startswith(PROGRAM_NAME) else _BAR for label in labels],
        error_kw={"ecolor": _WHISKER, "capsize": 3, "linewidth": 1},
    )
    for label, spread in zip(labels, spreads, strict=True):
        axes.annotate(
            f"{spread.median:.1f}", (spread.most, label), xytext=(6, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.set_xlabel(f"{quantity}, seconds: median, least and most")
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_lines(curves: Sequence[Curve]) -> Figure:
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    for curve in curves:
        axes.loglog(*zip(*curve.points, strict=True), marker="o", label=curve.name)
    axes.set_xlabel("N + links")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
