"""A fake API server whose collections can be listed and watched, with the faults of real watches."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class WatchableApiServer:
    """Objects by the path of their collection and by name; each change is an event for the watches."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[str] = []  # paths, with `?watch` for a watch
        self.statuses: dict[str, int] = {}  # by path of the collection; "" is for all
        self.watch_lifetime_s = 60.0
        self.expires_watches = False  # whether a watch begins with an event of status 410
        self.open_watches = 0
        self._objects: dict[str, dict[str, dict[str, Any]]] = {}
        self._singles: dict[str, dict[str, Any]] = {}
        self._events: list[tuple[int, str, str, dict[str, Any]]] = []
        self._version = 1
        self._generation = 0  # number that a broken watch no longer has
        self._changed = threading.Condition()

    @property
    def server(self) -> str:
        """Return the URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def put(self, path: str, live: Mapping[str, Any]) -> None:
        """Create or replace an object of a collection."""
        with self._changed:
            objects = self._objects.setdefault(path, {})
            name = live["metadata"]["name"]
            objects[name] = self._add_event("MODIFIED" if name in objects else "ADDED", path, live)

    def put_single(self, path: str, live: Mapping[str, Any]) -> None:
        """Set the object that is read by its own path."""
        self._singles[path] = dict(live)

    def delete(self, path: str, name: str) -> None:
        """Delete an object of a collection."""
        with self._changed:
            self._add_event("DELETED", path, self._objects[path].pop(name))

    def break_watches(self) -> None:
        """Close the connections of all watches; their clients miss what changes meanwhile."""
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def _add_event(self, kind: str, path: str, live: Mapping[str, Any]) -> dict[str, Any]:
        """Store an event, and return its object."""
        self._version += 1
        versioned = {**live, "metadata": {**live["metadata"], "resourceVersion": str(self._version)}}
        self._events.append((self._version, kind, path, versioned))
        self._changed.notify_all()
        return versioned

    def read(self, path: str) -> dict[str, Any]:
        """Return the object or the list at a path."""
        return self._singles.get(path) or self.list_objects(path)

    def list_objects(self, path: str) -> dict[str, Any]:
        """Return the list of a collection."""
        with self._changed:
            items = list(self._objects.get(path, {}).values())
            return {"kind": "List", "metadata": {"resourceVersion": str(self._version)}, "items": items}

    def watch(self, path: str, version: int, timeout_s: float) -> Iterator[dict[str, Any]]:
        """Yield the events of a collection since a version, until the watch is broken."""
        if self.expires_watches:
            yield {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
            return
        deadline = time.monotonic() + min(self.watch_lifetime_s, timeout_s)
        with self._changed:
            generation = self._generation
        while True:
            with self._changed:
                pending = [each for each in self._events if each[0] > version and each[2] == path]
                if not pending:
                    self._changed.wait(max(0.0, deadline - time.monotonic()))
                if generation != self._generation or time.monotonic() >= deadline:
                    return
            for event_version, kind, _, live in pending:
                version = event_version
                yield {"type": kind, "object": live}


@contextmanager
def serve_watches(api_server: WatchableApiServer) -> Iterator[WatchableApiServer]:
    """Serve the API until exit."""

    class WatchHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            is_watch = "watch" in query
            api_server.requests.append(f"{url.path}?watch" if is_watch else url.path)
            status = api_server.statuses.get(url.path, api_server.statuses.get("", 200))
            if status != 200 or not is_watch:
                content = {"kind": "Status"} if status != 200 else api_server.read(url.path)
                self._send(status, json.dumps(content).encode())
                return
            self.send_response_only(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            api_server.open_watches += 1
            try:
                timeout_s = float(query.get("timeoutSeconds", ["inf"])[0])
                for event in api_server.watch(url.path, int(query["resourceVersion"][0]), timeout_s):
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")
            finally:
                api_server.open_watches -= 1
                self.close_connection = True

        def _send(self, status: int, content: bytes) -> None:
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class WatchHttpServer(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            pass  # the client closed the connection

    server = WatchHttpServer(("127.0.0.1", 0), WatchHandler)
    api_server.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.001}, daemon=True).start()
    try:
        yield api_server
    finally:
        api_server.break_watches()
        server.shutdown()
        server.server_close()
