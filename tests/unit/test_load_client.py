"""Load client, against a server in the test process."""

from __future__ import annotations

import http.server
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from hack.lab.dataplane.servers.grpc_health import serve_health
from hack.traffic.load import ClientSpec, LoadError, run_load
from hack.traffic.report import Answer

# Each test runs a client for a second.
pytestmark = pytest.mark.thorough


class CountingServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    slow_request: int = 0  # number of a request that takes long
    closes_connections = False  # without an announcement, after each answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CountingHandler)
        self.request_count = 0
        self.connections: set[object] = set()


class CountingHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CountingServer

    def do_GET(self) -> None:
        self.server.request_count += 1
        self.server.connections.add(self.client_address)
        if self.server.request_count == self.server.slow_request:
            time.sleep(0.5)
        body = b"version: v1"
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or self.server.closes_connections

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def run_client(server: CountingServer, path: str = "/", *, keeps_connections: bool = False) -> list[Answer]:
    """Return the answers to the requests of 0.3 seconds, and of as much more as a busy machine needs for six."""
    spec = ClientSpec(
        name="client",
        command=("env",),
        url=f"http://127.0.0.1:{server.server_port}{path}",
        origin_pattern=r"version: (v\d)",
        keeps_connections=keeps_connections,
    )
    with run_load([spec], os.environ) as load:
        while server.request_count < 6:
            time.sleep(0.05)
    return load.answers()["client"]


def test_slow_answer_does_not_delay_later_requests(server: CountingServer) -> None:
    server.slow_request = 2

    answers = run_client(server)

    assert [each.status for each in answers] == [200] * len(answers)
    assert max(each.seconds for each in answers) >= 0.5
    assert sum(each.seconds < 0.4 for each in answers) >= 4


def test_client_opens_a_connection_per_request(server: CountingServer) -> None:
    answers = run_client(server)

    assert len(server.connections) == len(answers)


def test_client_keeps_connections(server: CountingServer) -> None:
    answers = run_client(server, keeps_connections=True)

    assert len(server.connections) < len(answers)


def test_request_on_closed_connection_is_repeated(server: CountingServer) -> None:
    server.closes_connections = True

    answers = run_client(server, keeps_connections=True)

    assert [each.status for each in answers] == [200] * len(answers)
    assert any(each.is_repeated for each in answers)


def test_status_of_failed_request_is_reported(server: CountingServer) -> None:
    assert {each.reason for each in run_client(server, "/missing")} == {"404"}


def test_grpc_client_reads_server_from_metadata() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve_health(port, "version: v1")
    spec = ClientSpec(
        name="client",
        command=("env",),
        url=f"grpc://127.0.0.1:{port}",
        origin_pattern="",
        interpreter=(sys.executable, "-I"),
    )

    with run_load([spec], os.environ) as load:
        load.wait_until_steady(steady_s=0.3, timeout_s=10)
    server.stop(None).wait()

    assert {each.text for each in load.answers()["client"]} == {"version: v1"}


def test_load_is_not_steady_while_requests_fail(server: CountingServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/missing"
    spec = ClientSpec(name="client", command=("env",), url=url, origin_pattern="(.*)")

    with (
        pytest.raises(LoadError, match=r"not steady after 1 seconds: client: 404"),
        run_load([spec], os.environ) as load,
    ):
        load.wait_until_steady(steady_s=0.5, timeout_s=1)


def test_client_that_cannot_start_is_reported() -> None:
    spec = ClientSpec(name="client", command=("sh", "-c", "echo no such pod >&2; exit 1"), url="", origin_pattern="")

    with pytest.raises(LoadError, match="client: exit code 1: no such pod"), run_load([spec], os.environ):
        pass
