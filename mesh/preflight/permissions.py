"""Check of the kubeconfig user's permissions for `up`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.json_access import as_mapping
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

_REVIEWS_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SUBJECT = "the permissions of the kubeconfig's user"

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_RESOURCES = (
    ("", "namespaces"),
    ("", "secrets"),
    ("", "configmaps"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("apps", "deployments"),
    ("apps", "daemonsets"),
    ("batch", "cronjobs"),
    ("policy", "poddisruptionbudgets"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    (_RBAC, "clusterroles"),
    (_RBAC, "clusterrolebindings"),
    (_RBAC, "roles"),
    (_RBAC, "rolebindings"),
    (_ADMISSION, "mutatingwebhookconfigurations"),
    (_ADMISSION, "validatingwebhookconfigurations"),
    ("multicluster.linkerd.io", "links"),
    ("policy.linkerd.io", "servers"),
)
_ESCALATE = ("escalate", _RBAC, "clusterroles")
_VERBS = ("create", "patch", "delete")
# The base list has the other workloads.
_RESTART_PERMISSIONS = (("list", "apps", "statefulsets"), ("patch", "apps", "statefulsets"), ("list", "", "pods"))
_REQUIRED_PERMISSIONS = (
    *((verb, group, resource) for group, resource in _RESOURCES for verb in _VERBS),
    # Helm lists its revisions and updates them.
    ("list", "", "secrets"),
    ("update", "", "secrets"),
    _ESCALATE,
)


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding about missing permissions."""
    if _is_allowed(client, [("*", "*", "*")]) == [True]:
        return
    extra = [(verb, group, resource) for group, resource in target.extra_resources for verb in _VERBS]
    required = [*_REQUIRED_PERMISSIONS, *extra, *(_RESTART_PERMISSIONS if target.restarts_workloads else ())]
    missing = [
        permission for permission, allowed in zip(required, _is_allowed(client, required), strict=True) if not allowed
    ]
    if missing == [_ESCALATE]:
        rule = (
            "the kubeconfig's user may not escalate clusterroles: it can grant Linkerd only permissions that it has "
            "itself"
        )
        yield target.finding(rule, _remedy(target), severity=Severity.WARNING)
    elif missing:
        rule = f"the kubeconfig's user may not {_format_permissions(missing)}"
        yield target.finding(rule, _remedy(target), severity=Severity.UPDATE_ERROR)


def _remedy(target: CheckTarget) -> str:
    return f"bind it to the ClusterRole cluster-admin, or name a context of another user in {target.path}.context"


def _is_allowed(client: KubeClient, permissions: list[tuple[str, str, str]]) -> list[bool]:
    reviews = client.post(_REVIEWS_PATH, [_review(*permission) for permission in permissions], _SUBJECT)
    decisions = [as_mapping(review, "status").get("allowed") for review in reviews]
    if not all(isinstance(decision, bool) for decision in decisions):
        raise NotReadableError(f"{_SUBJECT} (the response cannot be read)")
    return [decision is True for decision in decisions]


def _review(verb: str, group: str, resource: str) -> dict[str, Any]:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource}},
    }


def _format_permissions(permissions: list[tuple[str, str, str]]) -> str:
    """Return permissions as text; resources with the same verbs are joined."""
    verbs: dict[str, list[str]] = {}
    for verb, group, resource in permissions:
        verbs.setdefault(f"{resource}.{group}".rstrip("."), []).append(verb)
    resources: dict[str, list[str]] = {}
    for name, resource_verbs in verbs.items():
        resources.setdefault(", ".join(resource_verbs), []).append(name)
    return "; may not ".join(f"{joined_verbs} {', '.join(names)}" for joined_verbs, names in resources.items())
