"""Aggregated APIs in the lab: an API is available if its pods have a certificate of the configured CA."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from hack.lab import allocation
from hack.lab.pki import Pki
from hack.lab.state_dir import StateDir
from tests.helpers.certificates import DAY, IssuedCertificate
from tests.helpers.stack_under_test import wait_until
from tests.integration.test_lab import kubectl

pytestmark = pytest.mark.lab("north")

CONTEXT = "north"
NAMESPACE = "kitchen"
VERSION = "v1.menu.example.com"
NOW = datetime.now(UTC)

issue_certificate = partial(IssuedCertificate, begin=NOW - DAY, end=NOW + DAY)


def apply_objects(lab: StateDir, *objects: dict[str, Any]) -> None:
    command = ["kubectl", "--kubeconfig", str(lab.kubeconfig), "--context", CONTEXT, "apply", "-f", "-"]
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    subprocess.run(command, input=content, text=True, check=True, capture_output=True, timeout=60)


def api_service_manifest(ca: IssuedCertificate) -> dict[str, Any]:
    """Return the APIService with a CA for its server certificates."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": VERSION},
        "spec": {
            "group": "menu.example.com",
            "version": "v1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "service": {"namespace": NAMESPACE, "name": "waiter"},
            "caBundle": base64.b64encode(ca.pem.encode()).decode(),
        },
    }


def available_condition(lab: StateDir) -> dict[str, Any]:
    """Return the condition of the APIService."""
    api_service = json.loads(kubectl(lab, CONTEXT, "get", "apiservice", VERSION, "-o", "json"))
    conditions = api_service.get("status", {}).get("conditions") or [{"status": "Unknown"}]
    return dict(conditions[0])


@pytest.fixture(scope="module")
def ca(lab: StateDir) -> Iterator[IssuedCertificate]:
    """Deploy an aggregated API with pods, and yield its CA."""
    ca = issue_certificate(name="ca")
    certificate = issue_certificate(
        name="waiter", signer=ca, ca=None, cert_sign=None, dns_name=f"waiter.{NAMESPACE}.svc"
    )
    labels = {"app": "cook"}
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("password", "tls")]
    pod = {
        "containers": [{"name": "cook", "image": "example.com/cook:1", "volumeMounts": mounts}],
        "volumes": [{"name": name, "secret": {"secretName": f"the-{name}"}} for name in ("password", "tls")],
    }
    metadata = {"namespace": NAMESPACE}
    try:
        apply_objects(
            lab,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {**metadata, "name": "the-password"}},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {**metadata, "name": "the-tls"},
                "type": "kubernetes.io/tls",
                "stringData": {"tls.crt": certificate.pem, "tls.key": certificate.private_key},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {**metadata, "name": "cook"},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {**metadata, "name": "waiter"},
                "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": 8443}]},
            },
            api_service_manifest(ca),
        )
        yield ca
    finally:
        kubectl(lab, CONTEXT, "delete", "apiservice", VERSION, "--ignore-not-found")
        kubectl(lab, CONTEXT, "delete", "namespace", NAMESPACE, "--ignore-not-found")


def test_api_with_trusted_certificate_is_available(lab: StateDir, ca: IssuedCertificate) -> None:
    assert wait_until(lambda: available_condition(lab)["status"] == "True"), available_condition(lab)
    api_resources = json.loads(kubectl(lab, CONTEXT, "get", "--raw", "/apis/menu.example.com/v1"))
    assert api_resources == {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "menu.example.com/v1",
        "resources": [],
    }


def test_namespace_is_deletable_while_api_is_registered(lab: StateDir, ca: IssuedCertificate) -> None:
    assert wait_until(lambda: available_condition(lab)["status"] == "True"), available_condition(lab)
    kubectl(lab, CONTEXT, "create", "namespace", "guest")

    kubectl(lab, CONTEXT, "delete", "namespace", "guest", "--timeout=30s")

    assert "guest" not in kubectl(lab, CONTEXT, "get", "namespaces", "-o", "name")


def test_api_with_certificate_of_another_ca_is_unavailable(lab: StateDir, ca: IssuedCertificate) -> None:
    apply_objects(lab, api_service_manifest(issue_certificate(name="ca")))
    try:
        assert wait_until(lambda: available_condition(lab)["status"] == "False"), available_condition(lab)
        assert "certificate" in available_condition(lab)["message"]
    finally:
        apply_objects(lab, api_service_manifest(ca))
    assert wait_until(lambda: available_condition(lab)["status"] == "True"), available_condition(lab)


def test_api_without_pods_is_unavailable(lab: StateDir, ca: IssuedCertificate) -> None:
    kubectl(lab, CONTEXT, "-n", NAMESPACE, "scale", "deployment", "cook", "--replicas=0")
    try:
        assert wait_until(lambda: available_condition(lab)["status"] == "False"), available_condition(lab)
    finally:
        kubectl(lab, CONTEXT, "-n", NAMESPACE, "scale", "deployment", "cook", "--replicas=1")
    assert wait_until(lambda: available_condition(lab)["status"] == "True"), available_condition(lab)


def test_connection_to_any_other_service_is_refused(lab: StateDir, ca: IssuedCertificate) -> None:
    cluster = allocation.read_allocation(lab.cluster(CONTEXT))
    assert cluster is not None
    pki = Pki(folder=lab.cluster(CONTEXT) / "pki")
    tls = ssl.create_default_context(cafile=str(pki.certificate("egress-ca")))
    tls.load_cert_chain(pki.certificate("egress-client"), pki.key("egress-client"))
    waiter = kubectl(lab, CONTEXT, "-n", NAMESPACE, "get", "service", "waiter", "-o", "jsonpath={.spec.clusterIP}")

    for target in (f"{cluster.first_service_ip}:443", f"{waiter}:80", "203.0.113.1:443"):
        connection = http.client.HTTPSConnection("127.0.0.1", cluster.ports.egress, context=tls, timeout=10)
        connection.request("CONNECT", target)
        response = connection.getresponse()
        assert (response.status, response.read().decode()) == (
            502,
            f"{target}: the lab has no backend at this address\n",
        )
        connection.close()
