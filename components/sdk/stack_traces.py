"""Stack traces of Pulumi's Python SDK.

The SDK sends the Python stack of each resource, and the engine writes it into the stack state. No tool reads it there.
A quarter of the state of two clusters was stack traces, with paths of the machine. A file or a bucket is written the
whole state two or three times per changed resource.
"""

from __future__ import annotations

from pulumi.runtime import resource
from pulumi.runtime.proto import source_pb2


def disable_stack_traces() -> None:
    """Send empty stack traces."""
    resource._get_stack_trace = source_pb2.StackTrace
