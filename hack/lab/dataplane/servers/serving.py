"""HTTP servers that lose no request when they stop: they accept for a second after SIGTERM, and finish what runs."""

import http.server
import os
import signal
import socketserver
import threading
import time
import types
from collections.abc import Callable

_ACCEPT_AFTER_SIGTERM_S = 1.0  # by then every proxy has received the removal of the endpoint
_DRAIN_TIMEOUT_S = 20.0


class Handler(http.server.BaseHTTPRequestHandler):
    """Base class of the servers' handlers: HTTP/1.1 with keep-alive until SIGTERM."""

    protocol_version = "HTTP/1.1"
    is_stopping = False
    running = 0
    lock = threading.Lock()

    def respond(self, body: str, status: int = 200, media_type: str = "text/plain; charset=utf-8") -> None:
        """Send a response, which also ends the connection after SIGTERM."""
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        if Handler.is_stopping:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer(self) -> None:
        """Answer one request; subclasses implement it."""
        raise NotImplementedError

    def read_body(self) -> bytes:
        """Return the request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        """Answer a request of any method."""
        with Handler.lock:
            Handler.running += 1
        try:
            self.answer()
        finally:
            with Handler.lock:
                Handler.running -= 1

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a line per request would fill the disk under load."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A server with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True


def serve(handlers: dict[int, type[Handler]], *, before_end: Callable[[], object] = lambda: None) -> None:
    """Serve these handlers by port until SIGTERM, and call `before_end` after the last request."""
    stopping = threading.Event()

    def stop(number: int, frame: types.FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    servers = [Server(("", port), handler) for port, handler in handlers.items()]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    stopping.wait()
    Handler.is_stopping = True
    time.sleep(_ACCEPT_AFTER_SIGTERM_S)
    for server in servers:
        server.shutdown()
        server.server_close()
    deadline = time.monotonic() + _DRAIN_TIMEOUT_S
    while Handler.running and time.monotonic() < deadline:
        time.sleep(0.02)
    before_end()
    os._exit(0)
