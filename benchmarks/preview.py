"""A preview that changes nothing: ours against an empty program, and what a stack pays for what it doesn't use."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any

from benchmarks import imports, stacks
from benchmarks.contenders.pulumi_program import Ours
from benchmarks.empty_program import Empty
from benchmarks.environment import Environment
from benchmarks.imports import Imported
from benchmarks.memory import Peak
from benchmarks.report import table
from benchmarks.results import Comparison, Section, Series, Table
from benchmarks.stats import Spread
from benchmarks.timeline import PROGRAM, Timeline

# About how long one round takes on two cores.
SECONDS = 18

_EMPTY = "empty program"
_OURS = "ours"
_UNASKED = "ours, preflight off"
_DEV = "`Pulumi.dev.yaml`"

_TEXT = """
`pulumi preview` of a mesh that is up and unchanged, against the same of a program that makes two Kubernetes providers
and nothing else (`benchmarks/empty`), with the same engine, providers and clusters. The mesh is that of
`Pulumi.dev.yaml`; `preflight off` is the same without the questions that the program asks the clusters before every
update. Memory is that of all processes at one moment (engine, language host, Python, every provider; what several
share is counted once). It is measured in rounds of its own, because looking takes time.

The last table has what the program imports for three stacks, from the least to nearly everything, by `python -X
importtime`, which itself slows imports down: the difference is what a stack is spared that uses less.
"""


def figure(ground: Environment, rounds: int, date: str, machine: str) -> dict[str, Section]:
    """The section."""
    config = stacks.two_way()
    ours = Ours(ground, stacks.read(ground, "preview", config))
    # Of the same stack: what is asked of clusters is in no state.
    unasked = Ours(ground, stacks.read(ground, "preview", {**config, "preflight": False}, file="preview-unasked"))
    empty = Empty(ground)
    programs: dict[str, Ours | Empty] = {_OURS: ours, _EMPTY: empty, _UNASKED: unasked}
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, list[Peak]] = defaultdict(list)
    timeline = Timeline(ground.work / "preview.events")
    try:
        ours.up()
        empty.up()
        for number in range(1, rounds + 1):
            for name, program in programs.items():
                seconds[name].append(program.preview("--expect-no-changes").seconds)
            shown = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items())
            ground.say(f"round {number} of {rounds}: {shown}")
        for number in range(1, rounds + 1):
            ground.say(f"round {number} of {rounds}, memory")
            for name, program in programs.items():
                peak = program.preview(memory=True).peak
                assert peak is not None, "it was looked at"
                peaks[name].append(peak)
        timeline.begin()
        ours.preview(*timeline.options, meanwhile=timeline.look)
        timeline.look()
    finally:
        ours.down()
        empty.down()
    series = [Series(name=f"{name}: time", unit="s", values=tuple(values)) for name, values in seconds.items()]
    series += [
        Series(name=f"{name}: peak memory", unit="MiB", values=tuple(peak.total for peak in found))
        for name, found in peaks.items()
    ]
    ground.say("imports")
    imported = {
        name: [imports.of(ground.runner, ground.work, found) for _ in range(rounds)]
        for name, found in _stacks(config).items()
    }
    return {
        "preview": Section(
            title="No-op preview",
            date=date,
            machine=machine,
            rounds=rounds,
            text=_TEXT,
            series=tuple(series),
            comparisons=(
                _against("time", _EMPTY, 1.5),
                _against("time", _UNASKED),
                _against("peak memory", _EMPTY),
            ),
            tables=(_memory(peaks), _imports(imported)),
            profile=f"{timeline.markdown('preview', before=PROGRAM)}\n{_packages(imported)}",
        )
    }


def _stacks(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """From the least to nearly everything, for API servers that are none."""
    clusters = {
        name: {**(said or {}), "apiServer": f"https://{name}.example.com"} for name, said in config["clusters"].items()
    }
    dev = {**config, "clusters": clusters}
    return {
        "two clusters without links or workloads": stacks.without(dev, "links", "workloads"),
        _DEV: dev,
        "and viz, jaeger, smi, and three more samples": {
            **dev,
            "extensions": {"viz": list(clusters), "jaeger": list(clusters), "smi": list(clusters)},
            "workloads": [*dev["workloads"], *({sample: {}} for sample in ("emojivoto", "booksapp", "helloworld"))],
        },
    }


def _against(what: str, peer: str, at_most: float | None = None) -> Comparison:
    return Comparison(what=f"{what}, ours : {peer}", ours=f"{_OURS}: {what}", peer=f"{peer}: {what}", at_most=at_most)


def _memory(peaks: dict[str, list[Peak]]) -> Table:
    names = sorted({name for found in peaks.values() for peak in found for name in peak.programs})
    return Table(
        columns=("MiB at the peak, by program", *peaks),
        rows=tuple(
            (name, *(_part(name, found) for found in peaks.values()))
            for name in names
            if any(peak.programs.get(name, 0) >= 1 for found in peaks.values() for peak in found)
        ),
    )


def _part(name: str, found: list[Peak]) -> str:
    size = median(peak.programs.get(name, 0) for peak in found)
    number = median(peak.processes.get(name, 0) for peak in found)
    return f"{size:.0f} ({number:.0f} processes)" if number > 1 else f"{size:.0f}"


def _imports(imported: dict[str, list[Imported]]) -> Table:
    return Table(
        columns=("stack", "imports, s", "modules", "of them the program's own"),
        rows=tuple(
            (name, Spread.of([each.seconds for each in found]).text(2), str(found[0].modules), str(len(found[0].own)))
            for name, found in imported.items()
        ),
    )


def _packages(imported: dict[str, list[Imported]]) -> str:
    found = imported[_DEV][0]
    rows = [(name, f"{seconds:.3f}") for name, seconds in list(found.packages.items())[:10]]
    return f"Its imports by package, in one run:\n\n{table(['package', 's'], rows)}"
