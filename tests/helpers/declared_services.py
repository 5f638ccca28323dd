"""Runs of the program with Services that clusters seem to have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh import preflight
from mesh.service_facts import ClusterFacts, LivePort, LiveService
from tests.helpers.mock_engine import Recorder, record_run

RunWithServices = Callable[..., Recorder]


def live_service(
    *ports: int | tuple[str, int], app_protocol: str = "", selector: Mapping[str, str] | None = None
) -> LiveService:
    """Return a Service.

    Args:
        ports: its ports, with their names if it has several.
        app_protocol: protocol of the ports.
        selector: labels of its pods.
    """
    all_ports = [("", port) if isinstance(port, int) else port for port in ports]
    return LiveService(
        ports=tuple(LivePort(name=name, port=port, target=port, app_protocol=app_protocol) for name, port in all_ports),
        selector={"app": "cart"} if selector is None else selector,
        labels={},
    )


@pytest.fixture
def run_with_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunWithServices:
    """Return a function that runs the program with facts about the clusters."""

    def run_program(
        config: Mapping[str, Any],
        services: Mapping[tuple[str, str, str], LiveService],
        namespaces: Iterable[tuple[str, str]] = (),
        state: Recorder | None = None,
    ) -> Recorder:
        facts = ClusterFacts(uids={}, services=dict(services), namespaces=dict.fromkeys(namespaces, "uid"))
        resources = state.to_state_resources() if state is not None else []
        with monkeypatch.context() as patch:
            patch.setattr(preflight, "check_stack", lambda *_, **__: facts)
            return record_run(dict(config), [], tmp_path / "kubeconfig", patch, resources)

    return run_program
