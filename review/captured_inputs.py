"""Inputs that the program registers, before a provider changes them.

The Kubernetes provider omits unknown values from a preview, so that a future field looks like a deleted one. Pulumi's
gRPC log contains the unknown values. The log also contains secrets in clear text. So the log is read from a pipe and
never written to disk, and only the paths of unknown values are stored.

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

from mesh.pulumi_constants import OUTPUT_SIGNATURE, SECRET_SIGNATURE, SIGNATURE_KEY, UNKNOWN_VALUE

_END = b"\nend\n"


class CapturedInputs:
    """Inputs that are unknown until the update, by the URN of the resource."""

    def __init__(self) -> None:
        self._unknown: dict[str, Any] = {}

    def add_log_line(self, line: str) -> None:
        """Store the unknown inputs of one line of the gRPC log."""
        if "ResourceMonitor/RegisterResource" not in line:
            return
        try:
            entry = json.loads(line)
            urn = entry["response"]["urn"]
            inputs = entry["request"].get("object")
        except (ValueError, KeyError, TypeError, AttributeError):
            # The call has no response yet, or another call only contains the name of this one.
            return
        self._unknown[urn] = _extract_unknown(inputs)

    def add_unknowns(self, urn: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of a resource with `UNKNOWN_VALUE` in place of each unknown value."""
        merged: dict[str, Any] = _merge(dict(inputs), self._unknown.get(urn))
        return merged

    @contextmanager
    def capture(self, folder: Path) -> Iterator[dict[str, str]]:
        """Capture the inputs of a Pulumi command that runs inside the context.

        Args:
            folder: folder of the pipe; other users must not have access to it.

        Yields:
            The environment variables for the command.
        """
        pipe = folder / "grpc"
        os.mkfifo(pipe, 0o600)
        # Open for writing too: Pulumi opens and closes the pipe for each line, which would end the reader's input.
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
                self.add_log_line(line.decode(errors="replace"))


def _extract_unknown(value: Any) -> Any:
    """Return the unknown part of a value, or None if all of it is known."""
    if value == UNKNOWN_VALUE:
        return UNKNOWN_VALUE
    if isinstance(value, Mapping):
        signature = value.get(SIGNATURE_KEY)
        if signature == SECRET_SIGNATURE:
            return _extract_unknown(value.get("value"))
        if signature == OUTPUT_SIGNATURE:
            return _extract_unknown(value["value"]) if "value" in value else UNKNOWN_VALUE
        parts = {key: part for key, item in value.items() if (part := _extract_unknown(item)) is not None}
        return parts or None
    if isinstance(value, list):
        items = [_extract_unknown(item) for item in value]
        return items if any(item is not None for item in items) else None
    return None


def _merge(value: Any, unknown: Any) -> Any:
    if unknown is None:
        return value
    if isinstance(unknown, Mapping):
        known = dict(value) if isinstance(value, Mapping) else {}
        return {**known, **{key: _merge(known.get(key), part) for key, part in unknown.items()}}
    if isinstance(unknown, list):
        items = value if isinstance(value, list) else []
        return [_merge(items[number] if number < len(items) else None, part) for number, part in enumerate(unknown)]
    return unknown
