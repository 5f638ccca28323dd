"""Pods that a controller cannot create: quotas, Pod Security, webhooks, policies and missing accounts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.kube.json_access import as_text
from mesh.readiness.cause import Cause
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope

REASON = "FailedCreate"
_PREFIX = re.compile(r"^(?:Error creating: |create Pod \S+ in StatefulSet \S+ failed error: )", re.IGNORECASE)
# Names of pods are new at each attempt.
_POD_NAME = re.compile(r"^pods \"[^\"]*\" is forbidden: ")


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    """A kind of refusal of the API server to create a pod."""

    pattern: re.Pattern[str]
    find_remedy: Callable[[Scope, re.Match[str]], str]
    identity: str | None  # part of a permanent cause's identity; None: the refusal may resolve itself


def find_creation_cause(scope: Scope, subject: str, message: str, *, attempt: str = "") -> Cause:
    """Return the cause for pods that cannot be created.

    Args:
        scope: the object that is not ready.
        subject: the controller, for the message.
        message: message of the condition ReplicaFailure or of the event FailedCreate.
        attempt: changes with each attempt.
    """
    text = _PREFIX.sub("", message)
    for refusal in _REFUSALS:
        if match := refusal.pattern.search(text):
            name = quote_name(match[1]) if match.re.groups else ""
            permanent = scope.identify(REASON, refusal.identity, name) if refusal.identity is not None else None
            return Cause(
                subject=subject,
                reason=REASON,
                message=quote(_POD_NAME.sub("", text)),
                remedy=refusal.find_remedy(scope, match),
                permanent=permanent,
                attempt=attempt,
            )
    remedy = f"see {scope.kubectl('get events')}"
    return Cause(subject=subject, reason=REASON, message=quote(text), remedy=remedy, attempt=attempt)


def _quota_remedy(scope: Scope, match: re.Match[str]) -> str:
    return f"raise the quota: {scope.kubectl(f'edit resourcequota {quote_name(match[1])}')}"


def _quota_needs_remedy(scope: Scope, match: re.Match[str]) -> str:
    name = quote_name(match[1])
    return f"create a LimitRange with defaults for quota {name}{scope.settings.or_in_values('set the resources')}"


def _pod_security_remedy(scope: Scope, match: re.Match[str]) -> str:
    label = scope.settings.kubectl(
        f"label namespace {scope.namespace} --overwrite pod-security.kubernetes.io/enforce=privileged"
    )
    if "NET_ADMIN" in match.string or "NET_RAW" in match.string:
        return f"set `{scope.settings.linkerd('cni')}: true`, so that pods need no NET_ADMIN, or allow it: {label}"
    return f"allow the pods in namespace {scope.namespace}: {label}"


def _webhook_down_remedy(scope: Scope, match: re.Match[str]) -> str:
    name = quote_name(match[1])
    if name.startswith("linkerd-proxy-injector"):
        return (
            "check the Deployment linkerd-proxy-injector: with `linkerd.highAvailability`, no pod is created without it"
        )
    return (
        f"repair the Service of webhook {name}, or delete its configuration if its software is gone "
        f"({scope.settings.kubectl('get mutatingwebhookconfigurations,validatingwebhookconfigurations')})"
    )


def _webhook_denial_remedy(scope: Scope, match: re.Match[str]) -> str:
    exempt = f"exempt namespace {scope.namespace} from webhook {quote_name(match[1])}"
    return f"{exempt}{scope.settings.or_in_values('satisfy it')}"


def _policy_remedy(scope: Scope, match: re.Match[str]) -> str:
    return f"exempt namespace {scope.namespace} from the policy{scope.settings.or_in_values('satisfy it')}"


def _account_remedy(scope: Scope, match: re.Match[str]) -> str:
    return (
        f"run `pulumi up --refresh`, which creates the service account {quote_name(match[1])} again if it was deleted"
    )


def _limit_range_remedy(scope: Scope, match: re.Match[str]) -> str:
    change = scope.settings.or_in_values("change the resources")
    return f"change the LimitRange ({scope.kubectl('get limitrange')}){change}"


def _priority_class_remedy(scope: Scope, match: re.Match[str]) -> str:
    return f"create the PriorityClass {quote_name(match[1])}{scope.settings.or_in_values('change it')}"


def _namespace_remedy(scope: Scope, match: re.Match[str]) -> str:
    return f"wait until namespace {scope.namespace} is deleted, then run `pulumi up --refresh`"


def _refusal(pattern: str, find_remedy: Callable[[Scope, re.Match[str]], str], identity: str | None = None) -> _Refusal:
    return _Refusal(pattern=re.compile(pattern), find_remedy=find_remedy, identity=identity)


_REFUSALS = (
    # A webhook that is down may come back: its pods may just start.
    _refusal(r"failed calling webhook \"([^\"]+)\"", _webhook_down_remedy),
    _refusal(r"admission webhook \"([^\"]+)\" denied the request", _webhook_denial_remedy, "webhook"),
    _refusal(r"exceeded quota: ([^,\s]+)", _quota_remedy, "quota"),
    _refusal(r"failed quota: ([^:\s]+)", _quota_needs_remedy, "quota"),
    _refusal(r"violates PodSecurity \"([^\"]+)\"", _pod_security_remedy, "PodSecurity"),
    _refusal(r"ValidatingAdmissionPolicy '([^']+)'", _policy_remedy, "policy"),
    _refusal(
        r"unable to validate against any (pod security policy|security context constraint)", _policy_remedy, "policy"
    ),
    _refusal(r"error looking up service account [^\s/]+/([^\s:]+)", _account_remedy),
    _refusal(r"no PriorityClass with name (\S+) was found", _priority_class_remedy),
    _refusal(
        r"((?:minimum|maximum) \S+ usage per (?:Container|Pod)|\S+ max limit to request ratio per (?:Container|Pod))",
        _limit_range_remedy,
        "LimitRange",
    ),
    _refusal(r"because it is being terminated", _namespace_remedy),
)


def find_creation_event(scope: Scope, controller: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the last event of a controller about a pod that it could not create."""
    warnings = scope.reader.list_warnings(controller)
    return next((each for each in warnings if as_text(each.get("reason")) == REASON), None)
