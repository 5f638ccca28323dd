"""What a program asks for, before providers have had a look at it.

The Kubernetes provider leaves values that only the update will know out of what a preview shows, so that a field that
is still to come looks like one that goes. Pulumi's gRPC log has them. It has secrets in clear as well, so it goes
through a pipe and never onto a disk, and nothing is kept of it but which values are unknown.

Follows https://www.pulumi.com/docs/iac/cli/environment-variables/ (PULUMI_DEBUG_GRPC).
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from policy.planned_resource import UNKNOWN

# Follows https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

_END = b"\nend\n"


class CapturedInputs:
    """The values that a program leaves to the update, by the URNs of its resources."""

    def __init__(self) -> None:
        self._unknown: dict[str, Any] = {}

    def take(self, line: str) -> None:
        """Learn from one line of the log."""
        if "ResourceMonitor/RegisterResource" not in line:
            return
        try:
            entry = json.loads(line)
            urn = entry["response"]["urn"]
            asked = entry["request"].get("object")
        except (ValueError, KeyError, TypeError, AttributeError):
            # A call that has no answer yet, or one of something else that only speaks of this one.
            return
        self._unknown[urn] = _unknown(asked)

    def completed(self, urn: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """A resource's inputs with the sign in place of each value that nobody knows yet."""
        found: dict[str, Any] = _grafted(dict(inputs), self._unknown.get(urn))
        return found

    @contextmanager
    def listening(self, folder: Path) -> Iterator[dict[str, str]]:
        """Learn from a Pulumi that is run inside of this, with the variables that it gives.

        Args:
            folder: where the pipe goes, which nobody else should see into.
        """
        pipe = folder / "grpc"
        os.mkfifo(pipe, 0o600)
        # Open for writing too, because Pulumi opens and closes it for each line.
        descriptor = os.open(pipe, os.O_RDWR)
        reader = threading.Thread(target=self._read, args=(descriptor,), daemon=True)
        reader.start()
        try:
            yield {"PULUMI_DEBUG_GRPC": str(pipe)}
        finally:
            os.write(descriptor, _END)
            reader.join()
            os.close(descriptor)
            pipe.unlink()

    def _read(self, descriptor: int) -> None:
        rest = b""
        while True:
            rest += os.read(descriptor, 2**20)
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line == _END.strip():
                    return
                self.take(line.decode(errors="replace"))


def _unknown(value: Any) -> Any:
    """The part of a value that isn't known, or None."""
    if value == UNKNOWN:
        return UNKNOWN
    if isinstance(value, Mapping):
        signature = value.get(_SIGNATURE)
        if signature == _SECRET:
            return _unknown(value.get("value"))
        if signature == _OUTPUT:
            return _unknown(value["value"]) if "value" in value else UNKNOWN
        found = {key: part for key, item in value.items() if (part := _unknown(item)) is not None}
        return found or None
    if isinstance(value, list):
        parts = [_unknown(item) for item in value]
        return parts if any(part is not None for part in parts) else None
    return None


def _grafted(value: Any, unknown: Any) -> Any:
    if unknown is None:
        return value
    if isinstance(unknown, Mapping):
        found = dict(value) if isinstance(value, Mapping) else {}
        return {**found, **{key: _grafted(found.get(key), part) for key, part in unknown.items()}}
    if isinstance(unknown, list):
        known = value if isinstance(value, list) else []
        return [_grafted(known[number] if number < len(known) else None, part) for number, part in enumerate(unknown)]
    return unknown
