"""The harness of the figures, as far as it is arithmetic and text."""

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
from benchmarks.process import CommandFailed, Runner
from benchmarks.results import Comparison, Fact, Section, Series, Table
from benchmarks.scaling import Shape
from benchmarks.stats import Spread, ratios
from benchmarks.timeline import Timeline
from hack.make import stack
from hack.make.stack import PROJECT
from mesh.paths import PROJECT_ROOT


def section(*, ours: tuple[float, ...], peer: tuple[float, ...], at_most: float | None = None) -> Section:
    return Section(
        title="A figure",
        date="2026-01-02",
        machine="2 cores",
        rounds=len(ours),
        text="What it is.",
        series=(Series(name="ours", unit="s", values=ours), Series(name="peer", unit="s", values=peer)),
        comparisons=(Comparison(what="ours : peer", ours="ours", peer="peer", at_most=at_most),),
    )


def test_a_ratio_is_of_the_two_values_of_one_round() -> None:
    # The second round ran on a machine that was busy: the ratio of the medians would be another one.
    assert ratios([1, 20, 3], [2, 40, 6]) == [0.5, 0.5, 0.5]


def test_series_of_different_rounds_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2, 3], [1, 2])


def test_a_spread_has_the_median_the_least_and_the_most() -> None:
    assert Spread.of([5, 1, 2]).text(1) == "2.0 (1.0–5.0)"


@pytest.mark.parametrize("power", [0.5, 1.0, 1.7])
def test_an_exponent_is_found_whatever_the_unit(power: float) -> None:
    sizes = [3, 17, 148, 748]

    assert scaling.exponent(sizes, [0.04 * size**power for size in sizes]) == pytest.approx(power)


@pytest.mark.parametrize(("clusters", "links", "fixed"), [(26, 8, 7), (1, 0, 0), (3, 11, -2)])
def test_counts_that_lie_on_a_plane_give_its_whole_numbers(clusters: int, links: int, fixed: int) -> None:
    shapes = [(2, 2), (3, 4), (50, 98), (5, 20), (40, 40)]
    counted = [Shape(clusters=n, links=m, count=clusters * n + links * m + fixed) for n, m in shapes]

    assert scaling.plane(counted) == scaling.Plane(per_cluster=clusters, per_link=links, fixed=fixed)


def test_one_count_beside_the_plane_is_enough_for_there_to_be_none() -> None:
    exact = [Shape(clusters=n, links=m, count=26 * n + 8 * m + 7) for n, m in [(2, 2), (3, 4), (5, 20), (40, 40)]]

    assert scaling.plane([*exact, Shape(clusters=6, links=6, count=26 * 6 + 8 * 6 + 8)]) is None


def test_growth_that_is_no_plane_is_none() -> None:
    assert (
        scaling.plane(
            [Shape(clusters=n, links=n, count=n * n) for n in (2, 4, 8)] + [Shape(clusters=2, links=9, count=1)]
        )
        is None
    )


def test_hubs_alone_do_not_tell_clusters_and_links_apart() -> None:
    with pytest.raises(ValueError, match="differ in clusters and in links"):
        scaling.plane([Shape(clusters=n, links=2 * (n - 1), count=n) for n in (2, 50, 100)])


def test_a_goal_is_met_if_the_median_of_the_ratios_is_within_it() -> None:
    met = section(ours=(1, 1, 9), peer=(2, 2, 9), at_most=0.5)
    missed = section(ours=(1, 2, 2), peer=(2, 2, 2), at_most=0.5)

    assert report.compared(met, met.comparisons[0]) == ("ours : peer", "0.50 (0.50–1.00)", "≤ 0.5", "met")
    assert report.compared(missed, missed.comparisons[0])[-1] == "**missed**"


def test_what_is_only_shown_is_neither_met_nor_missed() -> None:
    shown = section(ours=(1,), peer=(2,))

    assert report.compared(shown, shown.comparisons[0])[2:] == ("", "")
    assert "## Goals" not in report.markdown({"figure": shown}, {})


def test_a_figure_that_misses_its_goal_stays_in_the_tables() -> None:
    printed = report.markdown({"figure": section(ours=(3,), peer=(1,), at_most=2)}, {"figure": ["a.svg"]})

    assert "| A figure | ours : peer | 3.00 (3.00–3.00) | ≤ 2 | **missed** |" in printed
    assert "| ours | 3.00 (3.00–3.00) s |" in printed
    assert "![A figure](a.svg)" in printed


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    whole = Section(
        **{
            **vars(section(ours=(1, 2), peer=(3, 4), at_most=1)),
            "facts": (Fact(what="n", value="3", goal="≤ 4", met=True),),
            "tables": (Table(columns=("a", "b"), rows=(("1", "2"), ("3", "4"))),),
            "curves": (results.Curve(name="time", points=((1, 2.5), (3, 4))),),
            "notes": ("one",),
        }
    )
    path = tmp_path / "results.json"

    results.write(path, {"figure": whole})

    assert results.read(path) == {"figure": whole}


