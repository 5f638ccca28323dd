"""Imports: the direction of the data flow, and what a process loads at its start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.paths import PROJECT_ROOT

PROGRAM = ("__main__.py", "components", "mesh")
TOOLS = ("review", "policy", "hack", "benchmarks", "tests")
# Packages that each part of the program must not import. Data flows from the stack file through mesh.config and
# mesh.preflight to the components, as CONTRIBUTING.md states.
FORBIDDEN = {
    "mesh": ("components", *TOOLS),
    "mesh/config": ("mesh.preflight", "mesh.helm"),
    "mesh/kube": ("mesh.config", "mesh.preflight", "mesh.helm"),
    "mesh/helm": ("mesh.config", "mesh.preflight"),
    "mesh/service_profiles": ("mesh.config", "mesh.preflight", "mesh.kube", "mesh.helm"),
    "components": TOOLS,
    "__main__.py": TOOLS,
    "review": ("components", "hack", "benchmarks", "tests"),
    "policy": ("components", "hack", "benchmarks", "tests"),
    "hack": ("tests", "benchmarks"),
}


def sources(part: str) -> Iterator[Path]:
    """Yield the Python files of a file or a folder of the project."""
    path = PROJECT_ROOT / part
    yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the dotted name of every module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_follow_the_data_flow(part: str) -> None:
    wrong = {
        f"{path.relative_to(PROJECT_ROOT)} imports {module}"
        for path in sources(part)
        for module in imported_modules(path)
        if any(module == package or module.startswith(f"{package}.") for package in FORBIDDEN[part])
    }

    assert wrong == set()


def test_only_configuration_and_credentials_read_environment() -> None:
    readers = {
        str(path.relative_to(PROJECT_ROOT))
        for part in PROGRAM
        for path in sources(part)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "get_config_env", "Config")
        if ast.unparse(node) != "pydantic.Config"
    }

    # Requests after the configuration is loaded find $KUBECONFIG as kubectl does, and plugins inherit the environment.
    assert readers == {"mesh/config/__init__.py", "mesh/kube/connection.py", "mesh/kube/exec_plugin.py"}


def test_only_components_register_resources() -> None:
    registrations = {"ComponentResource", "CustomResource", "Resource", "export", "get_resource"}
    wrong = {
        f"{path.relative_to(PROJECT_ROOT)}: {ast.unparse(node)}"
        for path in sources("mesh")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pulumi" and node.attr in registrations
    }

    assert wrong == set()


HEAVY_MODULES = {"mesh.config", "mesh.preflight", "pydantic", "pulumi_kubernetes", "kubernetes"}


def loaded_modules(*modules: str) -> set[str]:
    """Return the modules of a new process after an import."""
    program = f"import sys; sys.path.insert(0, '.'); import {', '.join(modules)}; print(*sys.modules, sep='\\n')"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(ended.stdout.split())


def test_dynamic_providers_load_nothing_of_the_program() -> None:
    # Pulumi imports this module into a process of its own with every command that changes the stack.
    module = "components.dynamic_providers"

    loaded = loaded_modules(module)

    assert module in loaded
    assert not {*HEAVY_MODULES, "mesh.kube"} & loaded


def test_provider_methods_load_no_heavy_modules() -> None:
    helm = ("components.helm.terminating_crds", "components.helm.retained_crds", "mesh.helm.drift")
    cleanups = (
        "components.linkerd.controller_restart",
        "components.linkerd.mirror_cleanup",
        "components.services.export_cleanup",
    )

    # A provider's method imports one of these; only a connection loads the official client.
    assert not HEAVY_MODULES & loaded_modules(*helm, *cleanups, "mesh.kube.client")
