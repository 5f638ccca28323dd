"""Faults of a lab cluster: a killed API server or etcd, and a suspended API server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from hack.lab.state_dir import StateDir
from tests.helpers.stack_under_test import wait_until

_RESTART_TIMEOUT_S = 60


@contextmanager
def kill_component(lab: StateDir, context: str, name: str = "kube-apiserver") -> Iterator[None]:
    """Kill a process of a cluster on entry; the lab restarts the process."""
    _find_process(lab, context, name).kill()
    yield
    assert wait_until(lambda: bool(lab.read_status()["clusters"][context]["ready"]), _RESTART_TIMEOUT_S)


@contextmanager
def suspend_api_server(lab: StateDir, context: str, duration_s: float) -> Iterator[None]:
    """Suspend an API server, so that it accepts connections without answering.

    Args:
        lab: the lab.
        context: context of the cluster.
        duration_s: longest suspension; it ends earlier on exit.
    """
    process = _find_process(lab, context, "kube-apiserver")
    process.suspend()
    timer = threading.Timer(duration_s, process.resume)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        process.resume()


def _find_process(lab: StateDir, context: str, name: str) -> psutil.Process:
    processes = lab.read_status()["clusters"][context]["processes"]
    (pid,) = (process["pid"] for process in processes if process["name"] == name)
    return psutil.Process(pid)
