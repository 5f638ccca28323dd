"""Small previews in Pulumi's output format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mesh.pulumi_constants import KUBERNETES_PROVIDER_TYPE
from review import preview
from review.preview import Preview

_URN = "urn:pulumi:dev::multicluster-mesh::"


def resource_urn(kind: str, name: str) -> str:
    """Return the URN of a resource."""
    return f"{_URN}{kind}::{name}"


def provider_reference(cluster: str) -> str:
    """Return the reference to a cluster's provider."""
    return f"{resource_urn(KUBERNETES_PROVIDER_TYPE, cluster)}::0e8c1a1e"


def preview_step(
    operation: str,
    kind: str,
    name: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    *,
    cluster: str | None = "west",
    changed: Sequence[str] = (),
    dependencies: Sequence[str] = (),
    outputs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one step of a preview.

    Args:
        operation: Pulumi's name of the operation.
        kind: type of the resource.
        name: name of the resource.
        before: current inputs.
        after: planned inputs.
        cluster: cluster of the resource.
        changed: paths that Pulumi reports as different.
        dependencies: URNs of the dependencies.
        outputs: current outputs.
    """
    step_json: dict[str, Any] = {"op": operation, "urn": resource_urn(kind, name)}
    for side, inputs in (("oldState", before), ("newState", after)):
        if inputs is not None:
            step_json[side] = {
                "type": kind,
                "inputs": inputs,
                "outputs": outputs or {},
                "dependencies": list(dependencies),
            }
            if cluster is not None:
                step_json[side]["provider"] = provider_reference(cluster)
    if changed:
        step_json["detailedDiff"] = {path: {"kind": "update", "inputDiff": True} for path in changed}
    return step_json


def build_preview(*steps: Mapping[str, Any], diagnostics: Sequence[Mapping[str, str]] = ()) -> Preview:
    """Return a preview with these steps."""
    return preview.parse_preview(json.dumps({"steps": list(steps), "diagnostics": list(diagnostics)}))


def release_inputs(version: str = "1.0.0", **values: Any) -> dict[str, Any]:
    """Return the inputs of a Helm release."""
    return {
        "name": "shop",
        "namespace": "shops",
        "chart": "shop",
        "version": version,
        "disableWebhooks": True,
        "repositoryOpts": {"repo": "https://charts.example.com"},
        "values": values,
    }


def deployment_manifest(name: str = "shop", image: str = "example.com/shop:1", replicas: int = 1) -> dict[str, Any]:
    """Return the manifest of a Deployment."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shops"},
        "spec": {
            "replicas": replicas,
            "template": {"spec": {"containers": [{"name": "web", "image": image}]}},
        },
    }


def crd_manifest(kind: str = "Cup", version: str = "v1") -> dict[str, Any]:
    """Return the manifest of a CustomResourceDefinition."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version, "served": True}],
        },
    }
