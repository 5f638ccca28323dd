"""Debug messages of Pulumi's SDK, which nobody hears but who runs `pulumi --debug`.

For each resource the SDK sends five of them or six, each a call to the engine that keeps the whole program waiting, and
the engine throws them away. A program isn't told whether anybody listens. With hundreds of clusters they were half of
the time. What the engine and the providers say with `--debug` stays, as do all other messages.
"""

from __future__ import annotations

from typing import Any

import pulumi


def disable_sdk_debug_log() -> None:
    """Send no debug messages."""
    pulumi.log.debug = _discard


def _discard(msg: str, *_: Any, **__: Any) -> None:
    pass
