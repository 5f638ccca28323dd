"""What each way to a mesh does."""

from __future__ import annotations

from typing import Protocol


class Contender(Protocol):
    """One way to make a mesh on the lab, and to take it away."""

    @property
    def name(self) -> str:
        """How results call it."""

    def up(self) -> None:
        """Make the mesh; to be done when the commands of this way are."""

    def down(self) -> None:
        """Take it away, likewise."""

    def before_checks(self) -> None:
        """Do, off the clock, what the lab can't do for this way, so that Linkerd's checks can pass."""
