"""Stack traces that Pulumi's SDK sends to the engine."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, resource, set_mocks
from pulumi.runtime.mocks import MockMonitor

from components.sdk import stack_traces


class AnyResource(Mocks):
    """Mocks that create every resource."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return args.name, {}

    def call(self, _args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None


class TraceMonitor(MockMonitor):
    """Mock monitor that stores the number of stack frames per request."""

    def __init__(self) -> None:
        super().__init__(AnyResource())
        self.frames: list[int] = []

    def RegisterResource(self, request: Any) -> Any:
        self.frames.append(len(request.stackTrace.frames))
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def test_resources_are_registered_without_stack_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "_get_stack_trace", resource._get_stack_trace)  # restored after the test
    monitor = TraceMonitor()
    stack_traces.disable_stack_traces()
    set_mocks(AnyResource(), monitor=monitor)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        pulumi.ComponentResource("test:index:Thing", "thing")

    program()

    assert len(monitor.frames) > 0
    assert set(monitor.frames) == {0}
