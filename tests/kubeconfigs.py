"""Kubeconfigs for tests: made, not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def write(path: Path, **clusters: dict[str, Any]) -> dict[str, str]:
    """Write a kubeconfig with one context per cluster, and give the environment that names it."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": f"cluster-{name}", "cluster": cluster} for name, cluster in clusters.items()],
        "contexts": [{"name": name, "context": {"cluster": f"cluster-{name}", "user": "someone"}} for name in clusters],
        "users": [{"name": "someone", "user": {"token": "a-secret-that-nobody-prints"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return {"KUBECONFIG": str(path), "HOME": "/nowhere"}
