"""Benchmark of a preview without changes: this program against an empty one, and the cost of unused features."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any

from benchmarks import imports, stacks
from benchmarks.contenders.contender import PROGRAM_NAME
from benchmarks.contenders.pulumi_program import PulumiProgram
from benchmarks.empty_program import EmptyProgram
from benchmarks.environment import Environment
from benchmarks.imports import ImportProfile
from benchmarks.memory import MemoryPeak
from benchmarks.report import render_table
from benchmarks.results import Comparison, Section, Series, Table
from benchmarks.stats import Spread
from benchmarks.timeline import PROGRAM, Timeline

# Approximate duration of one round on two cores.
SECONDS_PER_ROUND = 18

_EMPTY = "empty program"
_NO_PREFLIGHT = f"{PROGRAM_NAME}, preflight off"
_DEV = "`Pulumi.dev.yaml`"

_TEXT = """
`pulumi preview` of a running, unchanged mesh, against `pulumi preview` of a program that creates two Kubernetes
providers and nothing else (`benchmarks/empty`). Engine, providers and clusters are the same. The mesh is that of
`Pulumi.dev.yaml`; `preflight off` is the same stack without the preflight. Memory is the peak of all processes together
(engine, language host, Python, every provider; shared pages count once). It is measured in separate rounds, because
sampling takes time.

The last table contains the imports of the program for three stacks, from the smallest to nearly all features, by
`python -X importtime`, which slows the imports down. The difference is the time that a smaller stack saves.
"""


def measure(lab: Environment, rounds: int, date: str, machine: str) -> dict[str, Section]:
    """Return the section `preview`."""
    config = stacks.dev_config()
    program_with_preflight = PulumiProgram(lab, stacks.read_stack(lab, "preview", config))
    # The same stack can be previewed without the preflight, because the preflight leaves nothing in the state.
    without_preflight = PulumiProgram(
        lab, stacks.read_stack(lab, "preview", {**config, "preflight": False}, file="preview-without-preflight")
    )
    empty = EmptyProgram(lab)
    programs: dict[str, PulumiProgram | EmptyProgram] = {
        PROGRAM_NAME: program_with_preflight,
        _EMPTY: empty,
        _NO_PREFLIGHT: without_preflight,
    }
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, list[MemoryPeak]] = defaultdict(list)
    timeline = Timeline(lab.work / "preview.events")
    try:
        program_with_preflight.up()
        empty.up()
        for number in range(1, rounds + 1):
            for name, program in programs.items():
                seconds[name].append(program.preview("--expect-no-changes").seconds)
            seconds_text = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items())
            lab.report(f"round {number} of {rounds}: {seconds_text}")
        for number in range(1, rounds + 1):
            lab.report(f"round {number} of {rounds}, memory")
            for name, program in programs.items():
                peak = program.preview(memory=True).peak
                assert peak is not None, "the memory was sampled"
                peaks[name].append(peak)
        timeline.begin()
        program_with_preflight.preview(*timeline.options, meanwhile=timeline.read_events)
        timeline.read_events()
    finally:
        program_with_preflight.down()
        empty.down()
    series = [Series(name=f"{name}: time", unit="s", values=tuple(values)) for name, values in seconds.items()]
    series += [
        Series(name=f"{name}: peak memory", unit="MiB", values=tuple(peak.total for peak in values))
        for name, values in peaks.items()
    ]
    lab.report("imports")
    imported = {
        name: [imports.measure_imports(lab.runner, lab.work, stack_config) for _ in range(rounds)]
        for name, stack_config in _import_configs(config).items()
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
                _compare("time", _EMPTY, 1.5),
                _compare("time", _NO_PREFLIGHT),
                _compare("peak memory", _EMPTY),
            ),
            tables=(_memory_table(peaks), _import_table(imported)),
            profile=f"{timeline.markdown('preview', before=PROGRAM)}\n{_package_table(imported)}",
        )
    }


def _import_configs(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return stacks from the smallest to nearly all features, with API servers that do not exist."""
    clusters = {
        name: {**(cluster or {}), "apiServer": f"https://{name}.example.com"}
        for name, cluster in config["clusters"].items()
    }
    dev = {**config, "clusters": clusters}
    return {
        "two clusters without links or workloads": stacks.drop_keys(dev, "links", "workloads"),
        _DEV: dev,
        "and viz, jaeger, smi, and three more samples": {
            **dev,
            "extensions": {"viz": list(clusters), "jaeger": list(clusters), "smi": list(clusters)},
            "workloads": [*dev["workloads"], *({sample: {}} for sample in ("emojivoto", "booksapp", "helloworld"))],
        },
    }


def _compare(quantity: str, peer: str, at_most: float | None = None) -> Comparison:
    return Comparison(
        what=f"{quantity}, {PROGRAM_NAME} : {peer}",
        ours=f"{PROGRAM_NAME}: {quantity}",
        peer=f"{peer}: {quantity}",
        at_most=at_most,
    )


def _memory_table(peaks: dict[str, list[MemoryPeak]]) -> Table:
    names = sorted({name for values in peaks.values() for peak in values for name in peak.programs})
    return Table(
        columns=("MiB at the peak, by program", *peaks),
        rows=tuple(
            (name, *(_format_memory(name, values) for values in peaks.values()))
            for name in names
            if any(peak.programs.get(name, 0) >= 1 for values in peaks.values() for peak in values)
        ),
    )


def _format_memory(name: str, peaks: list[MemoryPeak]) -> str:
    size = median(peak.programs.get(name, 0) for peak in peaks)
    number = median(peak.processes.get(name, 0) for peak in peaks)
    return f"{size:.0f} ({number:.0f} processes)" if number > 1 else f"{size:.0f}"


def _import_table(imported: dict[str, list[ImportProfile]]) -> Table:
    return Table(
        columns=("stack", "imports, s", "modules", "of them the program's own"),
        rows=tuple(
            (
                name,
                Spread.from_values([each.seconds for each in runs]).text(2),
                str(runs[0].modules),
                str(len(runs[0].own)),
            )
            for name, runs in imported.items()
        ),
    )


def _package_table(imported: dict[str, list[ImportProfile]]) -> str:
    first_run = imported[_DEV][0]
    rows = [(name, f"{seconds:.3f}") for name, seconds in list(first_run.packages.items())[:10]]
    return f"Its imports by package, in one run:\n\n{render_table(['package', 's'], rows)}"
