"""Arithmetic, text and processes of the benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from benchmarks import imports, report, results, scale_mock, scaling, stacks
from benchmarks.process import CommandError, Runner
from benchmarks.results import Comparison, Fact, Section, Series, Table
from benchmarks.scaling import Shape
from benchmarks.stats import Spread, round_ratios
from benchmarks.timeline import Timeline
from hack.make import stack
from mesh.config import PROJECT
from mesh.paths import PROJECT_ROOT


def build_section(*, ours: tuple[float, ...], peer: tuple[float, ...], at_most: float | None = None) -> Section:
    return Section(
        title="A figure",
        date="2026-01-02",
        machine="2 cores",
        rounds=len(ours),
        text="A description.",
        series=(Series(name="ours", unit="s", values=ours), Series(name="peer", unit="s", values=peer)),
        comparisons=(Comparison(what="ours : peer", ours="ours", peer="peer", at_most=at_most),),
    )


def test_ratio_compares_values_of_same_round() -> None:
    # In the second round the machine was busy, which slows both commands alike.
    assert round_ratios([1, 20, 3], [2, 40, 6]) == [0.5, 0.5, 0.5]


def test_series_of_different_lengths_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        round_ratios([1, 2, 3], [1, 2])


def test_spread_shows_median_minimum_and_maximum() -> None:
    assert Spread.from_values([5, 1, 2]).text(1) == "2.0 (1.0–5.0)"


@pytest.mark.parametrize("power", [0.5, 1.0, 1.7])
def test_exponent_is_independent_of_unit(power: float) -> None:
    sizes = [3, 17, 148, 748]

    assert scaling.fit_exponent(sizes, [0.04 * size**power for size in sizes]) == pytest.approx(power)


@pytest.mark.parametrize(("clusters", "links", "fixed"), [(26, 8, 7), (1, 0, 0), (3, 11, -2)])
def test_counts_on_plane_yield_its_integer_coefficients(clusters: int, links: int, fixed: int) -> None:
    shapes = [(2, 2), (3, 4), (50, 98), (5, 20), (40, 40)]
    samples = [Shape(clusters=n, links=m, count=clusters * n + links * m + fixed) for n, m in shapes]

    assert scaling.fit_plane(samples) == scaling.Plane(per_cluster=clusters, per_link=links, fixed=fixed)


def test_single_count_off_plane_yields_no_plane() -> None:
    exact = [Shape(clusters=n, links=m, count=26 * n + 8 * m + 7) for n, m in [(2, 2), (3, 4), (5, 20), (40, 40)]]

    assert scaling.fit_plane([*exact, Shape(clusters=6, links=6, count=26 * 6 + 8 * 6 + 8)]) is None


def test_quadratic_growth_yields_no_plane() -> None:
    assert (
        scaling.fit_plane(
            [Shape(clusters=n, links=n, count=n * n) for n in (2, 4, 8)] + [Shape(clusters=2, links=9, count=1)]
        )
        is None
    )


def test_hub_shapes_alone_are_rejected() -> None:
    with pytest.raises(ValueError, match="differ in clusters and in links"):
        scaling.fit_plane([Shape(clusters=n, links=2 * (n - 1), count=n) for n in (2, 50, 100)])


def test_goal_is_met_when_median_ratio_is_within_it() -> None:
    within_goal = build_section(ours=(1, 1, 9), peer=(2, 2, 9), at_most=0.5)
    beyond_goal = build_section(ours=(1, 2, 2), peer=(2, 2, 2), at_most=0.5)

    assert report.comparison_row(within_goal, within_goal.comparisons[0]) == (
        "ours : peer",
        "0.50 (0.50–1.00)",
        "≤ 0.5",
        "met",
    )
    assert report.comparison_row(beyond_goal, beyond_goal.comparisons[0])[-1] == "**missed**"


def test_comparison_without_goal_is_neither_met_nor_missed() -> None:
    without_goal = build_section(ours=(1,), peer=(2,))

    assert report.comparison_row(without_goal, without_goal.comparisons[0])[2:] == ("", "")
    assert "## Goals" not in report.render_markdown({"figure": without_goal}, {})


def test_figure_with_missed_goal_stays_in_tables() -> None:
    markdown = report.render_markdown({"figure": build_section(ours=(3,), peer=(1,), at_most=2)}, {"figure": ["a.svg"]})

    assert "| A figure | ours : peer | 3.00 (3.00–3.00) | ≤ 2 | **missed** |" in markdown
    assert "| ours | 3.00 (3.00–3.00) s |" in markdown
    assert "![A figure](a.svg)" in markdown


def test_results_are_unchanged_by_write_and_read(tmp_path: Path) -> None:
    figure = Section(
        **{
            **vars(build_section(ours=(1, 2), peer=(3, 4), at_most=1)),
            "facts": (Fact(what="n", value="3", goal="≤ 4", met=True),),
            "tables": (Table(columns=("a", "b"), rows=(("1", "2"), ("3", "4"))),),
            "curves": (results.Curve(name="time", points=((1, 2.5), (3, 4))),),
            "notes": ("one",),
        }
    )
    path = tmp_path / "results.json"

    results.write_results(path, {"figure": figure})

    assert results.read_results(path) == {"figure": figure}


def test_results_of_other_format_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"figure": {"title": "old"}}')

    assert results.read_results(path) == {}
    assert results.read_results(tmp_path / "none.json") == {}


def test_import_times_are_summed_per_package() -> None:
    output = "\n".join(
        [
            "import time: self [us] | cumulative | imported package",
            "import time:       100 |        100 |     yaml.nodes",
            "import time:       300 |        400 |   yaml",
            "import time:      2000 |       2400 | mesh.config.parser",
            "other output of the program",
        ]
    )

    costs = imports.parse_import_times(output)

    assert costs.modules == 3
    assert costs.seconds == pytest.approx(0.0024)
    assert costs.own == {"mesh.config.parser"}
    assert list(costs.packages) == ["mesh", "yaml"]


@pytest.mark.parametrize("shape", ["full-mesh", "hub", "ring"])
@pytest.mark.parametrize("size", [3, 4, 9])
def test_shape_has_expected_number_of_links(tmp_path: Path, shape: str, size: int) -> None:
    file = tmp_path / "stack.yaml"
    config = stacks.mesh_config(stacks.cluster_names(size), shape)
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}))

    stack_file = stack.read_stack("figures", file)

    assert len(stack_file.clusters) == size
    assert len(stack_file.links) == scale_mock.link_count(shape, size)


def test_failed_command_reports_its_output(tmp_path: Path) -> None:
    runner = Runner({}, tmp_path / "log")

    with pytest.raises(CommandError, match="no such thing"):
        runner.run([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)


@pytest.mark.thorough
def test_memory_of_command_includes_child_processes(tmp_path: Path) -> None:
    child = "import time; block = bytearray(40 * 2**20); time.sleep(0.6)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    result = Runner({}, tmp_path / "log").run([sys.executable, "-c", parent], tmp_path, memory=True)

    assert result.peak is not None
    assert result.peak.total > 40
    assert sum(result.peak.processes.values()) == 2


@pytest.mark.thorough
def test_watchdog_kills_command_of_killed_benchmark(tmp_path: Path) -> None:
    # The script acts as a benchmark: it reports its child process to the watchdog and is then killed.
    home = tmp_path / "home"
    home.mkdir()
    script = f"""
