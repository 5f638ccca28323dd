"""An API server that dies, or its etcd, and one that hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from hack.lab.state_dir import StateDir
from tests.helpers.lab_stack import wait_until

# Seconds for the lab to start one again.
_RESTART_TIMEOUT_S = 60


@contextmanager
def kill_component(lab: StateDir, context: str, name: str = "kube-apiserver") -> Iterator[None]:
    """It dies on entering, and the lab starts it again at once."""
    _find_process(lab, context, name).kill()
    yield
    assert wait_until(lambda: bool(lab.read_status()["clusters"][context]["ready"]), _RESTART_TIMEOUT_S)


@contextmanager
def suspend_api_server(lab: StateDir, context: str, seconds: float) -> Iterator[None]:
    """It takes connections, and answers nothing; for so long, or until this is left."""
    process = _find_process(lab, context, "kube-apiserver")
    process.suspend()
    waking = threading.Timer(seconds, process.resume)
    waking.start()
    try:
        yield
    finally:
        waking.cancel()
        waking.join()
        process.resume()


def _find_process(lab: StateDir, context: str, name: str) -> psutil.Process:
    processes = lab.read_status()["clusters"][context]["processes"]
    (pid,) = (found["pid"] for found in processes if found["name"] == name)
    return psutil.Process(pid)
