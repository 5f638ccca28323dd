"""Linkerd's edge releases, available only in folders that the user configures (docs/lab.md)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hack.lab import charts, linkerd
from hack.lab import programs as lab_programs

HAS_EDGE_RELEASES = bool(os.environ.get("LAB_CHARTS") and os.environ.get(linkerd.VARIABLE))
"""Whether the user's folders have edge releases."""

REQUIRES_EDGE_RELEASES = pytest.mark.skipif(
    not HAS_EDGE_RELEASES,
    reason="Linkerd's edge releases: LAB_CHARTS and LAB_LINKERD name no folders with them (docs/lab.md)",
)
"""Marker of tests that need an edge release; combined with `lab` in a module's `pytestmark`."""


def list_edge_releases() -> dict[str, dict[str, str]]:
    """Return the edge releases in the folders of `$LAB_CHARTS`, each with its charts and their versions."""
    linkerd_releases: dict[str, dict[str, str]] = {}
    for name, entries in charts.build_index(lab_programs.read_own_chart_folders())["entries"].items():
        for entry in entries:
            linkerd_release = str(entry.get("appVersion", ""))
            if linkerd.edge_number(linkerd_release):
                linkerd_releases.setdefault(linkerd_release, {})[name] = entry["version"]
    return dict(sorted(linkerd_releases.items(), key=lambda item: linkerd.edge_number(item[0])))


def list_runnable_edge_releases() -> list[str]:
    """Return the releases with both charts and programs, such as `edge-26.8.3`, the newest last."""
    runnable = {linkerd.read_release(folder) for folder in linkerd.read_named_folders()}
    # Programs without a version match any charts.
    return [
        linkerd_release
        for linkerd_release in list_edge_releases()
        if runnable & {linkerd_release, linkerd.UNDEFINED_VERSION}
    ]


def newest_edge_release() -> str:
    """Return the newest release with both charts and programs."""
    candidates = list_runnable_edge_releases()
    if not candidates:
        releases = [linkerd.read_release(folder) for folder in linkerd.read_named_folders()]
        pytest.fail(
            f"no release is in both: LAB_CHARTS has {list(list_edge_releases())}, LAB_LINKERD has {sorted(releases)}"
        )
    return candidates[-1]


def write_fake_programs(folder: Path, linkerd_release: str, *, controller_release: str | None = None) -> Path:
    """Return a folder with fake programs that print a release and otherwise their arguments."""
    folder = folder / linkerd_release
    folder.mkdir(parents=True)
    for name, option, version in (
        ("linkerd", "--client", linkerd_release),
        ("controller", "-version", controller_release or linkerd_release),
    ):
        file = folder / name
        file.write_text(f'#!/bin/sh\ncase "$2" in {option}) echo {version};; *) echo "$0 $*"; exec sleep 600;; esac\n')
        file.chmod(0o755)
    return folder
