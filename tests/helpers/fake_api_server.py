"""A fake API server in this process, which answers requests by path."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mesh.kube.client import KubeClient
from mesh.preflight import CheckTarget, Finding, run_checks
from mesh.stack_identity import StackIdentity

OWNER = "multicluster-mesh-dev"
STACK_ID = "7c9f1d64-0c1e-4a3b-9a53-0d6a5f1f7a11"
IDENTITY = StackIdentity(id=STACK_ID, project="multicluster-mesh", stack="dev")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SERVICES = "/api/v1/services"
NODES = "/api/v1/nodes"
LINKERD = "/api/v1/namespaces/linkerd"
INJECTOR = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/linkerd-proxy-injector-webhook-config"
ANCHOR = "-----BEGIN CERTIFICATE-----\nYW5j\naG9y\n-----END CERTIFICATE-----\n"


@dataclass
class FakeApiServer:
    """Objects and statuses of an API server by path; any other path is 404."""

    objects: dict[str, Any] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)  # by path; "" is for all
    is_allowed: Callable[[str, str, str], bool] = lambda verb, group, resource: True
    clock_offset_s: float | None = None  # None: sends no Date header
    hanging_paths: tuple[str, ...] = ()  # paths without an answer
    accepted_token: str | None = None  # None: accepts every request
    requests: list[str] = field(default_factory=list)
    port: int = 0
    tls: bool = False

    @property
    def server(self) -> str:
        """Return the URL of the server."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def add_namespace(self, name: str, manager: str | None = None, stack_id: str | None = None) -> None:
        """Add a namespace, with the field manager of its owner and the ID of its stack, which `OWNER` implies."""
        annotations = {} if manager is None else {"pulumi.com/patchFieldManager": manager}
        if manager == OWNER or stack_id is not None:
            annotations["multicluster-mesh/stack-id"] = stack_id or STACK_ID
        self.objects[f"/api/v1/namespaces/{name}"] = {"metadata": {"name": name, "annotations": annotations}}

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        """Return status and body of the response to a request."""
        status = self.statuses.get(path, self.statuses.get("", 200))
        if status != 200:
            message = 'things is forbidden: User "someone" cannot list resource "things"'
            return status, json.dumps({"kind": "Status", "message": message}).encode()
        if path == REVIEWS and path not in self.objects:
            attributes = body["spec"]["resourceAttributes"]
            allowed = self.is_allowed(attributes["verb"], attributes["group"], attributes["resource"])
            return 201, json.dumps({"status": {"allowed": allowed}}).encode()
        if path not in self.objects:
            return 404, json.dumps({"kind": "Status"}).encode()
        content = self.objects[path]
        return 200, content if isinstance(content, bytes) else json.dumps(content).encode()


@contextmanager
def serve(api_server: FakeApiServer, certificate: tuple[Path, Path] | None = None) -> Iterator[FakeApiServer]:
    """Serve the API until exit."""
    released = threading.Event()

    class ApiServerHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body are two writes; with Nagle's algorithm the second waits for an acknowledgement.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            # The objects of a list can depend on the selector.
            path = self.path if self.path in api_server.objects else self.path.partition("?")[0]
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            api_server.requests.append(f"{self.command} {path}")
            if path in api_server.hanging_paths:
                released.wait(10)
                self.close_connection = True
                return
            status, content = api_server.answer(path, json.loads(body) if body else None)
            if api_server.accepted_token not in (None, self.headers.get("Authorization", "").removeprefix("Bearer ")):
                status, content = 401, b'{"kind": "Status"}'
            self.send_response_only(status)
            if status == 429:
                self.send_header("Retry-After", "1")  # as an API server that prepares the storage of a new CRD
            if api_server.clock_offset_s is not None:
                self.send_header("Date", self.date_time_string(time.time() + api_server.clock_offset_s))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    class ApiHttpServer(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            pass  # the client closed the connection

    server = ApiHttpServer(("127.0.0.1", 0), ApiServerHandler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    api_server.port, api_server.tls = server.server_address[1], certificate is not None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.001}, daemon=True)
    thread.start()
    try:
        yield api_server
    finally:
        released.set()
        server.shutdown()
        server.server_close()


def healthy_server(**rest: Any) -> FakeApiServer:
    """Return a server for which the checks report nothing."""
    objects: dict[str, Any] = {
        "/version": {"major": "1", "minor": "30", "gitVersion": "v1.30.2"},
        SERVICES: {"items": []},
        NODES: {"items": [{"spec": {"providerID": "k3s://one", "podCIDRs": ["10.42.0.0/24"]}}]},
    }
    return FakeApiServer(objects=objects, clock_offset_s=0, **rest)


def server_with_foreign_linkerd(manager: str | None = None, *, helm: bool = True) -> FakeApiServer:
    """Return a server with a Linkerd installation of another owner."""
    api_server = healthy_server()
    api_server.add_namespace("linkerd", manager)
    api_server.objects[f"{LINKERD}/configmaps/linkerd-config"] = {"metadata": {}}
    api_server.objects[f"{LINKERD}/secrets"] = {"items": [{"metadata": {"name": "sh.helm.release.v1.l5d.v1"}}] * helm}
    api_server.objects[f"{LINKERD}/configmaps/linkerd-identity-trust-roots"] = {"data": {"ca-bundle.crt": ANCHOR}}
    return api_server


def check_target(name: str = "west", server: str = "https://west.example.com", **rest: Any) -> CheckTarget:
    """Return the check target of a minimal stack file, with changed fields."""
    properties: dict[str, Any] = {
        "minimum_kubernetes": "1.21",
        "newest_tested_kubernetes": "1.36",
        "linkerd": "2.14.10",
        "linkerd_tag": "stable-2.14.10",
        "namespaces": ("linkerd", "linkerd-multicluster", "test"),
        "control_plane_namespace": "linkerd",
        "identity": IDENTITY,
        "adopt": False,
        "trust_anchor": None,
        "needs_load_balancer": True,
        "pod_networks": (),
        "service_networks": (),
        "needs_cert_manager": False,
        **rest,
    }
    return CheckTarget(name=name, server=server, **properties)


def build_kube_client(server: str, timeout_s: float = 20) -> KubeClient:
    """Return the program's client of an API server, without a proxy."""
    return KubeClient(build_client(server), timeout_s)


def build_client(server: str, **configured: Any) -> Any:
    """Return a client that bypasses any proxy."""
    from kubernetes.client import ApiClient, Configuration

    configuration = Configuration(host=server)
    configuration.proxy = None
    for key, value in configured.items():
        setattr(configuration, key, value)
    return ApiClient(configuration)


def run_checks_against(api_server: FakeApiServer, **properties: Any) -> list[Finding]:
    """Return the findings for a server."""
    with serve(api_server):
        return check_clusters([check_target(**properties)], lambda name: build_client(api_server.server), timeout_s=20)


def check_clusters(*arguments: Any, **options: Any) -> list[Finding]:
    """Return the findings of `run_checks`."""
    return list(run_checks(*arguments, **options).findings)


def only_finding(api_server: FakeApiServer, **properties: Any) -> Finding:
    """Return the single finding for a server."""
    [finding] = run_checks_against(api_server, **properties)
    return finding
