"""What a process imports: each preview waits for it."""

from __future__ import annotations

import subprocess
import sys

from mesh.paths import PROJECT_ROOT

# The modules with dynamic resources, of which Pulumi imports those of the state into a process of their own.
DYNAMIC = (
    "components.linkerd.mirror_cleanup, components.workloads.export_cleanup, components.helm.retained_crds, "
    "components.helm.release_drift, components.linkerd.dashboard_user"
)


def test_the_process_of_dynamic_resources_imports_nothing_of_the_rest_of_the_program() -> None:
    program = f"import sys; sys.path.insert(0, '.'); import {DYNAMIC}; print(*sys.modules, sep='\\n')"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    loaded = set(ended.stdout.split())
    assert "components.linkerd.mirror_cleanup" in loaded
    assert not {"mesh.config", "pydantic", "pulumi_kubernetes", "kubernetes", "mesh.preflight"} & loaded
