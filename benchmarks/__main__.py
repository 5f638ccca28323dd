"""Command `python -m benchmarks [--runs 5] [--only mesh …] [--sizes 50 100 250] [--lab-sizes 2 4 8 12]`."""

from __future__ import annotations

import argparse
import datetime
import shutil
import signal
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks import machine, mesh, preview, report, results, scale_lab, scale_mock
from benchmarks.environment import Environment, start_lab
from benchmarks.leftovers import LeftoverObjectsError
from benchmarks.process import CommandError
from benchmarks.readiness import NotReadyError
from benchmarks.results import Section
from hack.lab.errors import LabError
from hack.make import signals
from hack.make.stack import StackFileError
from hack.toolchain import NotInstalledError, helm
from hack.toolchain.__main__ import main as build_toolchain
from hack.toolchain.artifacts import HELM, HELMFILE
from mesh.pulumi_cli import PulumiCommandError

HERE = Path(__file__).parent
RESULTS, REPORT = HERE / "results.json", HERE / "results.md"
# In the order of the report. `destroy` is measured in the same rounds as `mesh`.
FIGURES = ("mesh", "destroy", "preview", "scale-lab", "scale-mock")
LAB_SIZES, MOCK_SIZES = (2, 4, 8, 12), (50, 100, 250)


def main(arguments: Sequence[str]) -> int:
    """Measure and write the figures; return the exit code, which is 0 even if a goal is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure, and write the figures to benchmarks/results.md."
    )
    parser.add_argument("--runs", type=_parse_positive, default=5, help="rounds per figure (5)")
    parser.add_argument(
        "--only", nargs="*", choices=FIGURES, default=[], help="measure only these figures, and keep the others"
    )
    parser.add_argument(
        "--lab-sizes", nargs="*", type=_parse_positive, default=LAB_SIZES, help="numbers of clusters for scale-lab"
    )
    parser.add_argument(
        "--sizes", nargs="*", type=_parse_positive, default=MOCK_SIZES, help="numbers of clusters for scale-mock"
    )
    options = parser.parse_args(arguments)
    if not options.sizes or not options.lab_sizes:
        parser.error("--sizes and --lab-sizes need at least one number")
    selected = set(options.only or FIGURES)
    selected |= {"mesh"} if "destroy" in selected else set()
    signal.signal(signal.SIGTERM, _interrupt)
    signals.restore_sigint_for_children()
    began = time.monotonic()

    def report_line(line: str) -> None:
        print(f"{_format_clock(time.monotonic() - began)}  {line}", flush=True)

    artifacts = [
        *([HELM.name] if helm.find_on_path() is None else []),
        *([] if shutil.which("helmfile") else [HELMFILE.name]),
    ]
    if artifacts and build_toolchain(artifacts) != 0:
        return 1
    print(_format_forecast(selected, options.runs, options.lab_sizes, options.sizes), flush=True)
    try:
        with start_lab(["west", "east"], report_line) as lab:
            _measure(lab, selected, options, report_line)
    except (
        LabError,
        NotInstalledError,
        StackFileError,
        PulumiCommandError,
        CommandError,
        NotReadyError,
        LeftoverObjectsError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; completed figures are kept", file=sys.stderr)
        return 130
    report_line(f"wrote {REPORT.relative_to(HERE.parent)}")
    return 0


def _measure(
    lab: Environment, selected: set[str], options: argparse.Namespace, report_line: Callable[[str], None]
) -> None:
    description = machine.describe_machine(lab.runner.environment)
    date = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d")
    figures: Mapping[str, Callable[[], dict[str, Section]]] = {
        "mesh": lambda: mesh.measure(lab, options.runs, date, description),
        "preview": lambda: preview.measure(lab, options.runs, date, description),
        "scale-mock": lambda: scale_mock.measure(lab, options.runs, options.sizes, date, description),
        "scale-lab": lambda: scale_lab.measure(lab, options.runs, options.lab_sizes, date, description),
    }
    for key, measure_figure in figures.items():
        if key in selected:
            report_line(f"figure {key}")
            _write_results(measure_figure())


def _write_results(new_sections: Mapping[str, Section]) -> None:
    """Merge new sections into the results, and write results, report and plots."""
    from benchmarks import plot  # matplotlib takes a second to import

    all_sections = {**results.read_results(RESULTS), **new_sections}
    sections = {key: all_sections[key] for key in FIGURES if key in all_sections}
    results.write_results(RESULTS, sections)
    REPORT.write_text(report.render_markdown(sections, plot.draw(HERE, sections)))


def _format_forecast(selected: set[str], runs: int, lab_sizes: Sequence[int], sizes: Sequence[int]) -> str:
    seconds = 20.0
    seconds += mesh.SECONDS_PER_ROUND * (runs + 1.5) if "mesh" in selected else 0
    seconds += preview.SECONDS_PER_ROUND * runs + 60 if "preview" in selected else 0
    seconds += scale_mock.estimate_seconds(runs, sizes) if "scale-mock" in selected else 0
    seconds += scale_lab.estimate_seconds(runs, lab_sizes) if "scale-lab" in selected else 0
    names = ", ".join(key for key in FIGURES if key in selected)
    return f"{names}: about {max(1, round(seconds / 60))} minutes on two cores"


def _format_clock(seconds: float) -> str:
    return f"{int(seconds) // 60:3}:{int(seconds) % 60:02}"


def _parse_positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return number


def _interrupt(number: int, frame: types.FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
