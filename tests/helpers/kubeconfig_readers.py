"""Readers of kubeconfigs: kubectl, the Kubernetes provider and this program, and a server that records their requests.

The server is no API server: a kubeconfig is used as intended if its requests arrive with the expected user.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from hack.toolchain import installed
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from mesh.kube.errors import KubeError
from tests.helpers.certificates import DAY, IssuedCertificate

CONTEXT = "west"
# Only the proxies know this host name.
PROXIED_HOST = "api.mesh.test"
PROXY_USER, PROXY_PASSWORD = "proxy-user", "p@ss:word"
_VERSION = b'{"major": "1", "minor": "33", "gitVersion": "v1.33.1"}'
_TIMEOUT_S = 30


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The user of a request, from its headers and certificate."""

    authorization: str | None = None
    impersonation: tuple[tuple[str, str], ...] = ()
    certificate: str | None = None  # common name of the client's certificate


@dataclass(kw_only=True)
class Servers:
    """The addresses of the servers, the certificates, and the recorded requests."""

    folder: Path
    authority: IssuedCertificate
    client: IssuedCertificate
    port: int = 0
    plain_port: int = 0
    proxies: dict[str, int] = field(default_factory=dict)  # port by scheme
    identities: list[Identity] = field(default_factory=list)
    proxied: list[str] = field(default_factory=list)  # scheme and target of each connection through a proxy

    @property
    def cluster(self) -> dict[str, Any]:
        """Return a cluster with the server's address and CA."""
        return {
            "server": f"https://127.0.0.1:{self.port}",
            "tls-server-name": PROXIED_HOST,
            "certificate-authority-data": b64encode(self.authority.pem.encode()).decode(),
        }

    def proxied_cluster(self, scheme: str, user_info: str = "") -> dict[str, Any]:
        """Return a cluster behind a proxy."""
        return {
            "server": f"https://{PROXIED_HOST}:{self.port}",
            "certificate-authority-data": self.cluster["certificate-authority-data"],
            "proxy-url": f"{scheme}://{user_info}localhost:{self.proxies[scheme]}",
        }


@contextmanager
def serve_recorder(folder: Path) -> Iterator[Servers]:
    """Serve until exit: HTTPS, HTTP, and a proxy per scheme."""
    now = datetime.now(UTC)
    authority = IssuedCertificate(name="authority", begin=now - DAY, end=now + DAY)
    leaf: dict[str, Any] = {"begin": now - DAY, "end": now + DAY, "ca": False, "cert_sign": False, "signer": authority}
    server = IssuedCertificate(name="server", dns_name=PROXIED_HOST, **leaf)
    proxy = IssuedCertificate(name="proxy", dns_name="localhost", **leaf)
    servers = Servers(folder=folder, authority=authority, client=IssuedCertificate(name="someone", **leaf))
    context, proxy_context = (_server_context(each, folder) for each in (server, proxy))
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    with ExitStack() as stack:
        servers.port = stack.enter_context(_start(_RecordingServer, _RecordingHandler, servers, context))
        servers.plain_port = stack.enter_context(_start(_RecordingServer, _RecordingHandler, servers))
        servers.proxies["http"] = stack.enter_context(_start(_ProxyServer, _ConnectHandler, servers))
        servers.proxies["https"] = stack.enter_context(_start(_ProxyServer, _ConnectHandler, servers, proxy_context))
        servers.proxies["socks5"] = stack.enter_context(_start(_ProxyServer, _SocksHandler, servers))
        yield servers


