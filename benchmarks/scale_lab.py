"""Benchmark of growth: full meshes of the lab's clusters, with real API servers, engine and providers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import linear_regression, median

from benchmarks import leftovers, readiness, scaling, stacks
from benchmarks.contenders.pulumi_program import STATE_ONCE, PulumiProgram
from benchmarks.environment import Environment
from benchmarks.memory import MemoryPeak
from benchmarks.results import Curve, Fact, Section, Series, Table
from benchmarks.stats import Spread
from hack.lab import lifecycle
from hack.make.stack import LabStack

_PROVIDER = "pulumi-resource-kubernetes"
_MAX_EXPONENT = 1.1
# The goal: a hub with this number of clusters needs no more than this memory.
_HUB_SIZE, _MAX_MEMORY_MIB = 250, 8 * 1024

# Go's own default; the lab sets a higher value.
_DEFAULT_GOGC = {"GOGC": "100"}

_TEXT = """
Full meshes of N lab clusters, each with its own etcd, API server, controllers and scheduler, and a service mirror for
every link. All of them run on this machine, so `up` includes the clusters' own work. Each cluster exports podinfo. A
mesh is created until the same readiness check as above succeeds, previewed unchanged, and destroyed until nothing is
left. Memory is that of Pulumi's processes (engine, language host, Python, one provider for each cluster) in a preview,
with Go's default `GOGC=100`; the lab sets a higher value. Twelve clusters with their mirrors leave two processors
little time for other work, so all times are longer then, previews included.

