"""How everything grows: full meshes of real API servers, engine and providers included."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import linear_regression, median

from benchmarks import leftovers, readiness, scaling, stacks
from benchmarks.contenders.pulumi_program import STATE_ONCE, Ours
from benchmarks.environment import Environment
from benchmarks.memory import Peak
from benchmarks.results import Curve, Fact, Section, Series, Table
from benchmarks.stats import Spread
from hack.lab import lifecycle
from hack.make.stack import LabStack

_PROVIDER = "pulumi-resource-kubernetes"
_GOAL = 1.1
# A hub of so many clusters, and what it is to fit in.
_FLEET, _MIB_GOAL = 250, 8 * 1024

# What Go does where nobody says otherwise.
_FRUGAL = {"GOGC": "100"}

_TEXT = """
Full meshes of N lab clusters, each with its own etcd, API server, controllers and scheduler, and a service mirror for
every link, all on this one machine: so `up` measures the clusters' work as much as ours. Each cluster exports podinfo.
A mesh is brought up until the same look as above finds it there, previewed unchanged, and destroyed until nothing is
left. Memory is that of Pulumi's processes (engine, language host, Python, one provider for each cluster) in a preview,
with `GOGC=100`, which is Go's default; the lab has its programs collect garbage less often. A dozen clusters with their
mirrors leave two processors little time for anything else, so that all takes longer then, previews included.

