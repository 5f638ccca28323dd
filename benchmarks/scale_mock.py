"""Benchmark of the program's own growth: hundreds of clusters, with a mock engine and fake API servers."""

from __future__ import annotations

import pstats
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import program, scaling, stacks
from benchmarks.environment import Environment
from benchmarks.report import render_table
from benchmarks.results import Curve, Fact, Section, Series, Table
from benchmarks.scaling import Shape
from benchmarks.stats import Spread

# Approximate duration of the program on two cores: a constant, and a part per cluster of a hub.
_BASE_SECONDS, _SECONDS_PER_CLUSTER = 3.0, 0.25
# Further shapes, which separate the resources per cluster from those per link.
_COUNTED_SHAPES = (
    ("full-mesh", 2),
    ("full-mesh", 5),
    ("full-mesh", 17),
    ("ring", 3),
    ("ring", 40),
    ("hub", 2),
    ("hub", 7),
)
_LARGEST_MESH = 50
_MAX_EXPONENT = 1.1
_MAX_MEMORY_MIB = 8 * 1024

_TEXT = """
The program alone, as in a preview: Pulumi's own script starts it, and a mock engine answers every gRPC request at once
(`benchmarks/mock_engine.py`). Its clusters are fake API servers on loopback without TLS, which answer the requests of
the preflight. Each cluster has Linkerd, exports podinfo, and is linked according to the shape. So the figures contain
the time of Python only, and not that of engine, providers and clusters, which `Scale, on the lab` includes. The
exponent is the slope of the logarithms over N + links, for hubs.
"""


def estimate_seconds(rounds: int, sizes: Sequence[int]) -> float:
    """Return the approximate duration of the benchmark, in seconds."""
    hubs = sum(_BASE_SECONDS + _SECONDS_PER_CLUSTER * size for size in sizes)
    return (rounds + 1) * hubs + 4 * _SECONDS_PER_CLUSTER * max(sizes) + 10 * _SECONDS_PER_CLUSTER * _LARGEST_MESH + 60


def measure(lab: Environment, rounds: int, sizes: Sequence[int], date: str, machine: str) -> dict[str, Section]:
    """Return the section `scale-mock`."""
    took: dict[int, list[float]] = defaultdict(list)
    processor: dict[int, list[float]] = defaultdict(list)
    memory: dict[int, float] = {}
    shapes: dict[tuple[str, int], int] = {}
    for number in range(1, rounds + 1):
        for size in sizes:
            run = _run_program(lab, "hub", size)
            took[size].append(run.command_run.seconds)
            processor[size].append(run.command_run.processor_seconds)
            shapes["hub", size] = run.resources
            lab.report(
                f"round {number} of {rounds}: hub of {size}: {run.command_run.seconds:.1f} s, {run.resources} resources"
            )
    for size in sizes:
        peak = _run_program(lab, "hub", size, memory=True).command_run.peak
        assert peak is not None, "the memory was sampled"
        memory[size] = peak.total
        lab.report(f"hub of {size}: {peak.total:.0f} MiB")
    for shape, size in _COUNTED_SHAPES:
        shapes[shape, size] = _count_resources(lab, shape, size)
    largest = max(sizes)
    mesh = min(largest, _LARGEST_MESH)
    lab.report(f"full mesh of {mesh}, once")
    full_mesh = _run_program(lab, "full-mesh", mesh)
    shapes["full-mesh", mesh] = full_mesh.resources
    without_preflight = _run_program(lab, "hub", largest, preflight=False)
    lab.report(f"hub of {largest}, profiled")
    profile = _profile(lab, largest)
    return {
        "scale-mock": Section(
            title="Scale, the program alone",
            date=date,
            machine=machine,
            rounds=rounds,
            text=_TEXT,
            series=tuple(
                Series(name=f"hub of {size}: {quantity}", unit="s", values=tuple(values[size]))
                for quantity, values in (("time", took), ("processor time", processor))
                for size in sizes
            ),
            facts=(
                *_growth_facts(sizes, took, processor, memory),
                _resource_fact(shapes),
                Fact(
                    what=f"peak memory of the program, hub of {largest}",
                    value=f"{memory[largest]:.0f} MiB",
                    goal="≤ 8 GiB",
                    met=memory[largest] <= _MAX_MEMORY_MIB,
                ),
                Fact(
                    what=f"hub of {largest} without the preflight, once",
                    value=f"{without_preflight.command_run.seconds:.1f} s",
                ),
                Fact(
                    what=f"full mesh of {mesh}, {link_count('full-mesh', mesh)} links, once",
                    value=f"{full_mesh.command_run.seconds:.1f} s",
                ),
            ),
            tables=(_count_table(shapes),),
            curves=(
                Curve(name="the program, time (s)", points=tuple((_hub_parts(n), median(took[n])) for n in sizes)),
                Curve(name="the program, memory (MiB)", points=tuple((_hub_parts(n), memory[n]) for n in sizes)),
            ),
            profile=profile,
        )
    }


