"""Interface of the compared tools."""

from __future__ import annotations

from typing import Protocol

# This project's program in the results.
PROGRAM_NAME = "this program"


class Contender(Protocol):
    """A tool that creates a mesh on the lab, and deletes it."""

    @property
    def name(self) -> str:
        """Return the name in the results."""

    def up(self) -> None:
        """Create the mesh; return when the commands have ended."""

    def down(self) -> None:
        """Delete the mesh; return when the commands have ended."""

    def before_checks(self) -> None:
        """Prepare Linkerd's checks outside the measured time, where the lab's pods cannot do it."""
