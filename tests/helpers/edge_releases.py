"""Linkerd's edge releases, which a run of the tests has only where a person names folders with them (docs/lab.md)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hack.lab import charts, linkerd
from hack.lab import programs as lab_programs

REQUIRES_EDGE_RELEASES = pytest.mark.skipif(
    not (os.environ.get("LAB_CHARTS") and os.environ.get(linkerd.VARIABLE)),
    reason="Linkerd's edge releases: LAB_CHARTS and LAB_LINKERD name no folders with them (docs/lab.md)",
)
"""Marks tests of an edge release; as a module's `pytestmark` it stands in a list, beside `lab`."""


def list_edge_releases() -> dict[str, dict[str, str]]:
    """The edge releases in the folders of `$LAB_CHARTS`: for each its charts, and their versions."""
    found: dict[str, dict[str, str]] = {}
    for name, entries in charts.build_index(lab_programs.own_chart_folders())["entries"].items():
        for entry in entries:
            release = str(entry.get("appVersion", ""))
            if linkerd.edge_number(release):
                found.setdefault(release, {})[name] = entry["version"]
    return dict(sorted(found.items(), key=lambda item: linkerd.edge_number(item[0])))


def newest_edge_release() -> str:
    """The newest one of which there are charts and programs, such as `edge-26.8.3`."""
    runnable = {linkerd.read_release(folder) for folder in linkerd.read_named_folders()}
    # Programs that don't say what they are, are of whatever the charts are.
    both = [release for release in list_edge_releases() if runnable & {release, linkerd.UNDEFINED_VERSION}]
    if not both:
        pytest.fail(
            f"no release is in both: LAB_CHARTS has {list(list_edge_releases())}, LAB_LINKERD has {sorted(runnable)}"
        )
    return both[-1]


def write_fake_programs(folder: Path, release: str, *, of_controller: str | None = None) -> Path:
    """A folder with programs that say that they are of a release, and do nothing else but print their arguments."""
    folder = folder / release
    folder.mkdir(parents=True)
    for name, option, said in (("linkerd", "--client", release), ("controller", "-version", of_controller or release)):
        file = folder / name
        file.write_text(f'#!/bin/sh\ncase "$2" in {option}) echo {said};; *) echo "$0 $*"; exec sleep 600;; esac\n')
        file.chmod(0o755)
    return folder
