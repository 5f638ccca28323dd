"""Kubeconfigs for tests, generated in each run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TOKEN = "a-secret-that-nobody-prints"


def build_kubeconfig(
    clusters: dict[str, dict[str, Any]], current: str | None = None, user: dict[str, Any] | None = None
) -> str:
    """Return a kubeconfig with one context per cluster, by the context's name."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": f"cluster-{name}", "cluster": cluster} for name, cluster in clusters.items()],
        "contexts": [{"name": name, "context": {"cluster": f"cluster-{name}", "user": "someone"}} for name in clusters],
        "users": [{"name": "someone", "user": user or {"token": TOKEN}}],
    }
    return yaml.safe_dump(content | ({"current-context": current} if current else {}))


def write_kubeconfig(path: Path, **clusters: dict[str, Any]) -> dict[str, str]:
    """Write a kubeconfig with one context per cluster, and return an environment that names it."""
    path.write_text(build_kubeconfig(clusters))
    return {"KUBECONFIG": str(path), "HOME": "/nowhere"}