def _growth_facts(
    sizes: Sequence[int], took: dict[int, list[float]], processor: dict[int, list[float]], memory: dict[int, float]
) -> list[Fact]:
    if len(set(sizes)) < 2:
        return []
    points = [_hub_parts(size) for size in sizes]
    # One exponent for each round gives a spread.
    rounds = range(len(took[sizes[0]]))
    exponents = {
        "time": [scaling.fit_exponent(points, [took[size][number] for size in sizes]) for number in rounds],
        "processor time": [
            scaling.fit_exponent(points, [processor[size][number] for size in sizes]) for number in rounds
        ],
    }
    spreads = {quantity: Spread.from_values(values) for quantity, values in exponents.items()}
    facts = [
        Fact(
            what=f"exponent of {quantity} in N + links",
            value=spread.text(2),
            goal=f"≤ {_MAX_EXPONENT}",
            met=spread.median <= _MAX_EXPONENT,
        )
        for quantity, spread in spreads.items()
    ]
    growth = scaling.fit_exponent(points, [memory[size] for size in sizes])
    return [*facts, Fact(what="exponent of peak memory in N + links", value=f"{growth:.2f}")]


def _resource_fact(shapes: dict[tuple[str, int], int]) -> Fact:
    plane = scaling.fit_plane([_shape(shape, size, count) for (shape, size), count in shapes.items()])
    return Fact(
        what=f"resources, in all {len(shapes)} shapes",
        value=str(plane) if plane is not None else "no such numbers",
        goal="a · N + b · links, exactly",
        met=plane is not None,
    )


def _count_table(shapes: dict[tuple[str, int], int]) -> Table:
    return Table(
        columns=("shape", "N", "links", "resources"),
        rows=tuple((shape, str(n), str(link_count(shape, n)), str(count)) for (shape, n), count in shapes.items()),
    )


def _shape(shape: str, size: int, count: int) -> Shape:
    return Shape(clusters=size, links=link_count(shape, size), count=count)


def link_count(shape: str, size: int) -> int:
    """Return the number of links of a shape with this number of clusters."""
    return {"full-mesh": size * (size - 1), "hub": 2 * (size - 1), "ring": size}[shape]


def _hub_parts(hub: int) -> float:
    return hub + link_count("hub", hub)


def _count_resources(lab: Environment, shape: str, size: int) -> int:
    return _run_program(lab, shape, size, preflight=False).resources


def _run_program(
    lab: Environment,
    shape: str,
    size: int,
    *,
    preflight: bool = True,
    memory: bool = False,
    python: Sequence[str] = (),
) -> program.ProgramRun:
    names = stacks.cluster_names(size)
    config: dict[str, Any] = stacks.mesh_config(names, shape, has_api_servers=True)
    if not preflight:
        config["preflight"] = False
    with program.serve_clusters(lab.work, names) as kubeconfig:
        return program.run_program(lab.runner, kubeconfig, config, memory=memory, python=python)


def _profile(lab: Environment, size: int) -> str:
    """Return tables of processor time by package and by function."""
    path = lab.work / "program.profile"
    _run_program(lab, "hub", size, python=("-m", "cProfile", "-o", str(path)))
    stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    packages: dict[str, float] = defaultdict(float)
    functions = []
    for (file, _, name), (_, calls, own, _, _) in stats.items():
        package = _package_name(file)
        packages[package] += own
        functions.append((own, f"{package}: {name}", calls))
    total = sum(packages.values())
    by_package = [
        (name, f"{own:.1f}", f"{100 * own / total:.0f} %")
        for name, own in sorted(packages.items(), key=lambda item: -item[1])[:8]
    ]
    by_function = [(name, f"{own:.1f}", str(calls)) for own, name, calls in sorted(functions, reverse=True)[:10]]
    return (
        f"The main thread for a hub of {size}, by cProfile, which slows the program down. Times are those of the "
        f"function itself, waits included.\n\n{render_table(['package', 's', 'share'], by_package)}\n"
        f"{render_table(['function', 's', 'calls'], by_function)}"
    )


def _package_name(file: str) -> str:
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if file.startswith("~") or file.startswith("<"):
        return "built into Python"
    return "Python's library" if any(part.startswith("python3") for part in parts) else "the program"
