"""What a stack has made of kinds that CRDs define, held against those CRDs once more, as strictly as can be."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.helpers.lab_stack import LabStack

# Of the kinds that samples and extensions are made of.
API_GROUPS = ("split.smi-spec.io", "gateway.networking.k8s.io", "policy.linkerd.io", "linkerd.io", "metallb.io")


def list_custom_objects(deployment: LabStack) -> list[dict[str, Any]]:
    """The objects of those kinds in a stack's state, as they were asked for, each with its `context`."""
    resources = json.loads(deployment.state)["checkpoint"]["latest"]["resources"]
    found = []
    for resource in resources:
        inputs = resource.get("inputs", {})
        if str(inputs.get("apiVersion", "")).partition("/")[0] in API_GROUPS and "spec" in inputs:
            cluster = resource["provider"].split("::")[-2]
            keys = {key: inputs[key] for key in ("apiVersion", "kind", "metadata", "spec")}
            found.append({**keys, "context": deployment.contexts[cluster]})
    return found


def dry_run_error(deployment: LabStack, item: dict[str, Any]) -> str:
    """What the API server says against an object, fields that it doesn't know included; nothing if it takes it."""
    plain = {key: value for key, value in item.items() if key != "context"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "object.json"
        file.write_text(json.dumps(plain))
        ended = deployment.run(
            *("kubectl", "--context", item["context"], "apply", "--server-side", "--force-conflicts"),
            *("--field-manager=test", "--dry-run=server", "--validate=strict", "-f", str(file)),
            check=False,
        )
    return "" if ended.returncode == 0 else ended.stderr
