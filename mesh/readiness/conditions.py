"""Readiness of one object, from its status.

Follows `kubectl rollout status` (kubernetes/kubectl `pkg/polymorphichelpers/rollout_status.go`) for workloads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mesh.kube.conditions import find_condition
from mesh.kube.json_access import as_count, as_mapping, as_mappings

# API version and plural of each kind that can be waited for, and whether its objects are in namespaces.
WAITED_KINDS: Mapping[str, tuple[str, str, bool]] = {
    "Deployment": ("apps/v1", "deployments", True),
    "StatefulSet": ("apps/v1", "statefulsets", True),
    "DaemonSet": ("apps/v1", "daemonsets", True),
    "Job": ("batch/v1", "jobs", True),
    "Service": ("v1", "services", True),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "APIService": ("apiregistration.k8s.io/v1", "apiservices", False),
}


def is_ready(live: Mapping[str, Any]) -> bool:
    """Return whether an object is ready. An object of a kind without a readiness of its own always is.

    Args:
        live: the object, as the API server returns it.
    """
    check = _CHECKS.get(str(live.get("kind")))
    return check is None or check(live)


def _is_observed(live: Mapping[str, Any]) -> bool:
    generation = as_mapping(live, "metadata").get("generation")
    return as_count(as_mapping(live, "status").get("observedGeneration")) >= as_count(generation)


def _is_deployment_ready(live: Mapping[str, Any]) -> bool:
    spec, status = as_mapping(live, "spec"), as_mapping(live, "status")
    desired, updated = as_count(spec.get("replicas", 1)), as_count(status.get("updatedReplicas"))
    # Pods of the former revision count in `replicas` only.
    has_former_pods = as_count(status.get("replicas")) > updated
    is_available = as_count(status.get("availableReplicas")) >= updated >= desired
    return _is_observed(live) and is_available and not has_former_pods


def _is_stateful_set_ready(live: Mapping[str, Any]) -> bool:
    spec, status = as_mapping(live, "spec"), as_mapping(live, "status")
    strategy = as_mapping(spec, "updateStrategy")
    desired, ready = as_count(spec.get("replicas", 1)), as_count(status.get("readyReplicas"))
    if not _is_observed(live) or ready < desired:
        return False
    if strategy.get("type") == "OnDelete":
        return True  # such pods are updated only when somebody deletes them
    partition = as_count(as_mapping(strategy, "rollingUpdate").get("partition"))
    if partition:
        return as_count(status.get("updatedReplicas")) >= desired - partition
    return status.get("currentRevision") == status.get("updateRevision")


def _is_daemon_set_ready(live: Mapping[str, Any]) -> bool:
    status = as_mapping(live, "status")
    desired = as_count(status.get("desiredNumberScheduled"))
    if not _is_observed(live) or as_count(status.get("numberAvailable")) < desired:
        return False
    is_on_delete = as_mapping(live, "spec", "updateStrategy").get("type") == "OnDelete"
    return is_on_delete or as_count(status.get("updatedNumberScheduled")) >= desired


def _is_job_ready(live: Mapping[str, Any]) -> bool:
    return bool(as_mapping(live, "spec").get("suspend")) or _has_condition(live, "Complete")


def _has_address(live: Mapping[str, Any]) -> bool:
    spec = as_mapping(live, "spec")
    if spec.get("type") != "LoadBalancer" or spec.get("externalIPs"):
        return True
    return bool(as_mappings(as_mapping(live, "status", "loadBalancer").get("ingress")))


def _is_crd_ready(live: Mapping[str, Any]) -> bool:
    return _has_condition(live, "Established")


def _is_api_service_ready(live: Mapping[str, Any]) -> bool:
    return _has_condition(live, "Available")


def _has_condition(live: Mapping[str, Any], kind: str) -> bool:
    return find_condition(live, kind).get("status") == "True"


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "Deployment": _is_deployment_ready,
    "StatefulSet": _is_stateful_set_ready,
    "DaemonSet": _is_daemon_set_ready,
    "Job": _is_job_ready,
    "Service": _has_address,
    "CustomResourceDefinition": _is_crd_ready,
    "APIService": _is_api_service_ready,
}