def test_results_of_another_form_are_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"figure": {"title": "old"}}')

    assert results.read(path) == {}
    assert results.read(tmp_path / "none.json") == {}


def test_imports_are_summed_by_package_each_module_once() -> None:
    printed = "\n".join(
        [
            "import time: self [us] | cumulative | imported package",
            "import time:       100 |        100 |     yaml.nodes",
            "import time:       300 |        400 |   yaml",
            "import time:      2000 |       2400 | mesh.config.parser",
            "something else that a program prints",
        ]
    )

    found = imports.parse(printed)

    assert found.modules == 3
    assert found.seconds == pytest.approx(0.0024)
    assert found.own == {"mesh.config.parser"}
    assert list(found.packages) == ["mesh", "yaml"]


@pytest.mark.parametrize("shape", ["full-mesh", "hub", "ring"])
@pytest.mark.parametrize("size", [3, 4, 9])
def test_a_shape_has_as_many_links_as_its_count_is_set_against(tmp_path: Path, shape: str, size: int) -> None:
    file = tmp_path / "stack.yaml"
    config = stacks.mesh(stacks.names(size), shape)
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}))

    found = stack.read("figures", file)

    assert len(found.clusters) == size
    assert len(found.links) == scale_mock.links(shape, size)


def test_a_command_that_fails_says_what_it_printed(tmp_path: Path) -> None:
    runner = Runner({}, tmp_path / "log")

    with pytest.raises(CommandFailed, match="no such thing"):
        runner.run([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)


@pytest.mark.thorough
def test_the_memory_of_a_command_is_that_of_all_that_it_starts(tmp_path: Path) -> None:
    child = "import time; block = bytearray(40 * 2**20); time.sleep(0.6)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    ran = Runner({}, tmp_path / "log").run([sys.executable, "-c", parent], tmp_path, memory=True)

    assert ran.peak is not None
    assert ran.peak.total > 40
    assert sum(ran.peak.processes.values()) == 2


@pytest.mark.thorough
def test_a_command_under_way_ends_with_whoever_measures_it_even_if_killed(tmp_path: Path) -> None:
    # Stands for the benchmarks: it tells its keeper what runs, and is then killed.
    home = tmp_path / "home"
    home.mkdir()
    script = f"""
import psutil, subprocess, sys, time
keeper = subprocess.Popen(
    [sys.executable, "-m", "benchmarks.watchdog", {str(home)!r}],
    stdin=subprocess.PIPE,
    text=True,
    start_new_session=True,
)
child = psutil.Process(subprocess.Popen(["sleep", "60"], start_new_session=True).pid)
keeper.stdin.write(f"{{child.pid}} {{child.create_time()}}\\n")
keeper.stdin.flush()
print(child.pid, flush=True)
time.sleep(60)
"""
    killed = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    child = psutil.Process(int(killed.stdout.readline()))

    killed.kill()
    killed.wait()
    killed.stdout.close()

    deadline = time.monotonic() + 30
    while (home.exists() or child.is_running()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.is_running()
    assert not home.exists(), "the lab's folder goes last"


def test_a_timeline_has_the_resources_that_took_longest_and_no_components(tmp_path: Path) -> None:
    log = tmp_path / "events"
    timeline = Timeline(log)
    timeline.begin()

    def tell(event: str, kind: str, *, custom: bool) -> None:
        step = {"urn": f"urn:pulumi:s::p::{kind}::east-{kind}", "new": {"custom": custom}}
        with log.open("a") as lines:
            lines.write(json.dumps({event: {"metadata": step}}) + "\n")
        timeline.look()

    timeline.look()
    tell("resourcePreEvent", "Linkerd", custom=False)
    tell("resourcePreEvent", "a:b:Release", custom=True)
    tell("resourcePreEvent", "a:b:Unfinished", custom=True)
    tell("resOutputsEvent", "a:b:Release", custom=True)
    tell("resOutputsEvent", "Linkerd", custom=False)

    printed = timeline.markdown("up", before="what comes first")
    assert "Of 1 resources" in printed
    assert "| Release east-a:b:Release |" in printed


def test_an_event_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "events"
    timeline = Timeline(log)
    timeline.begin()
    whole = b"".join(
        json.dumps({event: {"metadata": {"urn": "urn:pulumi:s::p::Release::crds", "new": {"custom": True}}}}).encode()
        + b"\n"
        for event in ("resourcePreEvent", "resOutputsEvent")
    )
    for end in (0, 10, len(whole) - 5, len(whole)):
        log.write_bytes(whole[:end])
        timeline.look()

    assert "Release crds" in timeline.markdown("up", before="")
