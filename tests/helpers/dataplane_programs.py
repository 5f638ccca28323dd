"""Programs of the lab's data plane, available only in folders that the user configures (docs/lab.md)."""

from __future__ import annotations

import os

import pytest

from hack.lab.dataplane import requirements

NAMED_FOLDERS = os.environ.get(requirements.VARIABLE, "")
"""The value of `$LAB_DATAPLANE`, which conftest.py removes: all other tests need the simulated pods."""

REQUIRES_DATAPLANE = pytest.mark.skipif(
    not NAMED_FOLDERS,
    reason=f"the data plane: {requirements.VARIABLE} names no folder with Linkerd's programs (docs/lab.md)",
)
"""Marker of tests that use the fixture `dataplane_lab`; combined with `lab` in a module's `pytestmark`."""
