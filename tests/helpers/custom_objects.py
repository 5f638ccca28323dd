"""Custom objects of a stack, and their strict validation against the CRDs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.helpers.stack_under_test import StackUnderTest

# API groups of the custom objects in samples and extensions.
API_GROUPS = ("split.smi-spec.io", "gateway.networking.k8s.io", "policy.linkerd.io", "linkerd.io", "metallb.io")


def list_custom_objects(lab_stack: StackUnderTest) -> list[dict[str, Any]]:
    """Return the custom objects in the stack state as they were requested, each with its `context`."""
    resources = json.loads(lab_stack.state)["checkpoint"]["latest"]["resources"]
    objects = []
    for resource in resources:
        inputs = resource.get("inputs", {})
        if str(inputs.get("apiVersion", "")).partition("/")[0] in API_GROUPS and "spec" in inputs:
            cluster = resource["provider"].split("::")[-2]
            keys = {key: inputs[key] for key in ("apiVersion", "kind", "metadata", "spec")}
            objects.append({**keys, "context": lab_stack.contexts[cluster]})
    return objects


def dry_run_error(lab_stack: StackUnderTest, item: dict[str, Any]) -> str:
    """Return the API server's error for a strict dry run of an object, or an empty text.

    Unknown fields are errors too.
    """
    manifest = {key: value for key, value in item.items() if key != "context"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "object.json"
        file.write_text(json.dumps(manifest))
        result = lab_stack.run(
            *("kubectl", "--context", item["context"], "apply", "--server-side", "--force-conflicts"),
            *("--field-manager=test", "--dry-run=server", "--validate=strict", "-f", str(file)),
            check=False,
        )
    return "" if result.returncode == 0 else result.stderr
