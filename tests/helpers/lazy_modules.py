"""Lazy loading of Pulumi's SDK modules in tests."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pulumi import _utils


def keep_modules_lazy() -> None:
    """Return names and files of lazy modules without loading the modules.

    Hypothesis, Pydantic and `inspect` read these attributes of every imported module. This would load hundreds of
    unused modules and take more than a second, partly within the first test that draws a value.
    """
    lazy = getattr(_utils, "_LazyModule", None)
    if lazy is None:
        return  # in another release of Pulumi; the tests only take longer
    load = lazy.__getattribute__

    def attribute(module: ModuleType, name: str) -> Any:
        is_metadata = name in ("__file__", "__name__", "__loader__", "__spec__")
        return ModuleType.__getattribute__(module, name) if is_metadata else load(module, name)

    lazy.__getattribute__ = attribute
