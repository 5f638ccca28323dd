"""Preflight of unreachable clusters: one finding with the reason, within the timeout."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.preflight import Finding, Severity, runner
from tests.helpers.fake_api_server import (
    REVIEWS,
    SERVICES,
    FakeApiServer,
    build_client,
    check_clusters,
    check_target,
    healthy_server,
    serve,
)

pytestmark = pytest.mark.thorough  # waits for timeouts

START_REMEDY = "start it or repair the connection; to continue without it, set clusters.west.reachable: false"
LOGIN_REMEDY = "get new credentials (log in again), or fix the user of the context that clusters.west.context names"

# A timeout for servers that never answer, and the time in which even a busy machine detects it.
TIMEOUT_S = 0.2
MAX_DETECTION_S = 5
NO_RESPONSE = f"no response within {TIMEOUT_S} seconds"


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy API server fail at once."""
    monkeypatch.setattr("mesh.kube.client.OVERLOAD_RETRY_DELAYS_S", ())


def check_server(server: str, timeout: float = 5, **client_options: Any) -> Finding:
    """Return the only finding about a server."""
    [finding] = check_clusters(
        [check_target(server=server)], lambda name: build_client(server, **client_options), timeout_s=timeout
    )
    assert (finding.path, finding.value, finding.severity) == ("clusters.west", server, Severity.ERROR)
    return finding


@pytest.fixture(scope="module", autouse=True)
def client_imports() -> None:
    """Import all that a client needs, so that no measured time includes the imports."""
    build_client("http://127.0.0.1:9")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yield the port of a stopped server: its kernel accepts connections, but no answer follows."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def server_certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return the files of a self-signed certificate for 127.0.0.2 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "apiserver")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "server.crt", tmp_path / "server.key"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def test_refused_connection_is_one_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

    assert str(check_server(url)) == f"clusters.west: {url}: the connection failed: connection refused; {START_REMEDY}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_stopped_api_server_is_reported_after_timeout(silent_port: int, scheme: str) -> None:
    start = time.monotonic()

    finding = check_server(f"{scheme}://127.0.0.1:{silent_port}", TIMEOUT_S)

    assert time.monotonic() - start < MAX_DETECTION_S
    assert (finding.rule, finding.remedy) == (NO_RESPONSE, START_REMEDY)


def test_concurrent_timeouts_are_reported_in_order(silent_port: int) -> None:
    names = [f"c{number}" for number in range(12)]
    start = time.monotonic()

    findings = check_clusters(
        [check_target(name) for name in names],
        lambda name: build_client(f"http://127.0.0.1:{silent_port}"),
        timeout_s=TIMEOUT_S,
    )

    assert time.monotonic() - start < MAX_DETECTION_S
    assert [finding.path for finding in findings] == [f"clusters.{name}" for name in names]


def test_number_of_concurrent_checks_is_limited() -> None:
    names = [f"c{number}" for number in range(2 * runner.MAX_CONCURRENT_CLUSTERS + 1)]
    active, max_active = set[str](), 0

    def clients(name: str) -> Any:
        nonlocal max_active
        active.add(name)
        max_active = max(max_active, len(active))
        time.sleep(0.1)
        active.discard(name)
        raise ValueError

    findings = check_clusters([check_target(name) for name in names], clients)

    assert [finding.path for finding in findings] == [f"clusters.{name}" for name in names]
    assert 1 < max_active <= runner.MAX_CONCURRENT_CLUSTERS


def test_api_server_that_stops_gets_no_further_requests() -> None:
    with serve(healthy_server(hanging_paths=(SERVICES,))) as cluster:
        start = time.monotonic()

        assert check_server(cluster.server, TIMEOUT_S).rule == NO_RESPONSE
        assert time.monotonic() - start < MAX_DETECTION_S
        assert cluster.requests[-1] == f"GET {SERVICES}"


def test_stop_during_permission_reviews_times_out_once() -> None:
    with serve(healthy_server(hanging_paths=(REVIEWS,))) as cluster:
        start = time.monotonic()

        assert check_server(cluster.server, TIMEOUT_S).rule == NO_RESPONSE
        assert time.monotonic() - start < MAX_DETECTION_S


