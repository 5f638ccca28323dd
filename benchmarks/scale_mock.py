"""How the program grows, by itself: hundreds of clusters, on an engine and API servers that answer at once."""

from __future__ import annotations

import pstats
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import program, scaling, stacks
from benchmarks.environment import Environment
from benchmarks.report import table
from benchmarks.results import Curve, Fact, Section, Series, Table
from benchmarks.scaling import Shape
from benchmarks.stats import Spread

# About how long the program takes on two cores: at all, and for each cluster in a hub.
_SECONDS, _SECONDS_PER_CLUSTER = 3.0, 0.25
# Shapes that tell clusters and links apart, beside hubs of every size and one full mesh.
_COUNTED = (("full-mesh", 2), ("full-mesh", 5), ("full-mesh", 17), ("ring", 3), ("ring", 40), ("hub", 2), ("hub", 7))
_LARGEST_MESH = 50
_GOAL = 1.1
_MIB_GOAL = 8 * 1024

_TEXT = """
The program alone, as a preview runs it: Pulumi's own script starts it, and it talks gRPC to an engine that answers
every resource at once (`benchmarks/mock_engine.py`). Its clusters are API servers on loopback without TLS that answer
the questions of the preflight. Each cluster runs Linkerd, exports podinfo, and is linked as its shape has it. So this
is what Python does for so many clusters, and nothing of what an engine, providers or clusters do; the lab has those.
The exponent is the slope of the logarithms over N + links, of hubs.
"""


def seconds(rounds: int, sizes: Sequence[int]) -> float:
    """About how long the figure takes."""
    hubs = sum(_SECONDS + _SECONDS_PER_CLUSTER * size for size in sizes)
    return (rounds + 1) * hubs + 4 * _SECONDS_PER_CLUSTER * max(sizes) + 10 * _SECONDS_PER_CLUSTER * _LARGEST_MESH + 60


def figure(ground: Environment, rounds: int, sizes: Sequence[int], date: str, machine: str) -> dict[str, Section]:
    """The section."""
    took: dict[int, list[float]] = defaultdict(list)
    processor: dict[int, list[float]] = defaultdict(list)
    memory: dict[int, float] = {}
    shapes: dict[tuple[str, int], int] = {}
    for number in range(1, rounds + 1):
        for size in sizes:
            told = _run(ground, "hub", size)
            took[size].append(told.ran.seconds)
            processor[size].append(told.ran.processor_seconds)
            shapes["hub", size] = told.resources
            ground.say(
                f"round {number} of {rounds}: hub of {size}: {told.ran.seconds:.1f} s, {told.resources} resources"
            )
    for size in sizes:
        peak = _run(ground, "hub", size, memory=True).ran.peak
        assert peak is not None, "it was looked at"
        memory[size] = peak.total
        ground.say(f"hub of {size}: {peak.total:.0f} MiB")
    for shape, size in _COUNTED:
        shapes[shape, size] = _count(ground, shape, size)
    largest = max(sizes)
    mesh = min(largest, _LARGEST_MESH)
    ground.say(f"full mesh of {mesh}, once")
    whole = _run(ground, "full-mesh", mesh)
    shapes["full-mesh", mesh] = whole.resources
    unasked = _run(ground, "hub", largest, preflight=False)
    ground.say(f"hub of {largest}, profiled")
    profile = _profile(ground, largest)
    return {
        "scale-mock": Section(
            title="Scale, the program alone",
            date=date,
            machine=machine,
            rounds=rounds,
            text=_TEXT,
            series=tuple(
                Series(name=f"hub of {size}: {what}", unit="s", values=tuple(values[size]))
                for what, values in (("time", took), ("processor time", processor))
                for size in sizes
            ),
            facts=(
                *_growth(sizes, took, processor, memory),
                _resources(shapes),
                Fact(
                    what=f"peak memory of the program, hub of {largest}",
                    value=f"{memory[largest]:.0f} MiB",
                    goal="≤ 8 GiB",
                    met=memory[largest] <= _MIB_GOAL,
                ),
                Fact(what=f"hub of {largest} without the preflight, once", value=f"{unasked.ran.seconds:.1f} s"),
                Fact(
                    what=f"full mesh of {mesh}, {links('full-mesh', mesh)} links, once",
                    value=f"{whole.ran.seconds:.1f} s",
                ),
            ),
            tables=(_counts(shapes),),
            curves=(
                Curve(name="the program, time (s)", points=tuple((_size(n), median(took[n])) for n in sizes)),
                Curve(name="the program, memory (MiB)", points=tuple((_size(n), memory[n]) for n in sizes)),
            ),
            profile=profile,
        )
    }


