"""What a process imports: each preview waits for it."""

from __future__ import annotations

import subprocess
import sys

from mesh.paths import PROJECT_ROOT

# Pulumi imports this module into a process of its own, once per command that changes the stack.
DYNAMIC = "components.dynamic_providers"


def test_the_process_of_dynamic_resources_imports_nothing_of_the_rest_of_the_program() -> None:
    program = f"import sys; sys.path.insert(0, '.'); import {DYNAMIC}; print(*sys.modules, sep='\\n')"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    loaded = set(ended.stdout.split())
    assert "components.dynamic_providers" in loaded
    assert not {"mesh.config", "pydantic", "pulumi_kubernetes", "kubernetes", "mesh.preflight"} & loaded