By default Pulumi writes the whole state to the file or bucket before and after each step, and the steps wait for it.
This time grows with the square of the mesh. In return, the next `up` can continue after a killed one. `state written
once` is the same with variables by which Pulumi writes the state only when it ends
([docs/large-meshes.md](../docs/large-meshes.md)).
"""


@dataclass
class _UpdateTimes:
    """The times of updates with one way to write the state."""

    rounds: int
    up: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)


@dataclass
class _MeshSize:
    clusters: int
    each_step: _UpdateTimes
    once: _UpdateTimes
    resources: int = 0
    preview: list[float] = field(default_factory=list)
    peaks: list[MemoryPeak] = field(default_factory=list)

    @property
    def links(self) -> int:
        return self.clusters * (self.clusters - 1)

    @property
    def parts(self) -> float:
        return self.clusters + self.links


def _plan_size(runs: int, clusters: int) -> _MeshSize:
    """Return the number of rounds for a mesh; large meshes have fewer, because each takes minutes or half an hour."""
    half = max(1, runs // 2)
    if clusters <= 2:
        rounds = runs, runs
    elif clusters <= 4:
        rounds = half, runs
    elif clusters <= 8:
        rounds = 1, half
    else:
        rounds = 0, 1
    return _MeshSize(clusters=clusters, each_step=_UpdateTimes(rounds[0]), once=_UpdateTimes(rounds[1]))


def estimate_seconds(runs: int, sizes: Sequence[int]) -> float:
    """Return the approximate duration of the benchmark, in seconds."""
    total = 0.0
    for size in (_plan_size(runs, clusters) for clusters in sizes):
        total += size.each_step.rounds * (30 + 0.16 * size.parts**2) + size.once.rounds * (30 + 1.6 * size.parts)
        total += runs * (6 + 0.6 * size.parts) + 5 * size.clusters
    return total


def measure(lab: Environment, runs: int, sizes: Sequence[int], date: str, machine: str) -> dict[str, Section]:
    """Return the section `scale-lab`."""
    running = list(lab.state_dir.read_status().get("clusters", {}))
    measured_sizes: list[_MeshSize] = []
    try:
        lifecycle.stop(lab.state_dir, [], delete=False)
        for number in sorted(set(sizes)):
            measured_sizes.append(_measure_size(lab, _plan_size(runs, number), runs))
    finally:
        lifecycle.stop(lab.state_dir, [], delete=False)
        lab.start(running)
    return {
        "scale-lab": Section(
            title="Scale, on the lab",
            date=date,
            machine=machine,
            rounds=runs,
            text=_TEXT,
            series=tuple(
                Series(name=f"N = {size.clusters}: {quantity}", unit=unit, values=tuple(values))
                for size in measured_sizes
                for quantity, unit, values in (
                    ("up", "s", size.each_step.up),
                    ("up, state written once", "s", size.once.up),
                    ("no-op preview", "s", size.preview),
                    ("destroy", "s", size.each_step.down),
                    ("destroy, state written once", "s", size.once.down),
                    ("peak memory of a preview", "MiB", [peak.total for peak in size.peaks]),
                )
                if values
            ),
            facts=(*_growth_facts(measured_sizes), *_hub_facts(measured_sizes)),
            tables=(_count_table(measured_sizes),),
            curves=tuple(
                Curve(name=name, points=points)
                for name, points in (
                    ("up (s)", _median_points(measured_sizes, lambda size: size.each_step.up)),
                    ("up, state written once (s)", _median_points(measured_sizes, lambda size: size.once.up)),
                    ("no-op preview (s)", _median_points(measured_sizes, lambda size: size.preview)),
                    ("destroy, state written once (s)", _median_points(measured_sizes, lambda size: size.once.down)),
                )
            ),
            notes=tuple(_rounds_note(size, runs) for size in measured_sizes if size.each_step.rounds < runs),
        )
    }


def _median_points(
    sizes: Sequence[_MeshSize], of: Callable[[_MeshSize], Sequence[float]]
) -> tuple[tuple[float, float], ...]:
    """Return pairs of N + links and the median, for meshes with values."""
    return tuple((size.parts, median(of(size))) for size in sizes if of(size))


def _rounds_note(size: _MeshSize, runs: int) -> str:
    each = f"in {size.each_step.rounds} of {runs} rounds" if size.each_step.rounds else "in no round"
    once = f"in {size.once.rounds} of {runs} rounds" if size.once.rounds < runs else "in all rounds"
    return (
        f"N = {size.clusters}: up and destroy ran {each} with the state written at each step, because they take "
        f"minutes or longer, and {once} with the state written once."
    )


def _measure_size(lab: Environment, size: _MeshSize, runs: int) -> _MeshSize:
    names = stacks.cluster_names(size.clusters)
    lab.start(names)
    stack = stacks.read_stack(lab, f"scale-{size.clusters}", stacks.mesh_config(names, "full-mesh"))
    expected = stacks.expected_mesh(stack)
    timeout = 120 + 5.0 * size.parts
    empty = leftovers.list_names(lab, names)
    for suffix, times, environment in (("", size.each_step, {}), (", state written once", size.once, STATE_ONCE)):
        program = PulumiProgram(lab, stack, environment=environment)
        for number in range(1, times.rounds + 1):
            which = f"N = {size.clusters}{suffix}, round {number} of {times.rounds}"
            began = time.perf_counter()
            program.up()
            readiness.wait_until_ready(lab, expected, timeout)
            times.up.append(time.perf_counter() - began)
            lab.report(f"{which}: {times.up[-1]:.1f} s up")
            if times is size.once and number == times.rounds:
                size.resources = program.count_resources()
                _measure_previews(lab, stack, size, runs)
            leftovers.warm_storage(lab, names)
            began = time.perf_counter()
            program.down()
            leftovers.wait_until_none(lab, empty, timeout)
            times.down.append(time.perf_counter() - began)
            lab.report(f"{which}: {times.down[-1]:.1f} s down")
    return size


def _measure_previews(lab: Environment, stack: LabStack, size: _MeshSize, runs: int) -> None:
    timed, sampled = PulumiProgram(lab, stack), PulumiProgram(lab, stack, environment=_DEFAULT_GOGC)
    for number in range(1, runs + 1):
        size.preview.append(timed.preview("--expect-no-changes").seconds)
        peak = sampled.preview(memory=True).peak
        assert peak is not None, "the memory was sampled"
        size.peaks.append(peak)
        lab.report(f"N = {size.clusters}, preview {number} of {runs}: {size.preview[-1]:.1f} s, {peak.total:.0f} MiB")


def _growth_facts(sizes: Sequence[_MeshSize]) -> list[Fact]:
    if len(sizes) < 2:
        return []
    parts = [size.parts for size in sizes]
    # Previews have an exponent for each round. Large meshes have fewer rounds of the other measurements, so these have
    # only one exponent, of the medians.
    previews = [scaling.fit_exponent(parts, values) for values in zip(*(size.preview for size in sizes), strict=True)]
    spread = Spread.from_values(previews)
    facts = [_exponent_fact("a preview's time", spread.median, spread.text(2), _MAX_EXPONENT)]
    measurements: tuple[tuple[str, Callable[[_MeshSize], Sequence[float]], float | None], ...] = (
        ("up's time", lambda size: size.each_step.up, _MAX_EXPONENT),
        ("up's time, state written once", lambda size: size.once.up, _MAX_EXPONENT),
        ("destroy's time", lambda size: size.each_step.down, None),
        ("destroy's time, state written once", lambda size: size.once.down, None),
        ("a preview's memory", lambda size: [peak.total for peak in size.peaks], None),
    )
    for quantity, select, goal in measurements:
        points = _median_points(sizes, select)
        if len(points) > 1:
            exponent = scaling.fit_exponent(*zip(*points, strict=True))
            facts.append(_exponent_fact(quantity, exponent, f"{exponent:.2f}", goal))
    # In small meshes the fixed costs hide the growth, so the two largest meshes are compared separately.
    with_goal = [(quantity, select) for quantity, select, goal in measurements if goal is not None]
    for quantity, select in (("a preview's time", lambda size: size.preview), *with_goal):
        points = _median_points(sizes, select)[-2:]
        if len(points) > 1:
            exponent = scaling.fit_exponent(*zip(*points, strict=True))
            between = f"N = {_cluster_count(points[0][0])} to {_cluster_count(points[1][0])} alone"
            facts.append(_exponent_fact(f"{quantity}, {between}", exponent, f"{exponent:.2f}", None))
    return facts


def _exponent_fact(quantity: str, exponent: float, text: str, goal: float | None) -> Fact:
    if goal is None:
        return Fact(what=f"exponent in N + links of {quantity}", value=text)
    return Fact(what=f"exponent in N + links of {quantity}", value=text, goal=f"≤ {goal}", met=exponent <= goal)


def _cluster_count(parts: float) -> int:
    """Return N of a full mesh, where N + links is the square of N."""
    return math.isqrt(round(parts))


def _hub_facts(sizes: Sequence[_MeshSize]) -> list[Fact]:
    """Extrapolate the memory of a large hub: providers by the links of a cluster, other processes by N + links.

    Providers count without the pages of their program. All of them share these pages, so the other processes include
    them.
    """
    if len(sizes) < 2:
        return []
    spokes = _HUB_SIZE - 1
    per_provider = [median(_anonymous_provider_memory(peak) for peak in size.peaks) for size in sizes]
    provider_line = linear_regression([size.links / size.clusters for size in sizes], per_provider)
    # In a full mesh as in a hub, the links that a cluster is the source of are half of its links.
    spoke, hub = (provider_line.intercept + provider_line.slope * links for links in (1, spokes))
    other_memory = [median(peak.total - peak.anonymous.get(_PROVIDER, 0) for peak in size.peaks) for size in sizes]
    other_line = linear_regression([size.parts for size in sizes], other_memory)
    others = other_line.intercept + other_line.slope * (_HUB_SIZE + 2 * spokes)
    providers = spoke * spokes + hub
    total = providers + others
    return [
        Fact(what="memory of the Kubernetes provider of a cluster with one link each way", value=f"{spoke:.0f} MiB"),
        Fact(
            what=f"hub of {_HUB_SIZE}, extrapolated: providers + all other processes",
            value=f"{providers / 1024:.1f} + {others / 1024:.1f} = {total / 1024:.1f} GiB",
            goal="≤ 8 GiB",
            met=total <= _MAX_MEMORY_MIB,
        ),
    ]


def _anonymous_provider_memory(peak: MemoryPeak) -> float:
    return peak.anonymous.get(_PROVIDER, 0) / max(1, peak.processes.get(_PROVIDER, 1))


def _count_table(sizes: Sequence[_MeshSize]) -> Table:
    return Table(
        columns=("N", "links", "resources", "providers' processes", "MiB each, without files"),
        rows=tuple(
            (
                str(size.clusters),
                str(size.links),
                str(size.resources),
                str(max(peak.processes.get(_PROVIDER, 0) for peak in size.peaks)),
                f"{median(_anonymous_provider_memory(peak) for peak in size.peaks):.0f}",
            )
            for size in sizes
        ),
    )