def test_slow_answer_counts_against_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 1000:
                        connection.send(bytes([byte]))
                        time.sleep(0.05)
                except OSError:
                    pass  # the client closed the connection at its timeout

        threading.Thread(target=trickle, daemon=True).start()
        start = time.monotonic()

        assert check_server(f"http://127.0.0.1:{server.getsockname()[1]}", TIMEOUT_S).rule == NO_RESPONSE
        assert time.monotonic() - start < MAX_DETECTION_S


def test_unknown_host_name_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert (
        check_server("https://west.example.com").rule == "the host name cannot be resolved: name or service not known"
    )


def test_silent_name_server_is_limited_by_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2))
    start = time.monotonic()

    assert check_server("https://west.example.com", TIMEOUT_S).rule == NO_RESPONSE
    assert time.monotonic() - start < MAX_DETECTION_S


def test_untrusted_server_certificate_is_reported(server_certificate: tuple[Path, Path]) -> None:
    with serve(healthy_server(), server_certificate) as cluster:
        finding = check_server(cluster.server)

    assert (finding.rule, finding.remedy) == (
        "the server's certificate is not accepted: self-signed certificate",
        START_REMEDY,
    )


def test_server_certificate_for_another_host_is_reported(server_certificate: tuple[Path, Path]) -> None:
    with serve(healthy_server(), server_certificate) as cluster:
        finding = check_server(cluster.server, ssl_ca_cert=str(server_certificate[0]))

    assert finding.rule == (
        "the server's certificate is not accepted: IP address mismatch, certificate is not valid for '127.0.0.1'"
    )


def test_server_certificate_check_can_be_disabled(server_certificate: tuple[Path, Path]) -> None:
    with serve(healthy_server(), server_certificate) as cluster:
        assert (
            check_clusters([check_target()], lambda name: build_client(cluster.server, verify_ssl=False), timeout_s=20)
            == []
        )


def test_server_without_tls_is_reported() -> None:
    with serve(healthy_server()) as cluster:
        assert check_server(cluster.server.replace("http", "https")).rule == "the server does not use TLS"


@pytest.mark.parametrize("status", [500, 503, 429])
@pytest.mark.parametrize("path", ["/version", SERVICES])
def test_server_error_counts_as_unreachable(status: int, path: str) -> None:
    with serve(healthy_server(statuses={path: status})) as cluster:
        finding = check_server(cluster.server)

    assert finding.rule.startswith(f"the API server responds with HTTP {status}, ")
    assert finding.rule.endswith(f" to GET {path}")
    assert finding.remedy == START_REMEDY


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "the connection broke off without a response"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the connection broke off: the response is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "the connection broke off"),
    ],
)
def test_non_http_server_is_reported(content: bytes, rule: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.send(content)

        threading.Thread(target=answer, daemon=True).start()

        assert check_server(f"http://127.0.0.1:{server.getsockname()[1]}").rule == rule


@pytest.mark.parametrize(
    ("cluster", "answer"),
    [
        (FakeApiServer(), "HTTP 404, Not Found"),
        (FakeApiServer(statuses={"": 302}), "HTTP 302, Found"),
        (FakeApiServer(objects={"/version": b"<html>log in</html>"}), "a response that is no JSON object"),
        (FakeApiServer(objects={"/version": b"[" * 100_000}), "a response that is no JSON object"),
        (FakeApiServer(objects={"/version": [1]}), "a response that is no JSON object"),
    ],
    ids=["not-found", "redirect", "html", "deep-json", "json-list"],
)
def test_other_http_server_is_reported(cluster: FakeApiServer, answer: str) -> None:
    with serve(cluster):
        finding = check_server(cluster.server)

    assert finding.rule == f"the server is no Kubernetes API server ({answer} to GET /version)"


def test_refused_credentials_are_error() -> None:
    with serve(healthy_server(statuses={REVIEWS: 401})) as cluster:
        finding = check_server(cluster.server)

    assert (
        finding.rule == "the API server refuses the kubeconfig's credentials: they are wrong or have expired (HTTP 401)"
    )
    assert finding.remedy == LOGIN_REMEDY


def test_user_without_any_permission_needs_other_credentials() -> None:
    with serve(healthy_server(statuses={"": 403, "/version": 200})) as cluster:
        finding = check_server(cluster.server)

    assert finding.rule == (
        "the kubeconfig's credentials allow nothing: all requests of someone are forbidden (HTTP 403)"
    )
    assert finding.remedy == LOGIN_REMEDY


def test_forbidden_impersonation_is_named_as_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    server = healthy_server(statuses={"": 403, "/version": 200})
    message = 'users "jane" is forbidden: User "someone" cannot impersonate resource "users" at the cluster scope'
    monkeypatch.setattr(
        server, "answer", lambda path, body: (403, json.dumps({"kind": "Status", "message": message}).encode())
    )
    with serve(server) as cluster:
        finding = check_server(cluster.server)

    assert finding.rule == "someone may not impersonate the kubeconfig's `as` and `as-groups` (HTTP 403)"
    assert finding.remedy.startswith("remove them from the context's user, or let")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "aws"), ": aws: No such file or directory"),
        (
            RuntimeError("exec: process returned 1.\n<Session object at 0x7f00dead>  expired"),
            ": exec: process returned 1. expired",
        ),
        (KeyError("token"), ": token is missing"),
        (ValueError(""), ""),
        (KeyError(), ""),
    ],
    ids=["missing-plugin", "plugin-failure", "missing-key", "empty-message", "no-message"],
)
def test_client_creation_failure_is_reported(error: Exception, reason: str) -> None:
    def clients(name: str) -> Any:
        raise error

    [finding] = check_clusters([check_target()], clients)

    assert finding.severity is Severity.ERROR
    assert (finding.rule, finding.remedy) == (f"the kubeconfig's credentials cannot be used{reason}", LOGIN_REMEDY)


