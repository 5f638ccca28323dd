"""Become another program that can't outlive the process that started it. Run as a script, so that it starts fast.

    python -I -S launch.py <pid of the starter> <program> <argument>…

The kernel's "kill me when my parent dies" survives exec, and is the only thing that works against `kill -9` of the
parent. It exists on Linux; elsewhere `stop` finds what is left by its recorded pid and start time.
"""

import os
import sys

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def main() -> None:
    """Arrange for death, then exec."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        # The parent may have died before the line above: then nobody will tell us.
        if os.getppid() != parent:
            sys.exit("the process that started this one is gone")
    os.execv(program, sys.argv[2:])


if __name__ == "__main__":
    main()
