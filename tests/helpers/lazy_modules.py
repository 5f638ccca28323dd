"""Pulumi's SDKs in tests: their modules are loaded when something in them is used, and for nothing less."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pulumi import _utils


def keep_modules_lazy() -> None:
    """Let lazy modules tell their names and files without being loaded.

    Hypothesis, Pydantic and `inspect` ask every module that is imported for them, time and again. Hundreds of modules
    that no test needs would be loaded by that, for more than a second, some of it within the first test that draws a
    value.
    """
    lazy = getattr(_utils, "_LazyModule", None)
    if lazy is None:
        return  # another release of Pulumi; the tests only take longer
    load = lazy.__getattribute__

    def attribute(module: ModuleType, name: str) -> Any:
        told = name in ("__file__", "__name__", "__loader__", "__spec__")
        return ModuleType.__getattribute__(module, name) if told else load(module, name)

    lazy.__getattribute__ = attribute
