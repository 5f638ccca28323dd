"""Pods of the lab that need some seconds until they are ready, so that a wrong order of changes shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from hack.lab.kwok import READY_DELAY_ANNOTATION
from mesh.kube import client as kube_client
from mesh.kube.client import KubeClient
from mesh.kube.connection import Access
from tests.helpers.stack_under_test import wait_until

_API = "admissionregistration.k8s.io/v1"
_NAME = "slow-pods"
_POLICIES, _BINDINGS = (f"/apis/{_API}/mutatingadmissionpolic{ending}" for ending in ("ies", "ybindings"))


@contextmanager
def slow_pods(accesses: Iterable[Access], namespaces: Sequence[str], delay: str = "2s") -> Iterator[None]:
    """Delay the readiness of new pods in some namespaces until exit.

    The API server itself adds the annotation to the pods, so the stack under test stays as it is.

    Args:
        accesses: credentials of the clusters.
        namespaces: names of the namespaces.
        delay: time until a new pod is ready, such as `2s`.
    """
    clients = [kube_client.connect(access) for access in accesses]
    try:
        for client in clients:
            client.request("POST", _POLICIES, body=_build_policy(namespaces, delay))
            client.request("POST", _BINDINGS, body=_build_binding())
        for client in clients:
            assert wait_until(partial(_is_active, client)), "no new pod gets the annotation"
        yield
    finally:
        for client in clients:
            client.request("DELETE", f"{_BINDINGS}/{_NAME}")
            client.request("DELETE", f"{_POLICIES}/{_NAME}")


def _build_policy(namespaces: Sequence[str], delay: str) -> dict[str, Any]:
    names = ", ".join(f"'{name}'" for name in namespaces)
    annotations = f'{{"{READY_DELAY_ANNOTATION}": "{delay}"}}'
    # A controller's pods have no name yet.
    is_probe = f"object.metadata.?name.orValue('') == '{_NAME}'"
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    return {
        "apiVersion": _API,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": _NAME},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [pods]},
            "matchConditions": [{"name": "namespace", "expression": f"request.namespace in [{names}] || {is_probe}"}],
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {
                        "expression": f"Object{{metadata: Object.metadata{{annotations: {annotations}}}}}"
                    },
                }
            ],
        },
    }


def _build_binding() -> dict[str, Any]:
    return {
        "apiVersion": _API,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": _NAME},
        "spec": {"policyName": _NAME},
    }


def _is_active(client: KubeClient) -> bool:
    """Return whether the API server changes new pods; it reads a new policy a moment later."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _NAME, "namespace": "default"},
        "spec": {"containers": [{"name": "container", "image": "example.com/image"}]},
    }
    created = client.request("POST", "/api/v1/namespaces/default/pods?dryRun=All", body=pod) or {}
    return READY_DELAY_ANNOTATION in (created["metadata"].get("annotations") or {})
