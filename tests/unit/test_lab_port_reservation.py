"""Ports of labs that start at the same time."""

from __future__ import annotations

import subprocess
import sys

from hack.lab import port_reservation
from mesh.paths import PROJECT_ROOT

# Another lab that reserved a port but does not listen on it yet.
OTHER_LAB = "from hack.lab import port_reservation; print(port_reservation.reserve_port(), flush=True); input()"


def test_port_of_running_lab_is_not_reserved_again() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_LAB], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        try:
            assert port_reservation.is_free(port)
            own_port = port_reservation.reserve_port(preferred=port)
            assert own_port != port
        finally:
            other.kill()

    assert port_reservation.reserve_port(preferred=port) == port
    port_reservation.release_port(port)
    port_reservation.release_port(own_port)


def test_released_port_can_be_reserved_again() -> None:
    port = port_reservation.reserve_port()
    port_reservation.release_port(port)

    assert port_reservation.reserve_port(preferred=port) == port
    port_reservation.release_port(port)
