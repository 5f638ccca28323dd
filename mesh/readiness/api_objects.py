"""CustomResourceDefinitions that are not established, and APIServices that are not available."""

from __future__ import annotations

from mesh.kube.conditions import condition_message, find_condition
from mesh.kube.json_access import as_mapping, as_text
from mesh.readiness.cause import Cause
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope


def diagnose_crd(scope: Scope) -> tuple[str, list[Cause]]:
    """Return the summary and the causes for a CRD that is not established."""
    subject = f"CustomResourceDefinition {scope.name}"
    names = find_condition(scope.live, "NamesAccepted")
    if names.get("status") == "False":
        return "not established", [
            Cause(
                subject=subject,
                reason=quote_name(as_text(names.get("reason"))) or "NamesNotAccepted",
                message=quote(condition_message(names)),
                remedy=f"delete the CRD with these names if nothing needs it ({scope.settings.kubectl('get crds')})",
            )
        ]
    schema = find_condition(scope.live, "NonStructuralSchema")
    if schema.get("status") == "True":
        return "not established", [
            Cause(
                subject=subject,
                reason="NonStructuralSchema",
                message=quote(condition_message(schema)),
                remedy="use a version of the chart that this Kubernetes version supports",
            )
        ]
    terminating = find_condition(scope.live, "Terminating")
    if terminating.get("status") == "True" or as_mapping(dict(scope.live), "metadata").get("deletionTimestamp"):
        return "terminating", [
            Cause(
                subject=subject,
                reason="Terminating",
                message=quote(condition_message(terminating)) if terminating else "the CRD is being deleted",
                remedy="wait until it is deleted, then run `pulumi up --refresh`",
            )
        ]
    established = find_condition(scope.live, "Established")
    message = quote(condition_message(established)) if established else "the API server has not handled it yet"
    return "not established", [
        Cause(subject=subject, reason=quote_name(as_text(established.get("reason"))) or "Installing", message=message)
    ]


def diagnose_api_service(scope: Scope) -> tuple[str, list[Cause]]:
    """Return the summary and the causes for an APIService that is not available."""
    condition = find_condition(scope.live, "Available")
    service = as_mapping(scope.spec, "service")
    namespace, name = quote_name(as_text(service.get("namespace"))), quote_name(as_text(service.get("name")))
    get_pods = scope.settings.kubectl("get pods,endpointslices", namespace)
    return "not available", [
        Cause(
            subject=f"APIService {scope.name}",
            reason=quote_name(as_text(condition.get("reason"))) or "Unknown",
            message=quote(condition_message(condition)) if condition else "the API server has not tried it yet",
            remedy=f"check the pods of its Service: {get_pods}" if name else None,
        )
    ]
