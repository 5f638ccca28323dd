"""SIGINT, where a shell has ignored it for what it started in the background, and for all that this starts in turn.

Pulumi ends its plugins by SIGINT, and waits five seconds for those that ignore it: each command would take that longer.
"""

from __future__ import annotations

import signal
import types


def restore_sigint_for_children() -> None:
    """Have the programs that this process starts heed SIGINT. It ignores it itself, if it did."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # What a program starts inherits that a signal is ignored, but no handler.
        signal.signal(signal.SIGINT, _pass_over)


def _pass_over(number: int, frame: types.FrameType | None) -> None:
    pass
