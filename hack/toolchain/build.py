"""Builds parts: `go build`, then what lies beside the programs; installed in one rename, so never half."""

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
from hack.toolchain.artifacts import LINKERD, PULUMI_KUBERNETES, PULUMI_SDK, QUICK, Artifact, Build

Report = Callable[[str], None]


class BuildFailed(Exception):
    """A part that could not be built; the message has the end of what Go said, and where the rest is."""


def build(part: Artifact, report: Report) -> None:
    """Build one part into the cache; `report` is called with each line that Go prints."""
    target = cache.folder(part.name)
    if target.is_dir():
        return
    logs = cache.root() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{part.name}-", dir=cache.root()))
    try:
        (staging / "bin").mkdir()
        with (logs / f"{part.name}.log").open("w") as log:

            def told(line: str) -> None:
                log.write(f"{line}\n")
                log.flush()
                report(line)

            for step in part.builds:
                if step.programs:
                    _compile(step, staging / "bin", told)
        if part.name == "engine":
            _lay_out_plugins(part.main, staging)
            _copy_scripts(part.main, staging / "bin")
        elif part.name == "kubernetes":
            _copy_stages(part.main, staging)
        elif part.main.module == "linkerd":
            source = _sources(part.main, LINKERD)
            charts.package(source, release=part.name.removeprefix("linkerd-"), into=staging / "charts")
        elif part.main.module == "add-ons":
            add_ons.take(partial(_sources, part.main), own=part.main.root, into=staging)
        elif part.main.module == "cilium":
            add_ons.take_cilium(_sources(part.main, add_ons.CILIUM), into=staging / "charts")
        staging.chmod(0o755)
        staging.rename(target)
    except BuildFailed as error:
        raise BuildFailed(f"{part.name}: {error}\n  the whole log is {logs / part.name}.log") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _compile(step: Build, programs: Path, report: Report) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        plugins = "./cmd/pulumi-resource-kubernetes" in step.programs
        flags = [f"-overlay={_schemas(step, Path(scratch), report)}"] if plugins else []
        _go_build(step, list(step.programs), into=programs, flags=flags, report=report)
    for package, program in step.programs.items():
        # Go names a program after the last element of its package's path that is not a major version.
        made = programs / re.sub(r"/v\d+$", "", package).rsplit("/", 1)[-1]
        if made.name != program:
            made.rename(programs / program)


def _go_build(step: Build, packages: list[str], *, into: Path, flags: list[str], report: Report) -> None:
    linker = ["-s", "-w", *(f"-X {variable}={value}" for variable, value in step.variables.items())]
    command = ["go", "build", "-v", "-buildvcs=false", f"-modfile={step.modfile}", f"-gcflags=all={QUICK}"]
    command += [f"-gcflags={pattern}={QUICK} {extra}" for pattern, extra in step.compiler_flags.items()]
    command += [f"-ldflags={' '.join(linker)}", f"-o={into}{os.sep}", *flags, *packages]
    last: deque[str] = deque(maxlen=12)
    process = subprocess.Popen(
        command, cwd=step.root, env=go.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
        raise BuildFailed(f"go build in {step.root} ended with {process.returncode}\n{tail}")


def _schemas(step: Build, scratch: Path, report: Report) -> Path:
    """An overlay that lays each provider's schema, too large to commit, beside the main package that embeds it."""
    source = _sources(step, PULUMI_KUBERNETES) / "cmd/pulumi-resource-kubernetes"
    kubernetes = step.root / "cmd/pulumi-resource-kubernetes"
    schema = json.loads((source / "schema.json").read_text())
    schema["version"] = _go_constant(kubernetes / "main.go", "Version")
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


def _sources(step: Build, module: str) -> Path:
    return go.module_folder(module, root=step.root, modfile=step.modfile)


def _lay_out_plugins(step: Build, staging: Path) -> None:
    """Move the resource plugins to where an engine looks for them below PULUMI_HOME."""
    versions = {
        "kubernetes": _go_constant(step.root / "cmd/pulumi-resource-kubernetes/main.go", "Version"),
        "tls": _go_constant(step.root / "tls/provider.go", "Version"),
    }
    for package, version in versions.items():
        plugin = staging / "plugins" / f"resource-{package}-v{version}"
        plugin.mkdir(parents=True)
        (staging / "bin" / f"pulumi-resource-{package}").rename(plugin / f"pulumi-resource-{package}")


def _copy_scripts(step: Build, programs: Path) -> None:
    """The Python side of the language host: what runs a program, a dynamic resource and a policy pack."""
    sdk = _sources(step, PULUMI_SDK)
    for script in (
        "python/cmd/pulumi-language-python-exec",
        "python/dist/pulumi-resource-pulumi-python",
        "python/dist/pulumi-analyzer-policy-python",
    ):
        copied = programs / Path(script).name
        shutil.copyfile(sdk / script, copied)
        copied.chmod(0o755)


def _copy_stages(step: Build, staging: Path) -> None:
    """Kwok's own description of how its nodes and pods live."""
    stages = staging / "stages"
    stages.mkdir()
    source = _sources(step, "sigs.k8s.io/kwok") / "kustomize/stage"
    for folder in ("node/heartbeat-with-lease", "node/fast", "pod/fast"):
        for stage in (source / folder).glob("*.yaml"):
            if stage.name != "kustomization.yaml":
                shutil.copyfile(stage, stages / stage.name)


def _go_constant(path: Path, name: str) -> str:
    found = re.search(rf'^const {name} = "([^"]+)"$', path.read_text(), re.MULTILINE)
    if found is None:
        raise BuildFailed(f"{path}: no constant {name}")
    return found[1]
