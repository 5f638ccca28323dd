"""Whether the kubeconfig's user may do in the cluster what `up` does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.json_access import mapping
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHAT = "what the kubeconfig's user may do"

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
_NEEDED = (
    *((verb, group, resource) for group, resource in _RESOURCES for verb in _VERBS),
    # Helm looks for its records and rewrites them.
    ("list", "", "secrets"),
    ("update", "", "secrets"),
    _ESCALATE,
)


def check(question: CheckTarget, api: KubeClient) -> Iterator[Finding]:
    """Findings on what is not allowed."""
    if _allowed(api, [("*", "*", "*")]) == [True]:
        return
    needed = [*_NEEDED, *((verb, group, resource) for group, resource in question.kinds for verb in _VERBS)]
    answers = _allowed(api, needed)
    missing = [right for right, allowed in zip(needed, answers, strict=True) if not allowed]
    if missing == [_ESCALATE]:
        rule = (
            "the kubeconfig's user may not escalate clusterroles: it can give Linkerd only such rights as it has itself"
        )
        yield question.finding(rule, _remedy(question), severity=Severity.WARNING)
    elif missing:
        rule = f"the kubeconfig's user may not {_listed(missing)}"
        yield question.finding(rule, _remedy(question), severity=Severity.UPDATE_ERROR)


def _remedy(question: CheckTarget) -> str:
    return f"bind it to the ClusterRole cluster-admin, or name a context of another user in {question.path}.context"


def _allowed(api: KubeClient, rights: list[tuple[str, str, str]]) -> list[bool]:
    said = api.post(_REVIEWS, [_review(*right) for right in rights], _WHAT)
    answers = [mapping(review, "status").get("allowed") for review in said]
    if not all(isinstance(answer, bool) for answer in answers):
        raise NotReadableError(f"{_WHAT} (an answer that can't be read)")
    return [answer is True for answer in answers]


def _review(verb: str, group: str, resource: str) -> dict[str, Any]:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource}},
    }


def _listed(missing: list[tuple[str, str, str]]) -> str:
    """Resources of which the same is missing are named together."""
    verbs: dict[str, list[str]] = {}
    for verb, group, resource in missing:
        verbs.setdefault(f"{resource}.{group}".rstrip("."), []).append(verb)
    resources: dict[str, list[str]] = {}
    for name, found in verbs.items():
        resources.setdefault(", ".join(found), []).append(name)
    return "; may not ".join(f"{found} {', '.join(names)}" for found, names in resources.items())
