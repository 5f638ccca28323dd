"""SIGINT in child processes, if the shell ignores it for background jobs.

Pulumi stops its plugins by SIGINT, and waits five seconds for a plugin that ignores the signal. Each command would take
five seconds longer.
"""

from __future__ import annotations

import signal
import types


def restore_sigint_for_children() -> None:
    """Restore the default action of SIGINT in the programs that this process starts; this process ignores SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A child process inherits an ignored signal, but no handler.
        signal.signal(signal.SIGINT, _ignore)


def _ignore(number: int, frame: types.FrameType | None) -> None:
    pass
