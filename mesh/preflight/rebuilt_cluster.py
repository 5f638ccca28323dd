"""Check of a rebuilt cluster for objects that the update would take over or delete.

Pulumi updates or deletes the objects in the stack state by their names. On a rebuilt cluster these objects are missing.
An object that exists belongs to somebody else, unless an interrupted update of this stack has created it.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import STACK_ID_ANNOTATION
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping
from mesh.kube.object_path import ObjectLocator
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each object of the stack state that exists on the new cluster and is not the stack's."""
    locator = ObjectLocator(client)
    for body in target.recorded_objects:
        path = locator.find(body)
        if path is None:
            continue
        name = to_single_line(f"{body['kind']} {body['metadata']['name']}", 120)
        live = client.get(path.path, f"whether {name} exists", METADATA_MEDIA_TYPE)
        annotations = as_mapping(live, "metadata", "annotations")
        if live is not None and annotations.get(STACK_ID_ANNOTATION) != target.identity.id:
            yield target.finding(
                "exists on the rebuilt cluster and does not belong to this stack; the update would change or delete it",
                "remove it there; if another program needs it, remove the resource from the stack state "
                "(pulumi state delete) and from the stack file",
                value=name,
                setting="replaces",
            )
