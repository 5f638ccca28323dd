"""Objects of a release's manifest."""

from __future__ import annotations

import pytest

from mesh.helm.manifest import find_objects, manifest_objects
from mesh.strict_yaml import StrictYamlError

CRD = """# Source: charts/crds.yaml
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: links.example.com
spec:
  names: {kind: Link}
"""
LATE_METADATA = """kind: "CustomResourceDefinition"
spec:
  names: {kind: Gate}
metadata: {name: gates.example.com}
"""
SERVICE = """kind: Service
metadata:
  name: gateway
spec:
  type: LoadBalancer
"""
CONFIG = """kind: ConfigMap
metadata: {name: text}
data:
  text: |
    ---
    kind: Service
    metadata: {name: not-an-object}
"""
MANIFEST = "---\n".join(["", CRD, LATE_METADATA, SERVICE, CONFIG, "# nothing\n"])


def test_manifest_has_all_objects() -> None:
    assert [each["metadata"]["name"] for each in manifest_objects(MANIFEST)] == [
        "links.example.com",
        "gates.example.com",
        "gateway",
        "text",
    ]


def test_objects_are_found_by_kind() -> None:
    objects = list(find_objects(MANIFEST, {"CustomResourceDefinition", "Service"}))

    assert [each["metadata"]["name"] for each in objects] == ["links.example.com", "gates.example.com", "gateway"]
    assert "spec" not in objects[0], "the schemas of a CRD are not parsed"
    assert objects[2]["spec"] == {"type": "LoadBalancer"}


def test_invalid_manifest_is_error() -> None:
    with pytest.raises(StrictYamlError):
        list(find_objects("kind: Service\nmetadata: {name: [}\n", {"Service"}))
