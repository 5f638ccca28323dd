"""Ports of labs that start at the same time."""

from __future__ import annotations

import subprocess
import sys

from hack.lab import ports
from mesh.paths import PROJECT_ROOT

# Another lab that reserved a port but does not listen on it yet.
OTHER_LAB = "from hack.lab import ports; print(ports.reserve_port(), flush=True); input()"


def test_port_of_running_lab_is_not_reserved_again() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_LAB], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        try:
            assert ports.is_free(port)
            own_port = ports.reserve_port(preferred=port)
            assert own_port != port
        finally:
            other.kill()

    assert ports.reserve_port(preferred=port) == port
    ports.release_port(port)
    ports.release_port(own_port)


def test_released_port_can_be_reserved_again() -> None:
    port = ports.reserve_port()
    ports.release_port(port)

    assert ports.reserve_port(preferred=port) == port
    ports.release_port(port)
