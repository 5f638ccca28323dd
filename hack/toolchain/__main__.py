"""Command `python3 -m hack.toolchain [ARTIFACT …]`: builds missing artifacts; by default those that `make up` needs."""

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
    KUBE_PROXY,
    KUBECTL,
    KUBELET,
    KUBERNETES,
    LAB_LINKERD,
    MODULES_FOLDER,
    NO_DEBUG_INFO,
    Artifact,
)
from hack.toolchain.build import BuildError, build
from hack.toolchain.progress import Progress


def main(arguments: list[str]) -> int:
    """Build the artifacts on the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m hack.toolchain", description=__doc__)
    parser.add_argument("artifacts", nargs="*", metavar="ARTIFACT", help=f"one of {', '.join(ARTIFACTS)}, or `all`")
    names = parser.parse_args(arguments).artifacts
    unknown = [name for name in names if name not in {*ARTIFACTS, "all"}]
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such artifact; name one of {', '.join(ARTIFACTS)}, or `all`")
    try:
        go.read_version()
        _build_missing(_select(names))
    except (go.GoMissingError, BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        output = (error.stderr or error.stdout or "").strip()
        print(f"error: {' '.join(map(str, error.cmd))}: exit code {error.returncode}\n{output}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    return 0


def _select(requested: list[str]) -> list[Artifact]:
    """Return the artifacts to build.

    A default or `all` leaves out the engine, kubectl and Helm if a suitable program is on PATH.
    """
    names = set(requested) or {
        ENGINE.name,
        KUBERNETES.name,
        KUBECTL.name,
        LAB_LINKERD.name,
        CHARTS.name,
    }
    if "all" in names:
        # Only the benchmarks need helmfile, and only the lab's data plane kube-proxy and kubelet; their commands build
        # them.
        names = set(ARTIFACTS) - {HELMFILE.name, KUBE_PROXY.name, KUBELET.name}
    if not requested or "all" in requested:
        if pulumi_installation.find_on_path() is not None:
            names -= {ENGINE.name}
        if shutil.which("kubectl") is not None:
            names -= {KUBECTL.name}
        if helm.find_on_path() is not None:
            names -= {HELM.name}
    return [artifact for artifact in ARTIFACTS.values() if artifact.name in names]


def _find_missing(artifacts: list[Artifact]) -> list[Artifact]:
    return [artifact for artifact in artifacts if not cache.folder(artifact.name).is_dir()]


def _build_missing(artifacts: list[Artifact]) -> None:
    if not _find_missing(artifacts):
        return
    with cache.lock("toolchain: waiting for another process that builds it"):
        missing = _find_missing(artifacts)
        if not missing:
            return
        # Modules that share packages are built one after the other: two concurrent Go commands would compile shared
        # packages twice.
        lanes = [
            [artifact for artifact in missing if artifact.main.module != KUBERNETES.main.module],
            [artifact for artifact in missing if artifact.main.module == KUBERNETES.main.module],
        ]
        minutes = sum(artifact.minutes for artifact in missing)
        print(
            f"toolchain: building {', '.join(each.name for each in missing)} from Go modules, once per machine\n"
            f"  time: about {max(1, round(minutes))} minutes on two cores; an interrupted build resumes\n"
            f"  folder: {cache.root()}",
            flush=True,
        )
        began = time.monotonic()
        cache.remove_unfinished()
        with Progress() as progress:
            if any(step.programs for artifact in missing for step in artifact.builds):
                progress.start("Go's standard library")
                _compile_standard_library()
                progress.end("Go's standard library")
            _run([lane for lane in lanes if lane], progress)
        print(f"toolchain: complete after {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


def _compile_standard_library() -> None:
    """Compile Go's standard library first, because two concurrent Go commands would compile it twice."""
    subprocess.run(
        ["go", "build", f"-gcflags=all={NO_DEBUG_INFO}", "std"],
        cwd=MODULES_FOLDER,
        env=go.go_environment(),
        check=True,
        capture_output=True,
        text=True,
    )


def _run(lanes: list[list[Artifact]], progress: Progress) -> None:
    failures: list[BaseException] = []

    def run(lane: list[Artifact]) -> None:
        for artifact in lane:
            if failures:
                return
            began = time.monotonic()
            progress.start(artifact.name)
            try:
                build(artifact, partial(progress.count_line, artifact.name))
                progress.report_built(artifact.name, time.monotonic() - began)
            except Exception as error:
                failures.append(error)
            finally:
                progress.end(artifact.name)

    threads = [threading.Thread(target=run, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
