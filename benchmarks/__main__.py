"""`python -m benchmarks [--runs 5] [--only mesh destroy …] [--sizes 50 100 250] [--lab-sizes 2 4 8 12]`."""

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
from benchmarks.environment import Environment, ground
from benchmarks.leftovers import LeftoverObjectsError
from benchmarks.process import CommandFailed
from benchmarks.readiness import NotReady
from benchmarks.results import Section
from hack.lab.errors import LabError
from hack.make import signals
from hack.make.pulumi_cli import PulumiFailed
from hack.make.stack import StackFileError
from hack.toolchain import NotInstalled, helm
from hack.toolchain.__main__ import main as build_toolchain
from hack.toolchain.artifacts import HELM, HELMFILE

HERE = Path(__file__).parent
RESULTS, REPORT = HERE / "results.json", HERE / "results.md"
# In the order of the report; `destroy` is measured with `mesh`, in the same rounds.
FIGURES = ("mesh", "destroy", "preview", "scale-lab", "scale-mock")
LAB_SIZES, MOCK_SIZES = (2, 4, 8, 12), (50, 100, 250)


def main(arguments: Sequence[str]) -> int:
    """Make figures, write them down; the exit code is 0 also where a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Figures, into benchmarks/results.md.")
    parser.add_argument("--runs", type=_positive, default=5, help="rounds of each figure (5)")
    parser.add_argument("--only", nargs="*", choices=FIGURES, default=[], help="these figures; the others stay")
    parser.add_argument("--lab-sizes", nargs="*", type=_positive, default=LAB_SIZES, help="clusters of scale-lab")
    parser.add_argument("--sizes", nargs="*", type=_positive, default=MOCK_SIZES, help="clusters of scale-mock")
    options = parser.parse_args(arguments)
    if not options.sizes or not options.lab_sizes:
        parser.error("--sizes and --lab-sizes need at least one number")
    chosen = set(options.only or FIGURES)
    chosen |= {"mesh"} if "destroy" in chosen else set()
    signal.signal(signal.SIGTERM, _interrupt)
    signals.restore_sigint_for_children()
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{_clock(time.monotonic() - began)}  {line}", flush=True)

    built = [*([HELM.name] if helm.on_path() is None else []), *([] if shutil.which("helmfile") else [HELMFILE.name])]
    if built and build_toolchain(built) != 0:
        return 1
    print(_forecast(chosen, options.runs, options.lab_sizes, options.sizes), flush=True)
    try:
        with ground(["west", "east"], say) as lab:
            _make(lab, chosen, options, say)
    except (
        LabError,
        NotInstalled,
        StackFileError,
        PulumiFailed,
        CommandFailed,
        NotReady,
        LeftoverObjectsError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what had been measured before is kept", file=sys.stderr)
        return 130
    say(f"written: {REPORT.relative_to(HERE.parent)}")
    return 0


def _make(lab: Environment, chosen: set[str], options: argparse.Namespace, say: Callable[[str], None]) -> None:
    told = machine.described(lab.runner.environment)
    date = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d")
    figures: Mapping[str, Callable[[], dict[str, Section]]] = {
        "mesh": lambda: mesh.figure(lab, options.runs, date, told),
        "preview": lambda: preview.figure(lab, options.runs, date, told),
        "scale-mock": lambda: scale_mock.figure(lab, options.runs, options.sizes, date, told),
        "scale-lab": lambda: scale_lab.figure(lab, options.runs, options.lab_sizes, date, told),
    }
    for key, make in figures.items():
        if key in chosen:
            say(f"figure {key}")
            _keep(make())


def _keep(made: Mapping[str, Section]) -> None:
    """Write each figure as soon as it is there, beside the others."""
    from benchmarks import plot  # its library takes a second to import

    known = {**results.read(RESULTS), **made}
    sections = {key: known[key] for key in FIGURES if key in known}
    results.write(RESULTS, sections)
    REPORT.write_text(report.markdown(sections, plot.draw(HERE, sections)))


def _forecast(chosen: set[str], runs: int, lab_sizes: Sequence[int], sizes: Sequence[int]) -> str:
    seconds = 20.0
    seconds += mesh.SECONDS * (runs + 1.5) if "mesh" in chosen else 0
    seconds += preview.SECONDS * runs + 60 if "preview" in chosen else 0
    seconds += scale_mock.seconds(runs, sizes) if "scale-mock" in chosen else 0
    seconds += scale_lab.seconds(runs, lab_sizes) if "scale-lab" in chosen else 0
    names = ", ".join(key for key in FIGURES if key in chosen)
    return f"{names}: about {max(1, round(seconds / 60))} minutes on two cores"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:3}:{int(seconds) % 60:02}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return number


def _interrupt(number: int, frame: types.FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
