"""Check for platform software that the stack would install a second time, such as MetalLB.

Others use it too, so the stack neither adopts nor deletes it.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CRDS_PATH, FIELD_MANAGER_ANNOTATION
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.ownership import helm_ownership_metadata
from mesh.kube.terminating_namespaces import is_terminating
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget, PlatformSoftware


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each software that exists already."""
    for software in target.platform:
        evidence = [*_find_namespace(software, client), *_find_objects(software, client)]
        if evidence:
            yield target.finding(
                f"{software.name} exists on the cluster already, and does not belong to this stack",
                software.remedy,
                value=", ".join(evidence),
            )


def _find_namespace(software: PlatformSoftware, client: KubeClient) -> Iterator[str]:
    path = f"/api/v1/namespaces/{software.namespace}"
    live = client.get(path, f"whether namespace {software.namespace} exists", METADATA_MEDIA_TYPE)
    # A namespace of another stack is reported as such, and one that is Terminating too.
    is_foreign = not as_mapping(live, "metadata", "annotations").get(FIELD_MANAGER_ANNOTATION)
    if live is not None and is_foreign and not is_terminating(live):
        yield f"namespace {software.namespace}"


def _find_objects(software: PlatformSoftware, client: KubeClient) -> Iterator[str]:
    if software.crd_group is not None:
        crd_list = client.get(CRDS_PATH, f"whether {software.name} is installed", METADATA_LIST_MEDIA_TYPE) or {}
        for crd in as_mappings(crd_list.get("items")):
            name = as_text(as_mapping(crd, "metadata").get("name"))
            if name.partition(".")[2] == software.crd_group and _is_foreign(software, crd):
                yield f"CustomResourceDefinition {to_single_line(name, 253)}"
    if software.ingress_controller is not None:
        path = "/apis/networking.k8s.io/v1/ingressclasses"
        classes = client.get(path, f"whether {software.name} is installed") or {}
        for ingress_class in as_mappings(classes.get("items")):
            controller = as_text(as_mapping(ingress_class, "spec").get("controller"))
            if controller == software.ingress_controller and _is_foreign(software, ingress_class):
                name = as_text(as_mapping(ingress_class, "metadata").get("name"))
                yield f"IngressClass {to_single_line(name, 253)}"


def _is_foreign(software: PlatformSoftware, live: dict[str, object]) -> bool:
    """Return whether an object belongs to another release; that of the stack's namespace may be the stack's own."""
    annotations = helm_ownership_metadata(software.release, software.namespace)["annotations"]
    return not annotations.items() <= as_mapping(live, "metadata", "annotations").items()
