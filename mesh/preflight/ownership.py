"""Check for namespaces of the stack and Linkerd control planes that have another owner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import FIELD_MANAGER_ANNOTATION, STACK_ID_ANNOTATION
from mesh.kube.errors import NotReadableError, to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.terminating_namespaces import is_terminating
from mesh.preflight import terminating_namespace, trust_anchor
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget

_INJECTOR = "linkerd-proxy-injector-webhook-config"
_UNINSTALL_REMEDY = "remove it (linkerd uninstall | kubectl delete -f -)"


def check_namespace(target: CheckTarget, client: KubeClient, namespace: str) -> Iterator[Finding]:
    """Yield findings about one of the stack's namespaces, and about Linkerd in it."""
    live = client.get(f"/api/v1/namespaces/{namespace}", f"whether namespace {namespace} exists", METADATA_MEDIA_TYPE)
    if live is None:
        return
    if is_terminating(live):
        yield from terminating_namespace.check(target, client, namespace)
        return
    if target.owns(live):
        if namespace == target.control_plane_namespace:
            yield from trust_anchor.check(target, client)
        return
    annotations = as_mapping(live, "metadata", "annotations")
    if not annotations.get(FIELD_MANAGER_ANNOTATION) and namespace in {each.namespace for each in target.platform}:
        return  # mesh.preflight.platform_software reports it
    if namespace == target.control_plane_namespace and _has_linkerd(target, client):
        yield from _check_foreign_linkerd(target, client, annotations)
    elif not target.adopt:
        rule = (
            f"exists already and does not belong to this stack{_other_stack(target, annotations)}; `destroy` would "
            "delete it with everything in it"
        )
        delete = "destroy that stack" if annotations.get(FIELD_MANAGER_ANNOTATION) else "delete it"
        remedy = (
            f"{_restore_remedy(target, annotations)}{delete}, choose another namespace in the stack file if it is a "
            f"workload's, or set {target.path}.adopt: true"
        )
        yield target.finding(rule, remedy, value=f"namespace {namespace}")


def check_other_namespaces(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each control plane outside the stack's namespace."""
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{_INJECTOR}"
    live = client.get(path, "whether Linkerd is in another namespace") or {}
    services = [as_mapping(webhook, "clientConfig", "service") for webhook in as_mappings(live.get("webhooks"))]
    namespaces = {as_text(service.get("namespace")) for service in services} - {"", target.control_plane_namespace}
    for namespace in sorted(namespaces):
        rule = f"Linkerd is already installed ({_INJECTOR}), and two control planes cannot share a cluster"
        remedy = f"uninstall it, or choose another cluster by {target.path}.context"
        yield target.finding(rule, remedy, value=f"namespace {to_single_line(namespace, 63)}")


def _has_linkerd(target: CheckTarget, client: KubeClient) -> bool:
    namespace = target.control_plane_namespace
    try:
        path = f"/api/v1/namespaces/{namespace}/configmaps/linkerd-config"
        return client.get(path, f"whether Linkerd is in namespace {namespace}", METADATA_MEDIA_TYPE) is not None
    except NotReadableError:
        if target.adopt:
            raise
        return False  # the caller reports the namespace itself


def _other_stack(target: CheckTarget, annotations: Mapping[str, Any]) -> str:
    """Return a note on the stack that an object belongs to, or an empty text."""
    manager = to_single_line(as_text(annotations.get(FIELD_MANAGER_ANNOTATION)), 80)
    if not manager:
        return ""
    stack_id = to_single_line(as_text(annotations.get(STACK_ID_ANNOTATION)), 36)
    note = f"installed by {manager}"
    if stack_id:
        note += f", stack ID {stack_id}"
    if manager == target.identity.field_manager:
        note += "; this stack has the same name, but " + (
            f"the ID {target.identity.id}" if target.identity.id else "no ID"
        )
    return f" ({note})"


def _restore_remedy(target: CheckTarget, annotations: Mapping[str, Any]) -> str:
    """Return the first remedy for a stack of the same name, whose state is somewhere else."""
    if annotations.get(FIELD_MANAGER_ANNOTATION) != target.identity.field_manager:
        return ""
    return "log in to the backend that has its state, or restore the state (pulumi stack import); otherwise "


def _check_foreign_linkerd(
    target: CheckTarget, client: KubeClient, annotations: Mapping[str, Any]
) -> Iterator[Finding]:
    namespace = target.control_plane_namespace
    value = f"namespace {namespace}"
    has_helm = _has_helm_revisions(target, client)
    manager = as_text(annotations.get(FIELD_MANAGER_ANNOTATION))
    restore = _restore_remedy(target, annotations)
    installer = _other_stack(target, annotations)
    if not installer:
        installer = "" if has_helm is None else " (installed by Helm)" if has_helm else " (installed by hand)"
    rule = f"Linkerd is already installed and does not belong to this stack{installer}"
    if has_helm is False:
        # Helm adopts only objects with its ownership metadata.
        no_adoption = f", and {target.path}.adopt cannot adopt it without Helm's revisions" if target.adopt else ""
        yield target.finding(
            f"{rule}{no_adoption}", f"{restore}destroy that stack" if manager else _UNINSTALL_REMEDY, value=value
        )
    elif not target.adopt:
        uninstall = "destroy that stack" if manager else "uninstall it"
        yield target.finding(rule, f"{restore}{uninstall}, or set {target.path}.adopt: true to adopt it", value=value)
    else:
        yield from trust_anchor.check_adopted_linkerd(target, client)


def _has_helm_revisions(target: CheckTarget, client: KubeClient) -> bool | None:
    """Return whether Helm stores revisions in the control plane's namespace; None if they cannot be read."""
    namespace = target.control_plane_namespace
    path = f"/api/v1/namespaces/{namespace}/secrets?labelSelector=owner%3Dhelm&limit=1"
    try:
        secret_list = client.get(
            path, f"whether Helm installed Linkerd in namespace {namespace}", METADATA_LIST_MEDIA_TYPE
        )
    except NotReadableError:
        if target.adopt:
            raise
        return None
    return bool(as_mappings((secret_list or {}).get("items")))
