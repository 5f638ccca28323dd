"""Wait until the API server reaches the proxy injector.

The injector's pod can be ready before the API server reaches it: kube-proxy learns a new endpoint up to a second later,
and a firewall can block the port. The API server then creates pods without a proxy, and reports no error, because the
failure policy of the webhook is `Ignore`. A dry run of a pod shows whether it gets a proxy.

Follows https://linkerd.io/2/features/proxy-injection/.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import RUNS_PODS_LABEL, SIMULATED_NODE_ANNOTATION
from mesh.kube.errors import ApiStatusError, KubeError, to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text, as_texts

# kube-proxy updates its rules at most once per second by default.
INJECTOR_TIMEOUT_S = 60.0
FIRST_REPORT_S = 5.0
_RETRY_DELAY_S = 0.2
# Each cluster has this namespace, and no label of it excludes it from injection by default.
_NAMESPACE = "default"
_WEBHOOK_PATH = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/linkerd-proxy-injector-webhook-config"
)
_PROXY = "linkerd-proxy"


class InjectorUnreachableError(Exception):
    """The API server does not reach the proxy injector, so new pods would get no proxy."""


def wait_for_injector(
    client: KubeClient, cluster: str, report: Callable[[str], None], timeout_s: float = INJECTOR_TIMEOUT_S
) -> None:
    """Wait until a new pod gets a proxy.

    Returns at once where a dry run cannot show that: if another rule of the cluster rejects the pod, if the injector
    does not select the namespace, or if the nodes only simulate pods.

    Args:
        client: the cluster's client.
        cluster: name of the cluster, for messages.
        report: called with a status line after five seconds.
        timeout_s: seconds to wait.

    Raises:
        InjectorUnreachableError: new pods get no proxy after that time.
    """
    began, has_reported = time.monotonic(), False
    if not _find_reason(client) or _cannot_inject(client):
        return
    while reason := _find_reason(client):
        elapsed_s = time.monotonic() - began
        if elapsed_s >= timeout_s:
            raise InjectorUnreachableError(
                f"{cluster}: proxy injector: ready, but a new pod gets no proxy after {timeout_s:g} s ({reason}); let "
                "the API server reach port 8443 of the injector's pods, then run `pulumi up` again"
            )
        if elapsed_s >= FIRST_REPORT_S and not has_reported:
            has_reported = True
            report(f"{cluster}: waiting until the API server reaches the proxy injector ({reason})")
        time.sleep(_RETRY_DELAY_S)


def _find_reason(client: KubeClient) -> str:
    """Return why a new pod would get no proxy, or an empty text if it would, or if a dry run cannot show that."""
    try:
        pod = client.request("POST", f"/api/v1/namespaces/{_NAMESPACE}/pods?dryRun=All", body=_build_pod())
    except ApiStatusError as error:
        # With the failure policy `Fail`, the API server reports each failed call of the webhook.
        return to_single_line(error.message) if error.status == HTTPStatus.INTERNAL_SERVER_ERROR else ""
    except KubeError as error:
        return to_single_line(str(error))
    spec = as_mapping(pod, "spec")
    containers = [*as_mappings(spec.get("initContainers")), *as_mappings(spec.get("containers"))]
    return "" if any(each.get("name") == _PROXY for each in containers) else "the webhook is skipped"


def _build_pod() -> dict[str, Any]:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "probe", "image": "probe", "securityContext": security}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "proxy-injection-", "annotations": {"linkerd.io/inject": "enabled"}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [container],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }


def _cannot_inject(client: KubeClient) -> bool:
    """Return whether the injector does not select the namespace, or no node runs pods."""
    try:
        nodes = client.list_objects("/api/v1/nodes?limit=100", accept=METADATA_LIST_MEDIA_TYPE)
        namespace = client.request("GET", f"/api/v1/namespaces/{_NAMESPACE}", accept=METADATA_MEDIA_TYPE)
        configuration = client.request("GET", _WEBHOOK_PATH)
    except KubeError:
        return False
    if nodes and all(_is_simulated(as_mapping(node, "metadata")) for node in nodes):
        return True
    labels = as_mapping(namespace, "metadata", "labels")
    webhooks = as_mappings((configuration or {}).get("webhooks"))
    return not any(is_selected(as_mapping(each, "namespaceSelector"), labels) for each in webhooks)


def _is_simulated(metadata: Mapping[str, Any]) -> bool:
    is_kwok = SIMULATED_NODE_ANNOTATION in as_mapping(metadata, "annotations")
    return is_kwok and RUNS_PODS_LABEL not in as_mapping(metadata, "labels")


def is_selected(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Return whether a label selector selects labels.

    Args:
        selector: selector with `matchLabels` and `matchExpressions`.
        labels: the labels.
    """
    has_labels = as_mapping(selector, "matchLabels").items() <= labels.items()
    return has_labels and all(_matches(each, labels) for each in as_mappings(selector.get("matchExpressions")))


def _matches(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, values = as_text(expression.get("key")), as_texts(expression.get("values"))
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False
