"""Access of viz to the metrics of proxies, compared with `linkerd viz allow-scrapes` of each available release."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers.declared_services import RunWithServices, run_with_services
from tests.helpers.linkerd_clis import list_clis

__all__ = ["run_with_services"]

pytestmark = pytest.mark.lab(minutes=0.1)

STACK = {
    "clusters": {"west": {}},
    "linkerd": {"version": "2.14.10"},
    "extensions": {"viz": True},
    "namespaces": {"billing": {"create": True, "defaultInboundPolicy": "deny"}},
}


def test_objects_equal_those_of_cli(run_with_services: RunWithServices) -> None:
    recorder = run_with_services(STACK, {})
    objects = {
        (each["kind"], each["metadata"]["name"]): each["spec"]
        for kind in (":Server", ":HTTPRoute", ":AuthorizationPolicy")
        for name, each in recorder.inputs_of(kind).items()
        if name.startswith("west-billing-proxy-metrics-")
    }

    for release, program in list_clis().items():
        command: list[str | Path] = [
            program,
            "viz",
            "allow-scrapes",
            "--namespace",
            "billing",
            "--viz-namespace",
            "linkerd-viz",
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        expected = {
            (each["kind"], each["metadata"]["name"]): each["spec"] for each in yaml.safe_load_all(output) if each
        }
        assert objects == expected, release
