"""Linkerd's programs in the user's folders: selection by release, and errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hack.lab import linkerd, spec
from hack.lab import programs as lab_programs
from hack.lab.errors import LabError
from hack.lab.spec import LabSpec
from hack.lab.state_dir import StateDir
from hack.make import environment
from tests.helpers.edge_releases import write_fake_programs


@pytest.fixture(autouse=True)
def without_toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_LINKERD", raising=False)
    monkeypatch.setattr(lab_programs, "_find_installed", lambda part: None)


def test_folder_has_release_that_its_programs_print(tmp_path: Path) -> None:
    assert linkerd.read_release(write_fake_programs(tmp_path, "edge-26.8.3")) == "edge-26.8.3"
    assert linkerd.read_release(write_fake_programs(tmp_path, "stable-2.15.0")) == "2.15.0"


def test_controller_without_version_has_release_of_the_cli(tmp_path: Path) -> None:
    assert (
        linkerd.read_release(write_fake_programs(tmp_path, "edge-26.8.3", controller_release="dev-undefined"))
        == "edge-26.8.3"
    )


def test_folders_are_separated_by_colons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write_fake_programs(tmp_path, linkerd_release) for linkerd_release in ("edge-26.8.3", "edge-24.11.8")]
    monkeypatch.setenv("LAB_LINKERD", f"{folders[0]}::{folders[1]}")

    assert linkerd.read_named_folders() == folders


def test_invalid_folder_is_reported_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_fake_programs(tmp_path, "edge-26.8.3")

    def complaint(named_folder: Path = folder) -> str:
        monkeypatch.setenv("LAB_LINKERD", str(named_folder))
        with pytest.raises(LabError) as raised:
            linkerd.read_named_folders()
        return str(raised.value)

    assert complaint(tmp_path / "none").startswith(f"LAB_LINKERD: {tmp_path}/none: no such folder; name folders")
    (folder / "linkerd").chmod(0o644)
    assert complaint() == f"LAB_LINKERD: {folder}/linkerd: not executable; run 'chmod +x {folder}/linkerd'"
    (folder / "linkerd").unlink()
    assert complaint().startswith(f"LAB_LINKERD: {folder}/linkerd: no such program; name folders")
    two = write_fake_programs(tmp_path, "edge-26.9.1", controller_release="edge-26.8.3")
    assert "of different releases, edge-26.8.3 and edge-26.9.1" in complaint(two)


@pytest.mark.parametrize("content", ["#!/bin/sh\nexit 1\n", "not a program"])
def test_programs_without_version_output_are_refused(tmp_path: Path, content: str) -> None:
    folder = write_fake_programs(tmp_path, "edge-26.8.3")
    for name in ("linkerd", "controller"):
        (folder / name).write_text(content)

    with pytest.raises(LabError, match=re.escape(f"{folder}: neither") + ".* prints a version; replace them"):
        linkerd.read_release(folder)


@pytest.mark.parametrize(
    ("pod_release", "available", "expected_release"),
    [
        ("edge-26.8.3", ["edge-26.9.1", "edge-26.8.3"], "edge-26.8.3"),
        ("edge-25.4.4", ["edge-26.8.3", "edge-26.10.1"], "edge-26.10.1"),
        ("edge-26.12.1", ["edge-26.8.3"], "edge-26.8.3"),
        ("edge-24.11.8", ["edge-26.8.3"], None),
        ("edge-24.11.8", ["edge-26.8.3", "edge-24.11.8"], "edge-24.11.8"),
        ("edge-26.8.3", ["edge-24.11.8"], None),
        ("2.13.5", ["edge-24.2.4"], None),
        ("2.15.0", ["edge-24.2.4", "2.15.0"], "2.15.0"),
        ("edge-26.8.3", [], None),
        ("edge-26.8.3", ["dev-undefined"], "dev-undefined"),
        ("edge-26.8.3", ["dev-undefined", "edge-25.4.4"], "edge-25.4.4"),
        ("edge-24.11.8", ["dev-undefined"], None),
        ("next-2.31.0", ["edge-26.8.3", "edge-24.11.8"], "edge-26.8.3"),
        ("2.14.9", ["dev-undefined"], None),
    ],
)
def test_service_mirror_has_pod_release_or_newest_compatible_one(
    tmp_path: Path, pod_release: str, available: list[str], expected_release: str | None
) -> None:
    folders = [write_fake_programs(tmp_path, linkerd_release) for linkerd_release in available]

    program = linkerd.find_service_mirror(pod_release, folders)

    expected = expected_release and linkerd.Program(
        path=tmp_path / expected_release / "controller", release=expected_release, arguments=("service-mirror",)
    )
    assert program == expected


def test_toolchain_mirror_precedes_configured_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain_program = tmp_path / "toolchain/bin/service-mirror"
    toolchain_program.parent.mkdir(parents=True)
    toolchain_program.touch()
    monkeypatch.setattr(lab_programs, "_find_installed", lambda part: tmp_path / "toolchain")

    program = linkerd.find_service_mirror("2.14.10", [write_fake_programs(tmp_path, "stable-2.14.10")])

    assert program == linkerd.Program(path=toolchain_program, release="2.14.10")


def test_cli_has_requested_release_or_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [
        write_fake_programs(tmp_path, linkerd_release)
        for linkerd_release in ("edge-26.8.3", "edge-26.10.1", "edge-24.11.8")
    ]
    monkeypatch.setenv("LAB_LINKERD", ":".join(map(str, folders)))
    home = StateDir(folder=tmp_path / "home")

    for requested, expected_release in {
        "edge-26.8.3": "edge-26.8.3",
        "2.17": "edge-24.11.8",
        "edge-25.4.4": "edge-26.10.1",
    }.items():
        program = environment.find_cli(home, requested)
        assert (program.path, program.release) == (tmp_path / expected_release / "linkerd", expected_release)


def test_lab_keeps_folders_of_its_start(tmp_path: Path) -> None:
    home = StateDir(folder=tmp_path / "home")
    home.create()
    spec.save(home, LabSpec(linkerd_folders=(str(write_fake_programs(tmp_path, "edge-26.8.3")),)))

    assert environment.find_cli(home, "edge-26.8.3").release == "edge-26.8.3"


def test_missing_cli_is_reported_with_remedy_or_replaced(tmp_path: Path) -> None:
    home = StateDir(folder=tmp_path)

    with pytest.raises(LabError, match=r"Linkerd edge-26\.8\.3: .* set LAB_LINKERD to a folder with its programs"):
        environment.find_cli(home, "edge-26.8.3")
    assert environment.version_with_cli(home, "edge-26.8.3") == "2.14.10"
