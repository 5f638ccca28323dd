"""Load client: sends requests at a constant rate, and prints a line of JSON for each answer.

The program runs inside a pod, by `python3 -c <source> <arguments>`, so it needs only the standard library, and for gRPC
the package grpcio. Each request starts at its own time, even if earlier ones have no answer yet. The latency counts
from that time, so that a slow answer neither delays nor hides later requests.

The client stops at the end of its standard input, and waits for outstanding answers.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

_MAX_TEXT_LENGTH = 160
_MESSAGE_KEY = "lab-message"  # metadata of the lab's gRPC servers, which names the server
# A server may close an idle connection at any time. Like Go's HTTP client, the client then opens another one.
_CLOSED_WHILE_IDLE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)

Send = Callable[[], dict[str, Any]]


class HttpSender:
    """Requests to an http:// URL.

    Args:
        address: host and port.
        target: path and query.
        timeout_s: time limit of a request.
        keeps_connections: whether connections are used for several requests.
    """

    def __init__(self, address: tuple[str, int], target: str, *, timeout_s: float, keeps_connections: bool) -> None:
        self._address, self._target, self._timeout_s = address, target, timeout_s
        self._keeps_connections = keeps_connections
        self._idle: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()

    def send(self) -> dict[str, Any]:
        """Send one request, and return its status and text; every failure raises an exception."""
        connection = self._take_idle_connection()
        if connection is not None:
            try:
                return self._exchange(connection)
            except _CLOSED_WHILE_IDLE:
                return {**self._send_on_new_connection(), "is_repeated": True}
        return self._send_on_new_connection()

    def _send_on_new_connection(self) -> dict[str, Any]:
        return self._exchange(http.client.HTTPConnection(*self._address, timeout=self._timeout_s))

    def _exchange(self, connection: http.client.HTTPConnection) -> dict[str, Any]:
        try:
            connection.request("GET", self._target, headers={} if self._keeps_connections else {"Connection": "close"})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except BaseException:
            connection.close()
            raise
        if self._keeps_connections and not response.will_close:
            self._idle.put(connection)
        else:
            connection.close()
        return {"status": response.status, "text": " ".join(text.split())[:_MAX_TEXT_LENGTH]}

    def _take_idle_connection(self) -> http.client.HTTPConnection | None:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return None


def grpc_sender(address: tuple[str, int], timeout_s: float) -> Send:
    """Return a function that calls the gRPC health service at an address; it needs the package grpcio.

    https://grpc.io/docs/guides/health-checking/
    """
    import grpc

    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    channel = grpc.insecure_channel(f"{address[0]}:{address[1]}", options)
    check = channel.unary_unary("/grpc.health.v1.Health/Check")

    def send() -> dict[str, Any]:
        try:
            _, call = check.with_call(b"", timeout=timeout_s)
        except grpc.RpcError as error:
            return {"error": f"{error.code().name}: {error.details()}"[:_MAX_TEXT_LENGTH]}
        metadata = dict(call.initial_metadata())
        return {"status": 200, "text": str(metadata.get(_MESSAGE_KEY, ""))}

    return send


class LoadClient:
    """Requests at a constant rate.

    Args:
        send: sends a request, and returns the answer.
        rate: requests per second.
        timeout_s: time limit of a request.
    """

    def __init__(self, send: Send, *, rate: float, timeout_s: float) -> None:
        self._send, self._rate, self._timeout_s = send, rate, timeout_s
        self._output_lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Send requests until `stop` is set, and wait for their answers."""
        began, began_at = time.monotonic(), time.time()
        with ThreadPoolExecutor(max_workers=int(self._rate * (self._timeout_s + 1)) + 1) as pool:
            for number in itertools.count():
                offset = number / self._rate
                if stop.wait(max(0.0, began + offset - time.monotonic())):
                    return
                pool.submit(self._measure, began + offset, began_at + offset)

    def _measure(self, began: float, at: float) -> None:
        """Send one request, and print its answer."""
        answer: dict[str, Any] = {"at": round(at, 4)}
        try:
            answer |= self._send()
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"[:_MAX_TEXT_LENGTH]
        answer["seconds"] = round(time.monotonic() - began, 4)
        with self._output_lock:
            print(json.dumps(answer), flush=True)


def main() -> None:
    """Run the client with the arguments on the command line."""
    parser = argparse.ArgumentParser(description="Send requests at a constant rate until the end of standard input.")
    parser.add_argument("url", help="http://host:port/path, or grpc://host:port for the health service")
    parser.add_argument("--rate", type=float, default=20, help="requests per second")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS", help="time limit of a request")
    parser.add_argument("--keep-connections", action="store_true", help="use a connection for several requests")
    options = parser.parse_args()
    url = urlsplit(options.url)
    address = (str(url.hostname), url.port or 80)
    if url.scheme == "grpc":
        send = grpc_sender(address, options.timeout)
    else:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        send = HttpSender(address, target, timeout_s=options.timeout, keeps_connections=options.keep_connections).send
    client = LoadClient(send, rate=options.rate, timeout_s=options.timeout)
    stop = threading.Event()

    def wait_for_end_of_input() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_end_of_input, daemon=True).start()
    client.run(stop)


if __name__ == "__main__":
    main()
