"""Paths of this project."""

from __future__ import annotations

from pathlib import Path

PROJECT_ROOT = Path(__file__).absolute().parents[1]
