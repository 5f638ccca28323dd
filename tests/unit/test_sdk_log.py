"""Messages of Pulumi's SDK that reach the engine."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pulumi.runtime.proto import engine_pb2
from pulumi.runtime.settings import SETTINGS

from components.sdk import sdk_log


class LogEngine:
    """Engine that stores the messages it receives."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, str]] = []

    def Log(self, request: Any) -> None:
        self.messages.append((request.severity, request.message))


def test_debug_messages_are_dropped_and_others_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LogEngine()
    monkeypatch.setattr(SETTINGS, "engine", engine)
    monkeypatch.setattr(pulumi.log, "debug", pulumi.log.debug)  # restored after the test

    sdk_log.disable_sdk_debug_log()
    pulumi.log.debug("registering", stream_id=1)
    pulumi.log.info("an info")
    pulumi.log.warn("a warning")
    pulumi.log.error("an error")

    assert engine.messages == [
        (engine_pb2.INFO, "an info"),
        (engine_pb2.WARNING, "a warning"),
        (engine_pb2.ERROR, "an error"),
    ]
