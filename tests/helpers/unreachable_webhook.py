"""A mandatory admission webhook without a backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hack.lab.state_dir import StateDir
from mesh.kube import client as kube_client
from mesh.kube.client import KubeClient
from mesh.kube.connection import Access
from mesh.kube.errors import ApiStatusError
from tests.helpers.stack_under_test import wait_until

WEBHOOK_NAME = "down.example.com"
_PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_WEBHOOK: dict[str, Any] = {
    "name": WEBHOOK_NAME,
    "clientConfig": {"service": {"name": "nobody", "namespace": "default"}},
    "failurePolicy": "Fail",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "timeoutSeconds": 2,
}
# Helm revisions and tokens are Secrets. Pods are excluded, because Helm would wait for them until its timeout.
_OBJECTS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets", "services"]}
_PROPAGATION_TIMEOUT_S = 30


@contextmanager
def install_webhook(
    lab: StateDir,
    context: str,
    *,
    operations: Sequence[str] = ("CREATE", "UPDATE"),
    labels: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Install a webhook that rejects requests, and delete it on exit.

    Args:
        lab: the lab.
        context: context of the cluster.
        operations: operations that the webhook rejects; must include CREATE.
        labels: labels of the affected objects; all objects if empty.
    """
    client = kube_client.connect(Access(context=context, kubeconfig=str(lab.kubeconfig)))
    labels = labels or {}
    rule = {"rules": [{"operations": operations, **_OBJECTS}], "objectSelector": {"matchLabels": labels}}
    configuration = {"metadata": {"name": WEBHOOK_NAME}, "webhooks": [_WEBHOOK | rule]}
    client.request("POST", _PATH, body=configuration)
    try:
        assert wait_until(lambda: _is_rejecting(client, labels), _PROPAGATION_TIMEOUT_S)
        yield
    finally:
        client.request("DELETE", f"{_PATH}/{WEBHOOK_NAME}")
        assert wait_until(lambda: not _is_rejecting(client, labels), _PROPAGATION_TIMEOUT_S)


def _is_rejecting(client: KubeClient, labels: Mapping[str, str]) -> bool:
    secret = {"metadata": {"name": "down", "labels": labels}}
    try:
        client.request("POST", "/api/v1/namespaces/default/secrets?dryRun=All", body=secret)
    except ApiStatusError:
        return True
    return False