import psutil, subprocess, sys, time
watchdog = subprocess.Popen(
    [sys.executable, "-m", "benchmarks.watchdog", {str(home)!r}],
    stdin=subprocess.PIPE,
    text=True,
    start_new_session=True,
)
child = psutil.Process(subprocess.Popen(["sleep", "60"], start_new_session=True).pid)
watchdog.stdin.write(f"{{child.pid}} {{child.create_time()}}\\n")
watchdog.stdin.flush()
print(child.pid, flush=True)
time.sleep(60)
"""
    benchmark = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
    assert benchmark.stdout is not None
    child = psutil.Process(int(benchmark.stdout.readline()))

    benchmark.kill()
    benchmark.wait()
    benchmark.stdout.close()

    deadline = time.monotonic() + 30
    while (home.exists() or child.is_running()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.is_running()
    assert not home.exists(), "the watchdog must delete the lab's folder"


def test_timeline_lists_finished_resources_without_components(tmp_path: Path) -> None:
    log = tmp_path / "events"
    timeline = Timeline(log)
    timeline.begin()

    def record_event(event: str, kind: str, *, custom: bool) -> None:
        step = {"urn": f"urn:pulumi:s::p::{kind}::east-{kind}", "new": {"custom": custom}}
        with log.open("a") as lines:
            lines.write(json.dumps({event: {"metadata": step}}) + "\n")
        timeline.read_events()

    timeline.read_events()
    record_event("resourcePreEvent", "Linkerd", custom=False)
    record_event("resourcePreEvent", "a:b:Release", custom=True)
    record_event("resourcePreEvent", "a:b:Unfinished", custom=True)
    record_event("resOutputsEvent", "a:b:Release", custom=True)
    record_event("resOutputsEvent", "Linkerd", custom=False)

    markdown = timeline.markdown("up", before="an introduction")
    assert "The slowest resources of 1:" in markdown
    assert "| Release east-a:b:Release |" in markdown


def test_partial_event_is_read_once_complete(tmp_path: Path) -> None:
    log = tmp_path / "events"
    timeline = Timeline(log)
    timeline.begin()
    events = b"".join(
        json.dumps({event: {"metadata": {"urn": "urn:pulumi:s::p::Release::crds", "new": {"custom": True}}}}).encode()
        + b"\n"
        for event in ("resourcePreEvent", "resOutputsEvent")
    )
    for length in (0, 10, len(events) - 5, len(events)):
        log.write_bytes(events[:length])
        timeline.read_events()

    assert "Release crds" in timeline.markdown("up", before="")
