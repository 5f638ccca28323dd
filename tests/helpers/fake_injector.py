"""A proxy injector for the lab, whose own one has no pods: an admission webhook in the process of the tests."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hack.lab.state_dir import StateDir
from mesh.kube import client as kube_client
from mesh.kube.client import KubeClient
from mesh.kube.connection import Access
from mesh.kube.constants import INJECT_ANNOTATION, PROXY_CONFIG_PREFIX
from mesh.proxied_workloads import PROXY_CONTAINER
from tests.helpers.certificates import DAY, PEM, private_key_pem, subject_name

_PATH = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_NAME = "injector.example.com"


@contextmanager
def install_injector(lab: StateDir, context: str, namespace: str, folder: Path) -> Iterator[list[str]]:
    """Inject proxies into the new pods of a namespace until exit, as its annotations require.

    Args:
        lab: the lab.
        context: context of the cluster.
        namespace: name of the namespace.
        folder: folder for the certificate.

    Yields:
        The value of the label `app` of each new pod, in the order of their creation.
    """
    client = kube_client.connect(Access(context=context, kubeconfig=str(lab.kubeconfig)))
    created: list[str] = []
    certificate = _write_certificate(folder)
    server = _serve(client, namespace, folder, created)
    webhook = {
        "name": _NAME,
        "clientConfig": {
            "url": f"https://127.0.0.1:{server.server_address[1]}/",
            "caBundle": base64.b64encode(certificate).decode(),
        },
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    client.request("POST", _PATH, body={"metadata": {"name": _NAME}, "webhooks": [webhook]})
    try:
        yield created
    finally:
        client.request("DELETE", f"{_PATH}/{_NAME}")
        server.shutdown()
        server.server_close()


def _write_certificate(folder: Path) -> bytes:
    """Write a certificate of 127.0.0.1 and its key, and return the certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = x509.CertificateBuilder(subject_name("injector"), subject_name("injector"), key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)
    content = builder.add_extension(address, critical=False).sign(key, hashes.SHA256()).public_bytes(PEM)
    (folder / "injector.pem").write_bytes(content + private_key_pem(key).encode())
    return content


def _serve(client: KubeClient, namespace: str, folder: Path, created: list[str]) -> ThreadingHTTPServer:
    class InjectorHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = review["request"]
            pod = request["object"]
            if not request.get("dryRun"):
                created.append(pod["metadata"].get("labels", {}).get("app", ""))
            live = client.request("GET", f"/api/v1/namespaces/{namespace}") or {}
            patch = _build_patch(pod, live["metadata"].get("annotations", {}))
            encoded = base64.b64encode(json.dumps(patch).encode()).decode()
            response = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
            content = json.dumps({**review, "response": response, "request": None}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), InjectorHandler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "injector.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _build_patch(pod: dict[str, Any], annotations: dict[str, str]) -> list[dict[str, Any]]:
    """Return the change of a pod; see linkerd/linkerd2 `pkg/inject/inject.go`."""
    own = pod["metadata"].get("annotations", {})
    if own.get(INJECT_ANNOTATION, annotations.get(INJECT_ANNOTATION)) != "enabled":
        return []
    config = {key: value for key, value in annotations.items() if key.startswith(PROXY_CONFIG_PREFIX)}
    container = {"name": PROXY_CONTAINER, "image": "cr.l5d.io/linkerd/proxy:stable-2.14.10"}
    return [
        {"op": "add", "path": "/spec/containers/-", "value": container},
        {"op": "add", "path": "/metadata/annotations", "value": {**config, **own}},
    ]