A state in a file or a bucket is written anew, all of it, before and after each step, and steps wait for it: that grows
with the square of the mesh. It is Pulumi's default, by which the next `up` knows what a killed one had done. `state
written once` is the same with the variables that have Pulumi write it when it ends
([docs/large-meshes.md](../docs/large-meshes.md)).
"""


@dataclass
class _Times:
    """Of one way to keep the state."""

    rounds: int
    up: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)


@dataclass
class _Size:
    clusters: int
    each_step: _Times
    once: _Times
    resources: int = 0
    preview: list[float] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)

    @property
    def links(self) -> int:
        return self.clusters * (self.clusters - 1)

    @property
    def parts(self) -> float:
        return self.clusters + self.links


def _size(runs: int, clusters: int) -> _Size:
    """What is measured: large meshes are brought up less often, since they take minutes, or half an hour."""
    half = max(1, runs // 2)
    if clusters <= 2:
        rounds = runs, runs
    elif clusters <= 4:
        rounds = half, runs
    elif clusters <= 8:
        rounds = 1, half
    else:
        rounds = 0, 1
    return _Size(clusters=clusters, each_step=_Times(rounds[0]), once=_Times(rounds[1]))


def seconds(runs: int, sizes: Sequence[int]) -> float:
    """About how long the figure takes."""
    total = 0.0
    for size in (_size(runs, clusters) for clusters in sizes):
        total += size.each_step.rounds * (30 + 0.16 * size.parts**2) + size.once.rounds * (30 + 1.6 * size.parts)
        total += runs * (6 + 0.6 * size.parts) + 5 * size.clusters
    return total


def figure(ground: Environment, runs: int, sizes: Sequence[int], date: str, machine: str) -> dict[str, Section]:
    """The section."""
    running = list(ground.home.read_status().get("clusters", {}))
    found: list[_Size] = []
    try:
        lifecycle.stop(ground.home, [], delete=False)
        for number in sorted(set(sizes)):
            found.append(_measure(ground, _size(runs, number), runs))
    finally:
        lifecycle.stop(ground.home, [], delete=False)
        ground.start(running)
    return {
        "scale-lab": Section(
            title="Scale, on the lab",
            date=date,
            machine=machine,
            rounds=runs,
            text=_TEXT,
            series=tuple(
                Series(name=f"N = {size.clusters}: {what}", unit=unit, values=tuple(values))
                for size in found
                for what, unit, values in (
                    ("up", "s", size.each_step.up),
                    ("up, state written once", "s", size.once.up),
                    ("no-op preview", "s", size.preview),
                    ("destroy", "s", size.each_step.down),
                    ("destroy, state written once", "s", size.once.down),
                    ("peak memory of a preview", "MiB", [peak.total for peak in size.peaks]),
                )
                if values
            ),
            facts=(*_growth(found), *_fleet(found)),
            tables=(_counts(found),),
            curves=tuple(
                Curve(name=name, points=points)
                for name, points in (
                    ("up (s)", _points(found, lambda size: size.each_step.up)),
                    ("up, state written once (s)", _points(found, lambda size: size.once.up)),
                    ("no-op preview (s)", _points(found, lambda size: size.preview)),
                    ("destroy, state written once (s)", _points(found, lambda size: size.once.down)),
                )
            ),
            notes=tuple(_less_often(size, runs) for size in found if size.each_step.rounds < runs),
        )
    }


def _points(sizes: Sequence[_Size], of: Callable[[_Size], Sequence[float]]) -> tuple[tuple[float, float], ...]:
    """The median for each N + links, where there is any."""
    return tuple((size.parts, median(of(size))) for size in sizes if of(size))


def _less_often(size: _Size, runs: int) -> str:
    each = f"in {size.each_step.rounds} of {runs} rounds" if size.each_step.rounds else "not at all"
    once = f"in {size.once.rounds} of {runs}" if size.once.rounds < runs else "in all"
    return (
        f"N = {size.clusters}: up and destroy with a state that is written at each step {each}, because they take "
        f"minutes and more, and with one that is written once {once}."
    )


def _measure(ground: Environment, size: _Size, runs: int) -> _Size:
    names = stacks.names(size.clusters)
    ground.start(names)
    chosen = stacks.read(ground, f"scale-{size.clusters}", stacks.mesh(names, "full-mesh"))
    wanted = stacks.wanted(chosen)
    patience = 120 + 5.0 * size.parts
    empty = leftovers.names(ground, names)
    for what, times, environment in (("", size.each_step, {}), (", state written once", size.once, STATE_ONCE)):
        ours = Ours(ground, chosen, environment=environment)
        for number in range(1, times.rounds + 1):
            which = f"N = {size.clusters}{what}, round {number} of {times.rounds}"
            began = time.perf_counter()
            ours.up()
            readiness.wait(ground, wanted, patience)
            times.up.append(time.perf_counter() - began)
            ground.say(f"{which}: {times.up[-1]:.1f} s up")
            if times is size.once and number == times.rounds:
                size.resources = ours.resources()
                _preview(ground, chosen, size, runs)
            leftovers.warm(ground, names)
            began = time.perf_counter()
            ours.down()
            leftovers.wait_until_none(ground, empty, patience)
            times.down.append(time.perf_counter() - began)
            ground.say(f"{which}: {times.down[-1]:.1f} s down")
    return size


def _preview(ground: Environment, chosen: LabStack, size: _Size, runs: int) -> None:
    timed, looked_at = Ours(ground, chosen), Ours(ground, chosen, environment=_FRUGAL)
    for number in range(1, runs + 1):
        size.preview.append(timed.preview("--expect-no-changes").seconds)
        peak = looked_at.preview(memory=True).peak
        assert peak is not None, "it was looked at"
        size.peaks.append(peak)
        ground.say(f"N = {size.clusters}, preview {number} of {runs}: {size.preview[-1]:.1f} s, {peak.total:.0f} MiB")


def _growth(sizes: Sequence[_Size]) -> list[Fact]:
    if len(sizes) < 2:
        return []
    parts = [size.parts for size in sizes]
    # Of the preview one exponent for each round; of what large meshes have fewer rounds of, one of the medians.
    previews = [scaling.exponent(parts, values) for values in zip(*(size.preview for size in sizes), strict=True)]
    spread = Spread.of(previews)
    facts = [_exponent("a preview's time", spread.median, spread.text(2), _GOAL)]
    ways: tuple[tuple[str, Callable[[_Size], Sequence[float]], float | None], ...] = (
        ("up's time", lambda size: size.each_step.up, _GOAL),
        ("up's time, state written once", lambda size: size.once.up, _GOAL),
        ("destroy's time", lambda size: size.each_step.down, None),
        ("destroy's time, state written once", lambda size: size.once.down, None),
        ("a preview's memory", lambda size: [peak.total for peak in size.peaks], None),
    )
    for what, of, goal in ways:
        points = _points(sizes, of)
        if len(points) > 1:
            found = scaling.exponent(*zip(*points, strict=True))
            facts.append(_exponent(what, found, f"{found:.2f}", goal))
    # What is fixed hides in small meshes how large ones grow.
    aimed_at = [(what, of) for what, of, goal in ways if goal is not None]
    for what, of in (("a preview's time", lambda size: size.preview), *aimed_at):
        points = _points(sizes, of)[-2:]
        if len(points) > 1:
            found = scaling.exponent(*zip(*points, strict=True))
            between = f"N = {_clusters(points[0][0])} to {_clusters(points[1][0])} alone"
            facts.append(_exponent(f"{what}, {between}", found, f"{found:.2f}", None))
    return facts


def _exponent(what: str, found: float, text: str, goal: float | None) -> Fact:
    if goal is None:
        return Fact(what=f"exponent in N + links of {what}", value=text)
    return Fact(what=f"exponent in N + links of {what}", value=text, goal=f"≤ {goal}", met=found <= goal)


def _clusters(parts: float) -> int:
    """N of a full mesh, of which N + links is the square."""
    return math.isqrt(round(parts))


def _fleet(sizes: Sequence[_Size]) -> list[Fact]:
    """What a hub of many clusters would need: one provider for each, and all else by N + links."""
    if len(sizes) < 2:
        return []
    provider = median(_per_provider(peak) for peak in sizes[-1].peaks)
    rest = [median(peak.total - peak.programs.get(_PROVIDER, 0) for peak in size.peaks) for size in sizes]
    line = linear_regression([size.parts for size in sizes], rest)
    others = line.intercept + line.slope * (_FLEET + 2 * (_FLEET - 1))
    total = provider * _FLEET + others
    return [
        Fact(what="memory of one Kubernetes provider, which every cluster needs", value=f"{provider:.0f} MiB"),
        Fact(
            what=f"hub of {_FLEET}, extrapolated: providers + all other processes",
            value=f"{provider * _FLEET / 1024:.1f} + {others / 1024:.1f} = {total / 1024:.1f} GiB",
            goal="≤ 8 GiB",
            met=total <= _MIB_GOAL,
        ),
    ]


def _per_provider(peak: Peak) -> float:
    return peak.programs.get(_PROVIDER, 0) / max(1, peak.processes.get(_PROVIDER, 1))


def _counts(sizes: Sequence[_Size]) -> Table:
    return Table(
        columns=("N", "links", "resources", "providers' processes", "MiB each"),
        rows=tuple(
            (
                str(size.clusters),
                str(size.links),
                str(size.resources),
                str(max(peak.processes.get(_PROVIDER, 0) for peak in size.peaks)),
                f"{median(_per_provider(peak) for peak in size.peaks):.0f}",
            )
            for size in sizes
        ),
    )
