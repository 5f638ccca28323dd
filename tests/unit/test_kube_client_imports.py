"""Imports of the official Kubernetes client, which threads of a provider process request at the same time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mesh.paths import PROJECT_ROOT

PROGRAM = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

sys.setswitchinterval(1e-5)
sys.path.insert(0, ".")
from mesh.kube.client import connect
from mesh.kube.connection import Access

barrier = Barrier(8)

def connect_to(name):
    content = {
        "clusters": [{"name": name, "cluster": {"server": "https://192.0.2.1"}}],
        "users": [{"name": name, "user": {"token": "none"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    access = Access(context=name, kubeconfig=json.dumps(content))
    barrier.wait()
    connect(access)

with ThreadPoolExecutor(8) as threads:
    list(threads.map(connect_to, [f"c{number}" for number in range(8)]))
"""


# Without the lock, about one of four attempts fails.
@pytest.mark.thorough
@pytest.mark.parametrize("attempt", range(6))
def test_concurrent_threads_import_client_without_deadlock(attempt: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert ended.returncode == 0, ended.stderr
