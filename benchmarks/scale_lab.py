"""How everything grows: full meshes of real API servers, engine and providers included."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import linear_regression, median

from benchmarks import fit, ready, remains, stacks
from benchmarks.ground import Ground
from benchmarks.memory import Peak
from benchmarks.results import Curve, Fact, Section, Series, Table
from benchmarks.spread import Spread
from benchmarks.ways.ours import Ours
from lab import lifecycle

_PROVIDER = "pulumi-resource-kubernetes"
_GOAL = 1.1
# A hub of so many clusters, and what it is to fit in.
_FLEET, _MIB_GOAL = 250, 8 * 1024

_TEXT = """
Full meshes of N lab clusters, each with its own etcd, API server, controllers and scheduler, and a service mirror for
every link, all on this one machine: so `up` measures the clusters' work as much as ours. Each cluster exports podinfo.
A mesh is brought up until the same look as above finds it there, previewed unchanged, and destroyed until nothing is
left. Memory is that of Pulumi's processes (engine, language host, Python, one provider for each cluster) in a preview,
with `GOGC=400`, as the lab sets it.
"""


@dataclass
class _Size:
    clusters: int
    rounds: int
    resources: int = 0
    up: list[float] = field(default_factory=list)
    preview: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)

    @property
    def links(self) -> int:
        return self.clusters * (self.clusters - 1)

    @property
    def parts(self) -> float:
        return self.clusters + self.links


def rounds_of(runs: int, clusters: int) -> int:
    """How often a mesh is brought up: large ones less often, since they take minutes."""
    return runs if clusters <= 4 else max(1, runs // 2) if clusters <= 8 else 1


def seconds(runs: int, sizes: Sequence[int]) -> float:
    """About how long the figure takes."""
    return sum(rounds_of(runs, n) * (25 + 1.5 * n * n) + runs * (6 + 2 * n) + 5 * n for n in sizes)


def figure(ground: Ground, runs: int, sizes: Sequence[int], date: str, machine: str) -> dict[str, Section]:
    """The section."""
    running = list(ground.home.read_status().get("clusters", {}))
    found: list[_Size] = []
    try:
        lifecycle.stop(ground.home, [], delete=False)
        for number in sorted(set(sizes)):
            found.append(_measure(ground, _Size(clusters=number, rounds=rounds_of(runs, number)), runs))
    finally:
        lifecycle.stop(ground.home, [], delete=False)
        ground.start(running)
    shown = [size for size in found if size.up]
    return {
        "scale-lab": Section(
            title="Scale, on the lab",
            date=date,
            machine=machine,
            rounds=runs,
            text=_TEXT,
            series=tuple(
                Series(name=f"N = {size.clusters}: {what}", unit=unit, values=tuple(values))
                for size in shown
                for what, unit, values in (
                    ("up", "s", size.up),
                    ("no-op preview", "s", size.preview),
                    ("destroy", "s", size.down),
                    ("peak memory of a preview", "MiB", [peak.total for peak in size.peaks]),
                )
            ),
            facts=(*_growth(shown), *_fleet(shown)),
            tables=(_counts(shown),),
            curves=(
                Curve(name="up (s)", points=tuple((size.parts, median(size.up)) for size in shown)),
                Curve(name="no-op preview (s)", points=tuple((size.parts, median(size.preview)) for size in shown)),
                Curve(name="destroy (s)", points=tuple((size.parts, median(size.down)) for size in shown)),
            ),
            notes=tuple(
                f"N = {size.clusters}: up and destroy in {size.rounds} of {runs} rounds, because they take minutes."
                for size in shown
                if size.rounds < runs
            ),
        )
    }


def _measure(ground: Ground, size: _Size, runs: int) -> _Size:
    names = stacks.names(size.clusters)
    ground.start(names)
    chosen = stacks.read(ground, f"scale-{size.clusters}", stacks.mesh(names, "full-mesh"))
    wanted = stacks.wanted(chosen)
    ours = Ours(ground, chosen)
    patience = 120 + 5.0 * size.parts
    empty = remains.names(ground, names)
    for number in range(1, size.rounds + 1):
        began = time.perf_counter()
        ours.up()
        ready.wait(ground, wanted, patience)
        size.up.append(time.perf_counter() - began)
        ground.say(f"N = {size.clusters}, round {number} of {size.rounds}: {size.up[-1]:.1f} s up")
        if number == size.rounds:
            size.resources = ours.resources()
            for each in range(1, runs + 1):
                size.preview.append(ours.preview("--expect-no-changes").seconds)
                peak = ours.preview(memory=True).peak
                assert peak is not None, "it was looked at"
                size.peaks.append(peak)
                ground.say(
                    f"N = {size.clusters}, preview {each} of {runs}: {size.preview[-1]:.1f} s, {peak.total:.0f} MiB"
                )
        began = time.perf_counter()
        ours.down()
        remains.wait_until_none(ground, empty, patience)
        size.down.append(time.perf_counter() - began)
        ground.say(f"N = {size.clusters}, round {number} of {size.rounds}: {size.down[-1]:.1f} s down")
    return size


def _growth(sizes: Sequence[_Size]) -> list[Fact]:
    if len(sizes) < 2:
        return []
    parts = [size.parts for size in sizes]
    facts = []
    # Of the preview one exponent for each round; of up, which large meshes have fewer rounds of, one of the medians.
    previews = [fit.exponent(parts, values) for values in zip(*(size.preview for size in sizes), strict=True)]
    spread = Spread.of(previews)
    facts.append(
        Fact(
            what="exponent of a preview's time in N + links",
            value=spread.text(2),
            goal=f"≤ {_GOAL}",
            met=spread.median <= _GOAL,
        )
    )
    ups = fit.exponent(parts, [median(size.up) for size in sizes])
    facts.append(
        Fact(what="exponent of up's time in N + links", value=f"{ups:.2f}", goal=f"≤ {_GOAL}", met=ups <= _GOAL)
    )
    downs = fit.exponent(parts, [median(size.down) for size in sizes])
    facts.append(Fact(what="exponent of destroy's time in N + links", value=f"{downs:.2f}"))
    memory = fit.exponent(parts, [median(peak.total for peak in size.peaks) for size in sizes])
    facts.append(Fact(what="exponent of a preview's memory in N + links", value=f"{memory:.2f}"))
    return facts


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