def _growth(
    sizes: Sequence[int], took: dict[int, list[float]], processor: dict[int, list[float]], memory: dict[int, float]
) -> list[Fact]:
    if len(set(sizes)) < 2:
        return []
    points = [_size(size) for size in sizes]
    # One exponent for each round, so that it has a spread, too.
    rounds = range(len(took[sizes[0]]))
    found = {
        "time": [scaling.exponent(points, [took[size][number] for size in sizes]) for number in rounds],
        "processor time": [scaling.exponent(points, [processor[size][number] for size in sizes]) for number in rounds],
    }
    shown = {what: Spread.of(values) for what, values in found.items()}
    facts = [
        Fact(
            what=f"exponent of {what} in N + links",
            value=spread.text(2),
            goal=f"≤ {_GOAL}",
            met=spread.median <= _GOAL,
        )
        for what, spread in shown.items()
    ]
    growth = scaling.exponent(points, [memory[size] for size in sizes])
    return [*facts, Fact(what="exponent of peak memory in N + links", value=f"{growth:.2f}")]


def _resources(shapes: dict[tuple[str, int], int]) -> Fact:
    found = scaling.plane([_shape(shape, size, count) for (shape, size), count in shapes.items()])
    return Fact(
        what=f"resources, in all {len(shapes)} shapes",
        value=str(found) if found is not None else "no such numbers",
        goal="a · N + b · links, exactly",
        met=found is not None,
    )


def _counts(shapes: dict[tuple[str, int], int]) -> Table:
    return Table(
        columns=("shape", "N", "links", "resources"),
        rows=tuple((shape, str(n), str(links(shape, n)), str(count)) for (shape, n), count in shapes.items()),
    )


def _shape(shape: str, size: int, count: int) -> Shape:
    return Shape(clusters=size, links=links(shape, size), count=count)


def links(shape: str, size: int) -> int:
    """The number of links of so many clusters in a shape."""
    return {"full-mesh": size * (size - 1), "hub": 2 * (size - 1), "ring": size}[shape]


def _size(hub: int) -> float:
    return hub + links("hub", hub)


def _count(ground: Environment, shape: str, size: int) -> int:
    return _run(ground, shape, size, preflight=False).resources


def _run(
    ground: Environment,
    shape: str,
    size: int,
    *,
    preflight: bool = True,
    memory: bool = False,
    python: Sequence[str] = (),
) -> program.ProgramRun:
    names = stacks.names(size)
    config: dict[str, Any] = stacks.mesh(names, shape, named=True)
    if not preflight:
        config["preflight"] = False
    with program.api_servers(ground.work, names) as kubeconfig:
        return program.run(ground.runner, kubeconfig, config, memory=memory, python=python)


def _profile(ground: Environment, size: int) -> str:
    """Where the processor's time goes, by package and by function."""
    path = ground.work / "program.profile"
    _run(ground, "hub", size, python=("-m", "cProfile", "-o", str(path)))
    found = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    packages: dict[str, float] = defaultdict(float)
    functions = []
    for (file, _, name), (_, calls, own, _, _) in found.items():
        package = _package(file)
        packages[package] += own
        functions.append((own, f"{package}: {name}", calls))
    total = sum(packages.values())
    by_package = [
        (name, f"{own:.1f}", f"{100 * own / total:.0f} %")
        for name, own in sorted(packages.items(), key=lambda item: -item[1])[:8]
    ]
    by_function = [(name, f"{own:.1f}", str(calls)) for own, name, calls in sorted(functions, reverse=True)[:10]]
    return (
        f"The main thread of a hub of {size}, by cProfile, which makes everything slower; time in a function itself, "
        f"waiting included.\n\n{table(['package', 's', 'share'], by_package)}\n"
        f"{table(['function', 's', 'calls'], by_function)}"
    )


def _package(file: str) -> str:
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if file.startswith("~") or file.startswith("<"):
        return "built into Python"
    return "Python's library" if any(part.startswith("python3") for part in parts) else "the program"
