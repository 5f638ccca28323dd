"""SIGINT in children of commands that a shell started in the background."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from mesh.paths import PROJECT_ROOT

# The child prints whether it ignores SIGINT. The parent then sends itself one and prints if it survives.
_PROGRAM = """
import os, signal, subprocess, sys
{preamble}
child = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"]
subprocess.run(child, check=True)
os.kill(os.getpid(), signal.SIGINT)
print("survives")
"""


@pytest.mark.parametrize(
    ("preamble", "expected"),
    [
        ("", ["True", "survives"]),
        ("from hack.make import signals; signals.restore_sigint_for_children()", ["False", "survives"]),
    ],
    ids=["without-restore", "with-restore"],
)
def test_children_of_background_command_handle_sigint(preamble: str, expected: list[str]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", _PROGRAM.format(preamble=preamble)],
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    output, _ = process.communicate(timeout=30)

    assert output.split("\n")[:-1] == expected
