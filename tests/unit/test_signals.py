"""Commands that are started in the background, where SIGINT is ignored."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from mesh.paths import PROJECT_ROOT

# Starts a program, which then tells what it does with SIGINT, and ends by whether it is itself ended by one.
_PROGRAM = """
import os, signal, subprocess, sys
{begin}
asked = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"]
subprocess.run(asked, check=True)
os.kill(os.getpid(), signal.SIGINT)
print("goes on")
"""


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        ("", ["True", "goes on"]),
        ("from hack.make import signals; signals.restore_sigint_for_children()", ["False", "goes on"]),
    ],
)
def test_children_of_background_command_handle_sigint(begin: str, expected: list[str]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", _PROGRAM.format(begin=begin)],
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    printed, _ = process.communicate(timeout=30)

    assert printed.split("\n")[:-1] == expected
