"""Whether what the stack would own is there already, made by somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import FIELD_MANAGER_ANNOTATION
from mesh.kube.errors import NotReadableError, to_single_line
from mesh.kube.json_access import mapping, mappings, text
from mesh.preflight import trust_anchor
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget

_INJECTOR = "linkerd-proxy-injector-webhook-config"
_UNINSTALL = "remove it (linkerd uninstall | kubectl delete -f -)"


def check_namespace(question: CheckTarget, api: KubeClient, namespace: str) -> Iterator[Finding]:
    """Findings on one of the namespaces that the stack will own."""
    found = api.get(
        f"/api/v1/namespaces/{namespace}", f"whether namespace {namespace} is there already", METADATA_MEDIA_TYPE
    )
    if found is None:
        return
    manager = text(mapping(found, "metadata", "annotations").get(FIELD_MANAGER_ANNOTATION))
    if manager == question.owner:
        if namespace == question.control_plane_namespace:
            yield from trust_anchor.check(question, api)
        return
    if namespace == question.control_plane_namespace and _has_linkerd(question, api):
        yield from _foreign_linkerd(question, api, manager)
    elif not question.adopt:
        rule = "exists already and was not made by this stack; `destroy` would delete it with all that is in it"
        remedy = (
            "delete it, choose another namespace in the stack file if it is a workload's, "
            f"or set {question.path}.adopt: true"
        )
        yield question.finding(rule, remedy, value=f"namespace {namespace}")


def check_elsewhere(question: CheckTarget, api: KubeClient) -> Iterator[Finding]:
    """Findings on a control plane in another namespace than this stack's."""
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{_INJECTOR}"
    found = api.get(path, "whether Linkerd is in another namespace") or {}
    services = [mapping(webhook, "clientConfig", "service") for webhook in mappings(found.get("webhooks"))]
    namespaces = {text(service.get("namespace")) for service in services} - {"", question.control_plane_namespace}
    for namespace in sorted(namespaces):
        rule = f"Linkerd is there already ({_INJECTOR}), and two control planes can't share a cluster"
        remedy = f"uninstall it, or choose another cluster by {question.path}.context"
        yield question.finding(rule, remedy, value=f"namespace {to_single_line(namespace, 63)}")


def _has_linkerd(question: CheckTarget, api: KubeClient) -> bool:
    namespace = question.control_plane_namespace
    try:
        path = f"/api/v1/namespaces/{namespace}/configmaps/linkerd-config"
        return api.get(path, f"whether Linkerd is in namespace {namespace}", METADATA_MEDIA_TYPE) is not None
    except NotReadableError:
        if question.adopt:
            raise
        return False  # the namespace is somebody else's in any case, and that is said of it


def _foreign_linkerd(question: CheckTarget, api: KubeClient, manager: str) -> Iterator[Finding]:
    namespace = question.control_plane_namespace
    value = f"namespace {namespace}"
    helm = _by_helm(question, api)
    if manager:
        by = f" (but by {to_single_line(manager, 80)})"
    else:
        by = "" if helm is None else " (but by Helm)" if helm else " (but by hand)"
    rule = f"Linkerd is there already and was not made by this stack{by}"
    if helm is False:
        # Helm takes over only what carries its marks.
        taken = f", and without Helm's records {question.path}.adopt can't take it over" if question.adopt else ""
        yield question.finding(f"{rule}{taken}", "destroy that stack" if manager else _UNINSTALL, value=value)
    elif not question.adopt:
        uninstall = "destroy that stack" if manager else "uninstall it"
        yield question.finding(rule, f"{uninstall}, or set {question.path}.adopt: true to take it over", value=value)
    else:
        yield from trust_anchor.check_adopted(question, api)


def _by_helm(question: CheckTarget, api: KubeClient) -> bool | None:
    """Whether Helm has records in the control plane's namespace; None if nobody may look, and it matters little."""
    namespace = question.control_plane_namespace
    path = f"/api/v1/namespaces/{namespace}/secrets?labelSelector=owner%3Dhelm&limit=1"
    try:
        listed = api.get(path, f"how Linkerd came to namespace {namespace}", METADATA_LIST_MEDIA_TYPE) or {}
    except NotReadableError:
        if question.adopt:
            raise
        return None
    return bool(mappings(listed.get("items")))