def _server_context(certificate: IssuedCertificate, folder: Path) -> ssl.SSLContext:
    path = folder / f"{certificate.name}.pem"
    path.write_text(certificate.private_key + certificate.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


class _RecordingServer(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False
    servers: Servers

    def handle_error(self, *_: Any) -> None:
        pass  # the client did not like the certificate


class _ProxyServer(socketserver.ThreadingTCPServer):
    daemon_threads, block_on_close, allow_reuse_address = True, False, True
    servers: Servers

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def _start(server_class: Any, handler: Any, servers: Servers, context: ssl.SSLContext | None = None) -> Iterator[int]:
    with server_class(("127.0.0.1", 0), handler) as server:
        server.servers = servers
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


class _RecordingHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _RecordingServer

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/version":
            self.server.servers.identities.append(self._identity())
            status, content = 200, _VERSION
        else:
            status, content = 404, b'{"kind": "Status", "apiVersion": "v1", "code": 404}'
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _identity(self) -> Identity:
        certificate: Any = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        names = [value for ((_, value),) in (certificate or {}).get("subject", ())]
        headers = sorted((key.lower(), value) for key, value in self.headers.items())
        return Identity(
            authorization=self.headers.get("Authorization"),
            impersonation=tuple(each for each in headers if each[0].startswith("impersonate-")),
            certificate=str(names[0]) if names else None,
        )

    def log_message(self, *_: Any) -> None:
        pass


class _ConnectHandler(BaseHTTPRequestHandler):
    server: _ProxyServer

    def do_CONNECT(self) -> None:
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        authorization = self.headers.get("Proxy-Authorization")
        user = "" if authorization is None else f" {authorization}"
        self.server.servers.proxied.append(f"{scheme} {self.path.partition(':')[0]}{user}")
        with closing(socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2])))) as upstream:
            self.send_response_only(200)
            self.end_headers()
            _relay(self.connection, upstream)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class _SocksHandler(socketserver.StreamRequestHandler):
    server: _ProxyServer

    def handle(self) -> None:
        _, count = self.rfile.read(2)
        methods = self.rfile.read(count)
        user = ""
        if 2 in methods:
            self.request.sendall(b"\x05\x02")
            name = self.rfile.read(self.rfile.read(2)[1])
            password = self.rfile.read(self.rfile.read(1)[0])
            user = f" {name.decode()}:{password.decode()}"
            self.request.sendall(b"\x01\x00")
        else:
            self.request.sendall(b"\x05\x00")
        kind = self.rfile.read(4)[3]
        host = self.rfile.read(self.rfile.read(1)[0]).decode() if kind == 3 else str(list(self.rfile.read(4)))
        port = int.from_bytes(self.rfile.read(2))
        self.server.servers.proxied.append(f"socks5 {host}{user}")
        with closing(socket.create_connection(("127.0.0.1", port))) as upstream:
            self.request.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            _relay(self.request, upstream)


def _relay(one: Any, other: Any) -> None:
    """Copy data in both directions until one side closes."""
    while True:
        buffered = isinstance(one, ssl.SSLSocket) and one.pending()
        readable = [one] if buffered else select.select([one, other], [], [], _TIMEOUT_S)[0]
        if not readable:
            return
        for source in readable:
            data = source.recv(2**16)
            if not data:
                return
            (other if source is one else one).sendall(data)


@cache
def find_kubectl() -> str:
    """Return the path of kubectl; called before a test changes HOME, below which the toolchain is."""
    return shutil.which("kubectl") or str(installed("kubectl") / "bin/kubectl")


@cache
def find_provider() -> str:
    """Return the path of the Kubernetes provider, as `find_kubectl` does."""
    [program] = (installed("engine") / "plugins").glob("resource-kubernetes-*/pulumi-resource-kubernetes")
    return str(program)


def ask_with_kubectl(servers: Servers, environment: Mapping[str, str], *options: str) -> str:
    """Send a request by kubectl, and return its error output."""
    command = [find_kubectl(), *options, "--context", CONTEXT, "--request-timeout=10s", "get", "--raw", "/version"]
    process = subprocess.run(
        command,
        env={**environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if process.returncode != 0:
        servers.identities.clear()  # Google's kubectl reads the version once more, without a user
    return process.stderr


def ask_with_provider(environment: Mapping[str, str], kubeconfig: str = "") -> None:
    """Let the Kubernetes provider configure itself, for which it reads the server's version."""
    with subprocess.Popen(
        [find_provider(), "127.0.0.1:1"],
        env={**environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            variables = {"kubernetes:config:context": CONTEXT, "kubernetes:config:kubeconfig": kubeconfig}
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                request = provider_pb2.ConfigureRequest(variables=variables, acceptSecrets=True)
                provider_pb2_grpc.ResourceProviderStub(channel).Configure(request, timeout=_TIMEOUT_S)
        except grpc.RpcError:
            pass  # without a version, the provider refuses the server
        finally:
            process.kill()


def ask_with_program(kubeconfig: str = "") -> str:
    """Send a request by this program's client, in this process' environment, and return its error."""
    try:
        kube_client.connect(Access(context=CONTEXT, kubeconfig=kubeconfig), timeout_s=10).get_version()
    except KubeError as error:
        return f"{error}; {getattr(error, 'remedy', None)}"
    return ""


def reader_environment(folder: Path, kubeconfig: str) -> dict[str, str]:
    """Return an environment for all readers, without a proxy and with an own PATH."""
    return {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "KUBECONFIG": kubeconfig,
        "PULUMI_K8S_CLIENT_TIMEOUT": "10",
    }
