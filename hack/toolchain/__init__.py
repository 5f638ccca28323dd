"""Toolchain: builds Pulumi's engine and plugins, and the programs of the lab, once per machine.

This package needs only the standard library of Python 3.11, because it runs before anything else is installed. Pulumi
is not built if a suitable one is on PATH.
"""

from hack.toolchain.cache import NotInstalledError, installed

__all__ = ["NotInstalledError", "installed"]
