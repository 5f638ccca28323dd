"""An API server that dies, or its etcd, and one that hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from hack.lab.state_dir import StateDir
from tests.helpers.lab_stack import comes_true

# Seconds for the lab to start one again.
_BACK_WITHIN = 60


@contextmanager
def killed(lab: StateDir, context: str, name: str = "kube-apiserver") -> Iterator[None]:
    """It dies on entering, and the lab starts it again at once."""
    _process(lab, context, name).kill()
    yield
    assert comes_true(lambda: bool(lab.read_status()["clusters"][context]["ready"]), _BACK_WITHIN)


@contextmanager
def hanging(lab: StateDir, context: str, seconds: float) -> Iterator[None]:
    """It takes connections, and answers nothing; for so long, or until this is left."""
    process = _process(lab, context, "kube-apiserver")
    process.suspend()
    waking = threading.Timer(seconds, process.resume)
    waking.start()
    try:
        yield
    finally:
        waking.cancel()
        waking.join()
        process.resume()


def _process(lab: StateDir, context: str, name: str) -> psutil.Process:
    processes = lab.read_status()["clusters"][context]["processes"]
    (pid,) = (found["pid"] for found in processes if found["name"] == name)
    return psutil.Process(pid)
