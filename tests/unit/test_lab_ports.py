"""Ports of labs that start at the same time."""

from __future__ import annotations

import subprocess
import sys

from hack.lab import ports
from mesh.paths import PROJECT_ROOT

# Another lab, which has been given a port and doesn't listen on it yet.
OTHER = "from hack.lab import ports; print(ports.choose(), flush=True); input()"


def test_a_port_that_another_lab_has_been_given_is_not_given_again_until_that_one_ends() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        try:
            assert ports.is_free(port)
            mine = ports.choose(preferred=port)
            assert mine != port
        finally:
            other.kill()

    assert ports.choose(preferred=port) == port
    ports.release(port)
    ports.release(mine)


def test_a_port_that_is_released_can_be_given_again() -> None:
    port = ports.choose()
    ports.release(port)

    assert ports.choose(preferred=port) == port
    ports.release(port)
