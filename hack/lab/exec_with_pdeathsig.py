"""Script that replaces itself with a program that cannot outlive the process that started it.

    python -I -S exec_with_pdeathsig.py <pid of the parent> <program> <argument>…

Linux' PR_SET_PDEATHSIG survives exec, and only it works after `kill -9` of the parent. On other systems `stop` finds
remaining processes by their recorded pid and start time. This is a script and not a module, so that it starts fast.
"""

import os
import sys

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def main() -> None:
    """Set the parent-death signal, then execute the program."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        # No signal is sent if the parent has died before the call above.
        if os.getppid() != parent:
            sys.exit("the parent process has ended")
    os.execv(program, sys.argv[2:])


if __name__ == "__main__":
    main()
