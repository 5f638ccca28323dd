"""Preflight, where a cluster can't be asked: one finding that says why, and no waiting."""

from __future__ import annotations

import datetime
import ipaddress
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

from mesh.preflight import Finding, Severity, run_checks, runner
from tests.helpers.fake_api_server import (
    REVIEWS,
    SERVICES,
    FakeApiServer,
    build_client,
    check_target,
    healthy_server,
    serve,
)

START = "start it or mend the way there; to go on without it for now, set clusters.west.reachable: false"
LOG_IN = "get new credentials (log in again), or mend the user of the context that clusters.west.context names"

# Seconds, where there will be no answer; and those in which even a busy machine has noticed that.
HASTE = 0.2
ONCE = 5
NOTHING_CAME = f"no answer came within {HASTE} seconds"


def ask(server: str, timeout: float = 5, **configured: Any) -> Finding:
    """The only finding."""
    [found] = run_checks(
        [check_target(server=server)], lambda name: build_client(server, **configured), timeout=timeout
    )
    assert (found.path, found.value, found.severity) == ("clusters.west", server, Severity.ERROR)
    return found


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    """Everything that a client imports, so that no test takes the time of it."""
    build_client("http://127.0.0.1:9")


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that is stopped: its system takes connections, and it never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.2, and its key."""
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


def test_a_cluster_that_refuses_connections_is_one_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

    assert str(ask(url)) == f"clusters.west: {url}: no connection can be made: connection refused; {START}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_stopped_api_server_is_told_of_after_the_timeout(silent: int, scheme: str) -> None:
    began = time.monotonic()

    found = ask(f"{scheme}://127.0.0.1:{silent}", HASTE)

    assert time.monotonic() - began < ONCE
    assert (found.rule, found.remedy) == (NOTHING_CAME, START)


def test_stopped_api_servers_are_waited_for_side_by_side_and_told_of_in_order(silent: int) -> None:
    names = [f"c{number}" for number in range(12)]
    began = time.monotonic()

    found = run_checks(
        [check_target(name) for name in names], lambda name: build_client(f"http://127.0.0.1:{silent}"), timeout=HASTE
    )

    assert time.monotonic() - began < ONCE
    assert [finding.path for finding in found] == [f"clusters.{name}" for name in names]


def test_of_many_clusters_so_many_are_asked_at_a_time_as_can_be_listened_to() -> None:
    names = [f"c{number}" for number in range(2 * runner.MAX_CONCURRENT_CLUSTERS + 1)]
    under_way, most = set[str](), 0

    def clients(name: str) -> Any:
        nonlocal most
        under_way.add(name)
        most = max(most, len(under_way))
        time.sleep(0.1)
        under_way.discard(name)
        raise ValueError

    found = run_checks([check_target(name) for name in names], clients)

    assert [finding.path for finding in found] == [f"clusters.{name}" for name in names]
    assert 1 < most <= runner.MAX_CONCURRENT_CLUSTERS


def test_one_that_stops_in_the_middle_is_asked_no_more() -> None:
    with serve(healthy_server(hanging_paths=(SERVICES,))) as cluster:
        began = time.monotonic()

        assert ask(cluster.server, HASTE).rule == NOTHING_CAME
        assert time.monotonic() - began < ONCE
        assert cluster.requests[-1] == f"GET {SERVICES}"


def test_one_that_stops_while_rights_are_asked_for_is_waited_for_once() -> None:
    with serve(healthy_server(hanging_paths=(REVIEWS,))) as cluster:
        began = time.monotonic()

        assert ask(cluster.server, HASTE).rule == NOTHING_CAME
        assert time.monotonic() - began < ONCE


def test_an_answer_that_comes_byte_by_byte_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 1000:
                        connection.send(bytes([byte]))
                        time.sleep(0.05)
                except OSError:
                    pass  # it was not waited for

        threading.Thread(target=trickle, daemon=True).start()
        began = time.monotonic()

        assert ask(f"http://127.0.0.1:{server.getsockname()[1]}", HASTE).rule == NOTHING_CAME
        assert time.monotonic() - began < ONCE


def test_a_name_that_is_not_known_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert ask("https://west.example.com").rule == "its name can't be resolved: name or service not known"


def test_a_name_server_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2))
    began = time.monotonic()

    assert ask("https://west.example.com", HASTE).rule == NOTHING_CAME
    assert time.monotonic() - began < ONCE


def test_a_certificate_of_another_authority_is_told_of(certificate: tuple[Path, Path]) -> None:
    with serve(healthy_server(), certificate) as cluster:
        found = ask(cluster.server)

    assert (found.rule, found.remedy) == ("its certificate is not accepted: self-signed certificate", START)


def test_a_certificate_for_another_host_is_told_of(certificate: tuple[Path, Path]) -> None:
    with serve(healthy_server(), certificate) as cluster:
        found = ask(cluster.server, ssl_ca_cert=str(certificate[0]))

    assert found.rule == (
        "its certificate is not accepted: IP address mismatch, certificate is not valid for '127.0.0.1'"
    )


def test_a_certificate_may_be_left_unchecked(certificate: tuple[Path, Path]) -> None:
    with serve(healthy_server(), certificate) as cluster:
        assert (
            run_checks([check_target()], lambda name: build_client(cluster.server, verify_ssl=False), timeout=20) == []
        )


def test_what_speaks_no_tls_is_told_of() -> None:
    with serve(healthy_server()) as cluster:
        assert ask(cluster.server.replace("http", "https")).rule == "what answers there doesn't speak TLS"


@pytest.mark.parametrize("status", [500, 503, 429])
@pytest.mark.parametrize("path", ["/version", SERVICES])
def test_an_api_server_in_trouble_is_out_of_reach(status: int, path: str) -> None:
    with serve(healthy_server(statuses={path: status})) as cluster:
        found = ask(cluster.server)

    assert found.rule.startswith(f"it answers with HTTP {status}, ")
    assert found.rule.endswith(f" to GET {path}")
    assert found.remedy == START


@pytest.mark.parametrize(
    ("sent", "rule"),
    [
        (b"", "the connection broke off without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the connection broke off: what came is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "the connection broke off"),
    ],
)
def test_what_is_no_web_server_is_told_of(sent: bytes, rule: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.send(sent)

        threading.Thread(target=answer, daemon=True).start()

        assert ask(f"http://127.0.0.1:{server.getsockname()[1]}").rule == rule


@pytest.mark.parametrize(
    ("cluster", "seen"),
    [
        (FakeApiServer(), "HTTP 404, Not Found"),
        (FakeApiServer(statuses={"": 302}), "HTTP 302, Found"),
        (FakeApiServer(objects={"/version": b"<html>log in</html>"}), "an answer that is no JSON object"),
        (FakeApiServer(objects={"/version": b"[" * 100_000}), "an answer that is no JSON object"),
        (FakeApiServer(objects={"/version": [1]}), "an answer that is no JSON object"),
    ],
)
def test_what_is_no_api_server_is_told_of(cluster: FakeApiServer, seen: str) -> None:
    with serve(cluster):
        found = ask(cluster.server)

    assert found.rule == f"what answers there is no Kubernetes API server ({seen} to GET /version)"


def test_credentials_that_are_refused_are_an_error_of_their_own() -> None:
    with serve(healthy_server(statuses={REVIEWS: 401})) as cluster:
        found = ask(cluster.server)

    assert (
        found.rule == "the API server refuses the kubeconfig's credentials: they are wrong or have expired (HTTP 401)"
    )
    assert found.remedy == LOG_IN


def test_a_user_that_is_refused_everything_needs_other_credentials() -> None:
    with serve(healthy_server(statuses={"": 403, "/version": 200})) as cluster:
        found = ask(cluster.server)

    assert found.rule == (
        "the API server lets the kubeconfig's credentials see nothing: someone is refused everything (403)"
    )
    assert found.remedy == LOG_IN


@pytest.mark.parametrize(
    ("error", "why"),
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
)
def test_a_client_that_can_not_be_made_is_told_of(error: Exception, why: str) -> None:
    def clients(name: str) -> Any:
        raise error

    [found] = run_checks([check_target()], clients)

    assert found.severity is Severity.ERROR
    assert (found.rule, found.remedy) == (f"the kubeconfig's credentials can't be used{why}", LOG_IN)


def test_a_plugin_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CREDENTIALS_WITHIN", 0.2)

    [found] = run_checks([check_target()], lambda name: time.sleep(1))

    assert found.rule == "no credentials came within 0.2 seconds from the kubeconfig's plugin"


def test_a_plugin_that_fails_when_its_token_is_used_is_told_of() -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("exec: process returned 7")

    found = ask("http://127.0.0.1:9", api_key={"authorization": "old"}, refresh_api_key_hook=fail)

    assert found.rule == "the kubeconfig's credentials can't be used: exec: process returned 7"


def test_a_token_with_strange_characters_is_told_of_but_not_shown() -> None:
    with serve(healthy_server()) as cluster:
        found = ask(cluster.server, api_key={"authorization": "Bearer hush\nhush"})

    assert found.rule == "the kubeconfig's credentials can't be used: they have characters that HTTP doesn't allow"
    assert "hush" not in str(found)


def test_certificate_files_that_are_missing_or_wrong_are_told_of(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.crt"
    wrong.write_text("nothing of the kind")
    with serve(healthy_server(), certificate) as cluster:
        missing = ask(cluster.server, cert_file=str(tmp_path / "no.crt"), key_file=str(certificate[1]))
        garbled = ask(cluster.server, cert_file=str(wrong), key_file=str(certificate[1]))

    assert missing.rule == "the kubeconfig's certificate or key can't be read: No such file or directory"
    assert garbled.rule == "the kubeconfig's certificates or its key can't be read, or don't belong together"
    assert missing.remedy == garbled.remedy == LOG_IN


def test_the_others_are_asked_all_the_same(silent: int) -> None:
    with serve(healthy_server()) as cluster:
        cluster.objects["/version"] = {"gitVersion": "v1.20.0"}
        servers = {"west": f"http://127.0.0.1:{silent}", "east": cluster.server}
        found = run_checks(
            [check_target(name) for name in servers], lambda name: build_client(servers[name]), timeout=HASTE
        )

    assert [(finding.path, finding.value) for finding in found] == [
        ("clusters.west", "https://west.example.com"),
        ("clusters.east", "v1.20.0"),
    ]
