"""Planned resources for tests of the policy rules."""

from __future__ import annotations

from typing import Any

from policy import PlannedResource, Violation, find_violations
from policy.planned_resource import SECRET
from tests.helpers.mock_engine import Recorder

# Key and value by which Pulumi marks a secret in inputs.
_MARK, _IS_SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


def planned_resource(kind: str, name: str = "one", provider: str = "", **properties: Any) -> PlannedResource:
    """Return a planned resource of a stack."""
    urn = f"urn:pulumi:prod::mesh::multicluster-mesh:index:Parent${kind}::{name}"
    return PlannedResource(urn=urn, type=kind, properties=properties, provider=provider)


def planned_release(values: Any, chart: str = "./charts/some", **properties: Any) -> PlannedResource:
    """Return a planned Helm release with these values."""
    return planned_resource("kubernetes:helm.sh/v3:Release", chart=chart, values=values, **properties)


def broken_rules(*resources: PlannedResource) -> list[tuple[str, str]]:
    """Return rule and path of each violation."""
    return [(violation.rule, violation.path) for violation in check_resources(*resources)]


def check_resources(*resources: PlannedResource) -> list[Violation]:
    """Return the violations of resources."""
    return find_violations(resources)


def to_planned_resources(recorder: Recorder) -> list[PlannedResource]:
    """Return the recorded resources of a run in the form of a preview."""
    inputs = {(registration.typ, registration.name): registration.inputs for registration in recorder.resources}
    return [
        PlannedResource(
            urn=registration.urn,
            type=registration.type,
            properties=_mask(inputs.get((registration.type, registration.name), {})),
            provider=registration.provider,
        )
        for registration in recorder.monitor.registrations
    ]


def _mask(value: Any) -> Any:
    if isinstance(value, dict):
        return SECRET if value.get(_MARK) == _IS_SECRET else {key: _mask(item) for key, item in value.items()}
    return [_mask(item) for item in value] if isinstance(value, list) else value
