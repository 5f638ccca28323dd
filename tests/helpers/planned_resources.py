"""Planned resources for tests of the policy rules."""

from __future__ import annotations

from typing import Any

from mesh.pulumi_constants import HELM_RELEASE_TYPE, SECRET_SIGNATURE, SIGNATURE_KEY
from mesh.redaction import SECRET
from policy import PlannedResource, Violation, find_violations
from tests.helpers.mock_engine import Recorder


def planned_resource(kind: str, name: str = "one", provider: str = "", **properties: Any) -> PlannedResource:
    """Return a planned resource of a stack."""
    urn = f"urn:pulumi:prod::mesh::multicluster-mesh:index:Parent${kind}::{name}"
    return PlannedResource(urn=urn, type=kind, properties=properties, provider=provider)


def planned_release(values: Any, chart: str = "./charts/some", **properties: Any) -> PlannedResource:
    """Return a planned Helm release with these values."""
    return planned_resource(HELM_RELEASE_TYPE, chart=chart, values=values, **properties)


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
        if value.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return SECRET
        return {key: _mask(item) for key, item in value.items()}
    return [_mask(item) for item in value] if isinstance(value, list) else value
