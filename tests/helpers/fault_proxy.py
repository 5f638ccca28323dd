"""Proxies in front of API servers, which refuse or drop a share of the requests.

A proxy uses the API server's certificate, so that a kubeconfig only needs another port. The proxy
authenticates as the lab's admin.
"""

from __future__ import annotations

import json
import random
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from hack.lab.pki import Pki
from hack.lab.state_dir import StateDir

_HOP_BY_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_CHUNK_SIZE = 2**16  # bytes


class RequestFault(StrEnum):
    """Kinds of failing requests."""

    REFUSED = "refused"  # the proxy answers with 429, 500 or 503
    DROPPED = "dropped"  # the proxy closes the connection, before or after it forwards the request


class FaultProxy:
    """A proxy of one API server, which forwards all requests until a fault is injected.

    Args:
        lab: the lab.
        context: context of the cluster.
        rng: random numbers that choose the failing requests.
    """

    def __init__(self, lab: StateDir, context: str, rng: random.Random) -> None:
        self._chance = rng
        self._lock = threading.Lock()
        self._trouble: RequestFault | None = None
        self._share = 0.0
        self.fault_count = 0
        pki = Pki(folder=lab.cluster(context) / "pki")
        self._upstream = urlsplit(lab.read_status()["clusters"][context]["apiServer"]).netloc
        self._client = ssl.create_default_context(cafile=str(pki.certificate("ca")))
        self._client.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(pki.certificate("apiserver"), pki.key("apiserver"))
        self._server = _Server(("127.0.0.1", 0), self._handler())
        # Each connection does its own handshake, so that a silent client does not block the others.
        self._server.socket = server.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """Return the URL of the proxy."""
        return f"https://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serve(self) -> Iterator[FaultProxy]:
        """Serve requests in a thread until exit."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    @contextmanager
    def inject(self, fault: RequestFault, share: float) -> Iterator[None]:
        """Let a share of all requests, 0 to 1, fail until exit."""
        self._trouble, self._share, self.fault_count = fault, share, 0
        try:
            yield
        finally:
            self._trouble = None

    def draw_outcome(self) -> HTTPStatus | str | None:
        """Draw the outcome of the next request: a status, `before` or `after` for a drop, or None for success."""
        with self._lock:
            if self._trouble is None or self._chance.random() >= self._share:
                return None
            self.fault_count += 1
            if self._trouble is RequestFault.DROPPED:
                return self._chance.choice(["before", "after"])
            return self._chance.choice(
                [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE]
            )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class FaultProxyHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, HTTPException):  # either side closed the connection
                    self.close_connection = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outcome = proxy.draw_outcome()
                if isinstance(outcome, HTTPStatus):
                    self._refuse(outcome)
                elif outcome == "before":
                    self.close_connection = True
                else:
                    self._pass_on(body, returns_response=outcome is None)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def _refuse(self, status: HTTPStatus) -> None:
                status_object = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": int(status)}
                body = json.dumps({**status_object, "message": "the fault proxy refuses this"}).encode()
                self.send_response(status)
                if status is HTTPStatus.TOO_MANY_REQUESTS:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _pass_on(self, body: bytes, *, returns_response: bool) -> None:
                upstream = HTTPSConnection(proxy._upstream, context=proxy._client)
                try:
                    headers = {k: v for k, v in self.headers.items() if k.lower() not in {*_HOP_BY_HOP_HEADERS, "host"}}
                    upstream.request(self.command, self.path, body=body or None, headers=headers)
                    response = upstream.getresponse()
                    if not returns_response:
                        response.read()
                        self.close_connection = True
                        return
                    self.send_response(response.status)
                    for key, value in response.getheaders():
                        if key.lower() not in _HOP_BY_HOP_HEADERS:
                            self.send_header(key, value)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    while chunk := response.read1(_CHUNK_SIZE):  # forwarded at once, because a watch lasts for minutes
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    self.wfile.write(b"0\r\n\r\n")
                finally:
                    upstream.close()

            def log_message(self, *_: object) -> None:
                pass

        return FaultProxyHandler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Ignore clients that close the connection during the handshake."""


def write_kubeconfig(lab: StateDir, proxies: dict[str, FaultProxy], file: Path) -> None:
    """Write a copy of the lab's kubeconfig with the URLs of the proxies.

    Args:
        lab: the lab.
        proxies: proxies by context.
        file: path of the copy.
    """
    content = yaml.safe_load(lab.kubeconfig.read_text())
    for cluster in content["clusters"]:
        if cluster["name"] in proxies:
            cluster["cluster"]["server"] = proxies[cluster["name"]].url
    file.write_text(yaml.safe_dump(content))
    file.chmod(0o600)
