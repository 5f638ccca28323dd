"""Stages of kwok in the lab."""

from __future__ import annotations

from hack.lab import kwok


def test_delay_applies_only_to_ready_pods() -> None:
    other = {"metadata": {"name": "pod-delete"}, "spec": {"next": {"delete": True}}}
    ready = {"metadata": {"name": "pod-ready"}, "spec": {"next": {}}}

    assert kwok.with_ready_delay(other) == other
    assert kwok.with_ready_delay(ready)["spec"] == {
        "next": {},
        "delay": {
            "durationMilliseconds": 0,
            "durationFrom": {"expressionFrom": '.metadata.annotations["pod-ready.stage.kwok.x-k8s.io/delay"]'},
        },
    }
