"""Check for platform software that the stack would install a second time, such as MetalLB.

Others use it too, so the stack neither adopts nor deletes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
        path = f"/api/v1/namespaces/{software.namespace}"
        namespace = client.get(path, f"whether namespace {software.namespace} exists", METADATA_MEDIA_TYPE)
        if as_mapping(namespace, "metadata", "annotations").get(FIELD_MANAGER_ANNOTATION) or is_terminating(
            namespace or {}
        ):
            continue  # the stack's own, or mesh.preflight.ownership reports it
        evidence = [f"namespace {software.namespace}"] if namespace is not None else []
        evidence += _find_crds(software, client)
        classes = list(_list_foreign_classes(software, client))
        evidence += [
            f"IngressClass {name}" for name, controller in classes if controller == software.ingress_controller
        ]
        if evidence:
            yield target.finding(
                f"{software.name} exists on the cluster already, and does not belong to this stack",
                software.remedy,
                value=", ".join(evidence),
            )
        elif software.ingress_class in dict(classes):
            controller = dict(classes)[software.ingress_class]
            yield target.finding(
                f"this class of another controller ({controller}) exists already, and {software.name} would need it",
                "set extensions.viz.dashboard.ingressClass to another name",
                value=f"IngressClass {software.ingress_class}",
            )


def _find_crds(software: PlatformSoftware, client: KubeClient) -> Iterator[str]:
    if software.crd_group is None:
        return
    crd_list = client.get(CRDS_PATH, f"whether {software.name} is installed", METADATA_LIST_MEDIA_TYPE) or {}
    for crd in as_mappings(crd_list.get("items")):
        metadata = as_mapping(crd, "metadata")
        name = as_text(metadata.get("name"))
        is_in_group = name.partition(".")[2] == software.crd_group
        if is_in_group and not metadata.get("deletionTimestamp") and _is_foreign(software, metadata):
            yield f"CustomResourceDefinition {to_single_line(name, 253)}"


def _list_foreign_classes(software: PlatformSoftware, client: KubeClient) -> Iterator[tuple[str, str]]:
    """Yield name and controller of each IngressClass of others."""
    if software.ingress_controller is None:
        return
    path = "/apis/networking.k8s.io/v1/ingressclasses"
    classes = client.get(path, f"whether {software.name} is installed") or {}
    for ingress_class in as_mappings(classes.get("items")):
        metadata = as_mapping(ingress_class, "metadata")
        if _is_foreign(software, metadata):
            controller = as_text(as_mapping(ingress_class, "spec").get("controller"))
            yield to_single_line(as_text(metadata.get("name")), 253), to_single_line(controller, 253)


def _is_foreign(software: PlatformSoftware, metadata: Mapping[str, Any]) -> bool:
    """Return whether an object belongs to another release than the stack's."""
    annotations = helm_ownership_metadata(software.release, software.namespace)["annotations"]
    return not annotations.items() <= as_mapping(metadata.get("annotations")).items()
