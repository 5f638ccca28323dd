"""Debug log of Pulumi's Python SDK.

The SDK sends five or six debug messages per resource. Each is an RPC that blocks the whole program. Without `--debug`
the engine discards them, but the program cannot detect that. With hundreds of clusters, they took half of the time.
Debug messages of the engine and of the providers are not affected.
"""

from __future__ import annotations

from typing import Any

import pulumi


def disable_sdk_debug_log() -> None:
    """Discard all debug messages of the SDK."""
    pulumi.log.debug = _discard


def _discard(msg: str, *_: Any, **__: Any) -> None:
    pass
