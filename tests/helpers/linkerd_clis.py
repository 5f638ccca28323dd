"""Linkerd's CLI of each release that this machine has."""

from __future__ import annotations

from pathlib import Path

from hack import toolchain
from hack.lab import linkerd
from hack.lab.programs import LINKERD_RELEASES


def list_clis() -> dict[str, Path]:
    """Return the CLIs of the toolchain and of the user's folders, by Linkerd release."""
    own = {release: toolchain.installed(f"linkerd-{release}") / "bin" / "linkerd" for release in LINKERD_RELEASES}
    folders = linkerd.read_named_folders()
    return {
        **{release: program for release, program in own.items() if program.is_file()},
        **{linkerd.read_release(folder): folder / linkerd.CLI for folder in folders},
    }
