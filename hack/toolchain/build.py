"""Builds of artifacts: `go build` and further files, installed atomically by one rename."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hack.toolchain import add_ons, cache, charts, go
from hack.toolchain.artifacts import LINKERD, NO_DEBUG_INFO, PULUMI_KUBERNETES, PULUMI_SDK, Artifact, Build

Report = Callable[[str], None]


class BuildError(Exception):
    """An artifact could not be built; the message contains the end of Go's output and the path of the log."""


def build(artifact: Artifact, report: Report) -> None:
    """Build one artifact into the cache; `report` is called with each line that Go prints."""
    target = cache.folder(artifact.name)
    if target.is_dir():
        return
    logs = cache.root() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{artifact.name}-", dir=cache.root()))
    try:
        (staging / "bin").mkdir()
        with (logs / f"{artifact.name}.log").open("w") as log:

            def write_line(line: str) -> None:
                log.write(f"{line}\n")
                log.flush()
                report(line)

            for step in artifact.builds:
                if step.programs:
                    _compile(step, staging / "bin", write_line)
        if artifact.name == "engine":
            _move_plugins(artifact.main, staging)
            _copy_scripts(artifact.main, staging / "bin")
        elif artifact.name == "kubernetes":
            _copy_stages(artifact.main, staging)
        elif artifact.main.module == "linkerd":
            source = _source_folder(artifact.main, LINKERD)
            charts.package_linkerd_charts(
                source, linkerd_release=artifact.name.removeprefix("linkerd-"), into=staging / "charts"
            )
        elif artifact.main.module == "add-ons":
            add_ons.copy_add_ons(partial(_source_folder, artifact.main), own=artifact.main.root, into=staging)
        elif artifact.main.module == "cilium":
            add_ons.copy_cilium_charts(_source_folder(artifact.main, add_ons.CILIUM), into=staging / "charts")
        staging.chmod(0o755)
        staging.rename(target)
    except BuildError as error:
        raise BuildError(f"{artifact.name}: {error}\n  see the whole log in {logs / artifact.name}.log") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _compile(step: Build, programs: Path, report: Report) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        plugins = "./cmd/pulumi-resource-kubernetes" in step.programs
        flags = [f"-overlay={_write_schema_overlay(step, Path(scratch), report)}"] if plugins else []
        _go_build(step, list(step.programs), into=programs, flags=flags, report=report)
    for package, program in step.programs.items():
        # Go names a program after the last element of the package path that is not a major version.
        built = programs / re.sub(r"/v\d+$", "", package).rsplit("/", 1)[-1]
        if built.name != program:
            built.rename(programs / program)


def _go_build(step: Build, packages: list[str], *, into: Path, flags: list[str], report: Report) -> None:
    linker = ["-s", "-w", *(f"-X {variable}={value}" for variable, value in step.variables.items())]
    command = ["go", "build", "-v", "-buildvcs=false", f"-modfile={step.modfile}", f"-gcflags=all={NO_DEBUG_INFO}"]
    command += [f"-gcflags={pattern}={NO_DEBUG_INFO} {extra}" for pattern, extra in step.compiler_flags.items()]
    command += [f"-ldflags={' '.join(linker)}", f"-o={into}{os.sep}", *flags, *packages]
    last: deque[str] = deque(maxlen=12)
    process = subprocess.Popen(
        command, cwd=step.root, env=go.go_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line.rstrip())
            report(last[-1])
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
    if process.returncode != 0:
        tail = "\n".join(f"    {line}" for line in last)
        raise BuildError(f"go build in {step.root}: exit code {process.returncode}\n{tail}")


def _write_schema_overlay(step: Build, scratch: Path, report: Report) -> Path:
    """Write a Go overlay that puts each provider's schema next to the package that embeds it; return its path.

    The schemas are too large to commit.
    """
    source = _source_folder(step, PULUMI_KUBERNETES) / "cmd/pulumi-resource-kubernetes"
    kubernetes = step.root / "cmd/pulumi-resource-kubernetes"
    schema = json.loads((source / "schema.json").read_text())
    schema["version"] = _read_go_constant(kubernetes / "main.go", "Version")
    (scratch / "kubernetes.json").write_text(json.dumps(schema))

    _go_build(step, ["./cmd/pulumi-tfgen-tls"], into=scratch, flags=[], report=report)
    generate = [str(scratch / "pulumi-tfgen-tls"), "schema", "--out", str(scratch)]
    subprocess.run(generate, cwd=scratch, check=True, capture_output=True)

    replaced = {
        kubernetes / "schema.json": scratch / "kubernetes.json",
        kubernetes / "terraform-mapping.json": source / "terraform-mapping.json",
        step.root / "cmd/pulumi-resource-tls/schema.json": scratch / "schema.json",
    }
    overlay = scratch / "overlay.json"
    overlay.write_text(json.dumps({"Replace": {str(there): str(file) for there, file in replaced.items()}}))
    return overlay


def _source_folder(step: Build, module: str) -> Path:
    return go.find_module_folder(module, root=step.root, modfile=step.modfile)


def _move_plugins(step: Build, staging: Path) -> None:
    """Move the resource plugins to the layout that the engine expects below PULUMI_HOME."""
    versions = {
        "kubernetes": _read_go_constant(step.root / "cmd/pulumi-resource-kubernetes/main.go", "Version"),
        "tls": _read_go_constant(step.root / "tls/provider.go", "Version"),
    }
    for package, version in versions.items():
        plugin = staging / "plugins" / f"resource-{package}-v{version}"
        plugin.mkdir(parents=True)
        (staging / "bin" / f"pulumi-resource-{package}").rename(plugin / f"pulumi-resource-{package}")


def _copy_scripts(step: Build, programs: Path) -> None:
    """Copy the language host's scripts, which run programs, dynamic resources and policy packs."""
    sdk = _source_folder(step, PULUMI_SDK)
    for script in (
        "python/cmd/pulumi-language-python-exec",
        "python/dist/pulumi-resource-pulumi-python",
        "python/dist/pulumi-analyzer-policy-python",
    ):
        copied = programs / Path(script).name
        shutil.copyfile(sdk / script, copied)
        copied.chmod(0o755)


def _copy_stages(step: Build, staging: Path) -> None:
    """Copy kwok's own stages of nodes and pods."""
    stages = staging / "stages"
    stages.mkdir()
    source = _source_folder(step, "sigs.k8s.io/kwok") / "kustomize/stage"
    for folder in ("node/heartbeat-with-lease", "node/fast", "pod/fast"):
        for stage in (source / folder).glob("*.yaml"):
            if stage.name != "kustomization.yaml":
                shutil.copyfile(stage, stages / stage.name)


def _read_go_constant(path: Path, name: str) -> str:
    match = re.search(rf'^const {name} = "([^"]+)"$', path.read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"{path}: no constant {name}; define it")
    return match[1]
