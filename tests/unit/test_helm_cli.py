"""Search for the user's Helm."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.helm_cli import HelmNotInstalledError, find_helm


def write_helm(folder: Path, version: str) -> Path:
    """Create a `helm` that prints a version."""
    program = folder / "helm"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


def test_recent_helm_is_found(tmp_path: Path) -> None:
    program = write_helm(tmp_path, "v3.13.0")

    assert find_helm(f"{tmp_path}:/bin") == program


def test_old_helm_is_refused_with_minimum_version(tmp_path: Path) -> None:
    write_helm(tmp_path, "v3.12.9")

    with pytest.raises(HelmNotInstalledError, match=r"older than 3\.13; install Helm 3\.13 or later"):
        find_helm(f"{tmp_path}:/bin")


def test_missing_helm_is_refused_with_remedy(tmp_path: Path) -> None:
    with pytest.raises(HelmNotInstalledError, match=r"helm: not on PATH; install Helm 3\.13 or later"):
        find_helm(str(tmp_path))