def test_hanging_credential_plugin_is_limited_by_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CREDENTIALS_TIMEOUT_S", 0.2)

    [finding] = check_clusters([check_target()], lambda name: time.sleep(1))

    assert finding.rule == "the kubeconfig's plugin returned no credentials within 0.2 seconds"


def test_failed_token_refresh_is_reported() -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("exec: process returned 7")

    finding = check_server("http://127.0.0.1:9", api_key={"authorization": "old"}, refresh_api_key_hook=fail)

    assert finding.rule == "the kubeconfig's credentials cannot be used: exec: process returned 7"


def test_token_with_invalid_characters_is_not_shown() -> None:
    with serve(healthy_server()) as cluster:
        finding = check_server(cluster.server, api_key={"authorization": "Bearer hush\nhush"})

    assert (
        finding.rule == "the kubeconfig's credentials cannot be used: they contain characters that HTTP does not allow"
    )
    assert "hush" not in str(finding)


def test_invalid_client_certificate_files_are_reported(server_certificate: tuple[Path, Path], tmp_path: Path) -> None:
    invalid_file = tmp_path / "wrong.crt"
    invalid_file.write_text("nothing of the kind")
    with serve(healthy_server(), server_certificate) as cluster:
        missing = check_server(cluster.server, cert_file=str(tmp_path / "no.crt"), key_file=str(server_certificate[1]))
        invalid = check_server(cluster.server, cert_file=str(invalid_file), key_file=str(server_certificate[1]))

    assert missing.rule == "the kubeconfig's certificate or key cannot be read: No such file or directory"
    assert invalid.rule == "the kubeconfig's certificates or its key cannot be read, or do not belong together"
    remedy = "correct certificate-authority, client-certificate and client-key in the kubeconfig"
    assert missing.remedy == invalid.remedy == f"{remedy}, or log in again"


def test_other_clusters_are_still_checked(silent_port: int) -> None:
    with serve(healthy_server()) as cluster:
        cluster.objects["/version"] = {"gitVersion": "v1.20.0"}
        servers = {"west": f"http://127.0.0.1:{silent_port}", "east": cluster.server}
        findings = check_clusters(
            [check_target(name) for name in servers], lambda name: build_client(servers[name]), timeout_s=TIMEOUT_S
        )

    assert [(finding.path, finding.value) for finding in findings] == [
        ("clusters.west", "https://west.example.com"),
        ("clusters.east", "v1.20.0"),
    ]
