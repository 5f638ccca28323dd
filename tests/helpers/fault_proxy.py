"""An API server as it is in bad times: a proxy before it that refuses requests, or loses them.

It shows the API server's own certificate, so that a kubeconfig needs nothing but its port, and asks as the lab's admin.
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
    """What happens to a request."""

    REFUSED = "refused"  # is answered with 429, 500 or 503, and not passed on
    DROPPED = "dropped"  # its connection is closed, before it is passed on or after that


class FaultProxy:
    """One API server's proxy; requests pass until trouble begins.

    Args:
        lab: the lab.
        context: of the cluster.
        chance: what befalls which request.
    """

    def __init__(self, lab: StateDir, context: str, chance: random.Random) -> None:
        self._chance = chance
        self._lock = threading.Lock()
        self._trouble: RequestFault | None = None
        self._share = 0.0
        self.struck = 0
        pki = Pki(folder=lab.cluster(context) / "pki")
        self._upstream = urlsplit(lab.read_status()["clusters"][context]["apiServer"]).netloc
        self._client = ssl.create_default_context(cafile=str(pki.certificate("ca")))
        self._client.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(pki.certificate("apiserver"), pki.key("apiserver"))
        self._server = _Server(("127.0.0.1", 0), self._handler())
        # The handshake is each connection's own: nobody waits for one that says nothing.
        self._server.socket = server.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[FaultProxy]:
        """It answers as long as this is entered."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    @contextmanager
    def troubled(self, trouble: RequestFault, share: float) -> Iterator[None]:
        """A share of all requests, 0 to 1, meets trouble as long as this is entered."""
        self._trouble, self._share, self.struck = trouble, share, 0
        try:
            yield
        finally:
            self._trouble = None

    def fate(self) -> HTTPStatus | str | None:
        """What happens to the next request: a refusal, `before` or `after`, or nothing."""
        with self._lock:
            if self._trouble is None or self._chance.random() >= self._share:
                return None
            self.struck += 1
            if self._trouble is RequestFault.DROPPED:
                return self._chance.choice(["before", "after"])
            return self._chance.choice(
                [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE]
            )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, HTTPException):  # either end has gone
                    self.close_connection = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fate = proxy.fate()
                if isinstance(fate, HTTPStatus):
                    self._refuse(fate)
                elif fate == "before":
                    self.close_connection = True
                else:
                    self._pass_on(body, answering=fate is None)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def _refuse(self, status: HTTPStatus) -> None:
                content = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": int(status)}
                body = json.dumps({**content, "message": "the fault proxy refuses this"}).encode()
                self.send_response(status)
                if status is HTTPStatus.TOO_MANY_REQUESTS:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _pass_on(self, body: bytes, *, answering: bool) -> None:
                upstream = HTTPSConnection(proxy._upstream, context=proxy._client)
                try:
                    headers = {k: v for k, v in self.headers.items() if k.lower() not in {*_HOP_BY_HOP_HEADERS, "host"}}
                    upstream.request(self.command, self.path, body=body or None, headers=headers)
                    answer = upstream.getresponse()
                    if not answering:
                        answer.read()
                        self.close_connection = True
                        return
                    self.send_response(answer.status)
                    for key, value in answer.getheaders():
                        if key.lower() not in _HOP_BY_HOP_HEADERS:
                            self.send_header(key, value)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    while piece := answer.read1(_CHUNK_SIZE):  # as it comes: a watch goes on for minutes
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.write(b"0\r\n\r\n")
                finally:
                    upstream.close()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that goes during the handshake is nothing to tell of."""


def write_kubeconfig(lab: StateDir, proxies: dict[str, FaultProxy], file: Path) -> None:
    """Write a copy of the lab's kubeconfig in which API servers are reached through proxies.

    Args:
        lab: the lab.
        proxies: by context.
        file: where the copy goes.
    """
    content = yaml.safe_load(lab.kubeconfig.read_text())
    for cluster in content["clusters"]:
        if cluster["name"] in proxies:
            cluster["cluster"]["server"] = proxies[cluster["name"]].url
    file.write_text(yaml.safe_dump(content))
    file.chmod(0o600)
