"""`python3 -m hack.toolchain [PART …]`: build what is missing; without parts, what `make up` needs on this machine."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import threading
import time
from functools import partial

from hack.toolchain import cache, go, helm, pulumi_installation
from hack.toolchain.artifacts import (
    ARTIFACTS,
    CHARTS,
    ENGINE,
    HELM,
    HELMFILE,
    KUBECTL,
    KUBERNETES,
    MODULES,
    QUICK,
    Artifact,
    linkerd,
)
from hack.toolchain.build import BuildFailed, build
from hack.toolchain.progress import Progress
from mesh.linkerd_releases import DEFAULT_LINKERD_VERSION


def main(arguments: list[str]) -> int:
    """Build the parts named on the command line, side by side where they share little."""
    parser = argparse.ArgumentParser(prog="python3 -m hack.toolchain", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(ARTIFACTS)}, or `all`")
    wanted = parser.parse_args(arguments).parts
    unknown = [name for name in wanted if name not in {*ARTIFACTS, "all"}]
    if unknown:
        parser.error(f"{', '.join(unknown)}: no part of the toolchain; known are {', '.join(ARTIFACTS)}, and `all`")
    try:
        go.version()
        _build_missing(_selected(wanted))
    except (go.GoMissing, BuildFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip()
        print(f"error: {' '.join(map(str, error.cmd))} ended with {error.returncode}\n{said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


def _selected(wanted: list[str]) -> list[Artifact]:
    """The parts to have here: no engine where a suitable Pulumi is on PATH, no kubectl or Helm where there is one."""
    names = set(wanted) or {
        ENGINE.name,
        KUBERNETES.name,
        KUBECTL.name,
        linkerd(DEFAULT_LINKERD_VERSION).name,
        CHARTS.name,
    }
    if "all" in names:
        # What only figures need is built by `make bench`.
        names = set(ARTIFACTS) - {HELMFILE.name}
    if not wanted or "all" in wanted:
        if pulumi_installation.on_path() is not None:
            names -= {ENGINE.name}
        if shutil.which("kubectl") is not None:
            names -= {KUBECTL.name}
        if helm.on_path() is not None:
            names -= {HELM.name}
    return [part for part in ARTIFACTS.values() if part.name in names]


def _missing(parts: list[Artifact]) -> list[Artifact]:
    return [part for part in parts if not cache.folder(part.name).is_dir()]


def _build_missing(parts: list[Artifact]) -> None:
    if not _missing(parts):
        return
    with cache.lock("toolchain: another process is building it; waiting for its turn"):
        missing = _missing(parts)
        if not missing:
            return
        # Modules that share their compiled packages go one after the other, the others side by side: two Go commands
        # at once would compile what they share twice.
        lanes = [
            [part for part in missing if part.main.module != KUBERNETES.main.module],
            [part for part in missing if part.main.module == KUBERNETES.main.module],
        ]
        minutes = sum(part.minutes for part in missing)
        print(
            f"toolchain: {', '.join(part.name for part in missing)} to be built from Go modules, once on this machine\n"
            f"  about {max(1, round(minutes))} minutes on two cores; stop it whenever you like, it resumes\n"
            f"  into {cache.root()}",
            flush=True,
        )
        began = time.monotonic()
        cache.remove_unfinished()
        with Progress() as progress:
            if any(step.programs for part in missing for step in part.builds):
                progress.started("Go's standard library")
                _compile_standard_library()
                progress.ended("Go's standard library")
            _run([lane for lane in lanes if lane], progress)
        print(f"toolchain: complete after {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


def _compile_standard_library() -> None:
    """What every part needs, before two Go commands start at once and each compiles its own."""
    subprocess.run(
        ["go", "build", f"-gcflags=all={QUICK}", "std"],
        cwd=MODULES,
        env=go.environment(),
        check=True,
        capture_output=True,
        text=True,
    )


def _run(lanes: list[list[Artifact]], progress: Progress) -> None:
    failures: list[BaseException] = []

    def run(lane: list[Artifact]) -> None:
        for part in lane:
            if failures:
                return
            began = time.monotonic()
            progress.started(part.name)
            try:
                build(part, partial(progress.line, part.name))
                progress.built(part.name, time.monotonic() - began)
            except Exception as error:
                failures.append(error)
            finally:
                progress.ended(part.name)

    threads = [threading.Thread(target=run, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
