"""Builds, once per machine, the programs that a machine without them needs: Pulumi's engine and plugins, and the lab's.

Everything here runs on the standard library of Python 3.11, because it is what makes the rest installable. Where a
suitable Pulumi is on PATH, none of the engine's parts is needed.
"""

from hack.toolchain.cache import NotInstalled, installed

__all__ = ["NotInstalled", "installed"]
