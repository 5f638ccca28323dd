"""Trial of a link's credentials against API servers with certificates of several authorities."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from components.linkerd import link_credentials_check
from components.linkerd.link_credentials import render_kubeconfig
from components.linkerd.link_credentials_check import LinkCredentialsError, check_link_credentials
from mesh import config
from mesh.config.resolved import PeerAccess
from mesh.topology import Link
from tests.helpers.certificates import DAY, IssuedCertificate
from tests.helpers.cluster_settings import build_cluster_settings
from tests.helpers.fake_api_server import FakeApiServer, serve

# Programs and servers of the tests take seconds.
pytestmark = pytest.mark.thorough

TOKEN = "a-token-that-no-message-contains"
LINK = Link(source="west", target="east")
SERVICES = {"kind": "ServiceList", "items": []}
PATH = "clusters.east.apiServer"
OWN_URL_REMEDY = f"set {PATH} to the URL of the API server itself"


def issue(name: str, signer: IssuedCertificate | None = None, **fields: Any) -> IssuedCertificate:
    """Return a certificate that is valid now; by default that of a CA."""
    now = datetime.now(UTC)
    return IssuedCertificate(name=name, signer=signer, **{"begin": now - DAY, "end": now + DAY, **fields})


CLUSTER_CA = issue("the cluster's own CA")
FRONT_CA = issue("the CA of a proxy in front of the cluster")


@dataclass(kw_only=True)
class Server(FakeApiServer):
    """API server that lists Services to one token."""

    def __post_init__(self) -> None:
        self.accepted_token = TOKEN
        self.objects = {"/api/v1/services": SERVICES, **self.objects}


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the timeouts, and remove the proxies of this machine."""
    monkeypatch.setattr(link_credentials_check, "REQUEST_TIMEOUT_S", 1.0)
    monkeypatch.setattr(link_credentials_check, "ACCEPTANCE_TIMEOUT_S", 0.0)
    monkeypatch.setattr(link_credentials_check, "_RETRY_INTERVAL_S", 0.01)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def serve_with_tls(
    folder: Path, server: FakeApiServer, signer: IssuedCertificate, name: str = "localhost", **fields: Any
) -> Iterator[str]:
    """Serve an API with a certificate of a CA, and yield its URL."""
    purposes = (ExtendedKeyUsageOID.SERVER_AUTH,)
    certificate = issue(name, signer, ca=False, cert_sign=False, purposes=purposes, dns_name=name, **fields)
    files = folder / "server.crt", folder / "server.key"
    files[0].write_text(certificate.pem)
    files[1].write_text(certificate.private_key)
    with serve(server, files):
        yield f"https://localhost:{server.port}"


def target_at(url: str, **access: Any) -> config.ClusterSettings:
    """Return the settings of a target whose API server has this URL for its sources."""
    return replace(build_cluster_settings("east"), api_server=url, peer_access=PeerAccess(**access))


def check(
    url: str,
    authority: IssuedCertificate | str | None,
    *,
    token: str = TOKEN,
    tls_server_name: str | None = None,
    target: config.ClusterSettings | None = None,
) -> str | None:
    """Try credentials with a CA, and return the warning."""
    pem = authority.pem if isinstance(authority, IssuedCertificate) else authority
    kubeconfig = render_kubeconfig(
        target="east",
        server=url,
        certificate_authority=None if pem is None else base64.b64encode(pem.encode()).decode(),
        token=token,
        tls_server_name=tls_server_name,
    )
    warning = check_link_credentials(kubeconfig, LINK, target or target_at(url))
    assert warning is None or TOKEN not in warning
    return warning


def error_of(url: str, authority: IssuedCertificate | None, **rest: Any) -> str:
    """Return rule and remedy of the error for credentials that do not work."""
    with pytest.raises(LinkCredentialsError) as raised:
        check(url, authority, **rest)
    message = str(raised.value)
    assert TOKEN not in message
    prefix = f'{PATH}: "{url}": the credentials of the link {LINK.name} do not work there: '
    assert message.startswith(prefix), message
    return message.removeprefix(prefix)


def test_credentials_that_work_cause_no_warning(tmp_path: Path) -> None:
    server = Server()
    with serve_with_tls(tmp_path, server, CLUSTER_CA) as url:
        assert check(url, CLUSTER_CA) is None

    assert server.requests == ["GET /api/v1/services"]


def test_authority_can_be_bundle_or_intermediate(tmp_path: Path) -> None:
    intermediate = issue("an intermediate CA", CLUSTER_CA)
    with serve_with_tls(tmp_path, Server(), intermediate) as url:
        # Go accepts an intermediate CA as a trust anchor. OpenSSL does so only with a flag.
        assert check(url, intermediate) is None
        assert check(url, FRONT_CA.pem + intermediate.pem) is None


def test_certificate_of_other_authority_is_error(tmp_path: Path) -> None:
    with serve_with_tls(tmp_path, Server(), CLUSTER_CA) as url:
        reason, _, remedy = error_of(url, FRONT_CA).partition("; ")

    assert reason.startswith("the server's certificate is not accepted: ")
    assert remedy == f"set {PATH}.certificateAuthority to the CA of this certificate, or {OWN_URL_REMEDY[4:]}"


def test_private_authority_is_not_in_system_trust_store(tmp_path: Path) -> None:
    with serve_with_tls(tmp_path, Server(), CLUSTER_CA) as url:
        assert "certificate is not accepted" in error_of(url, None)


def test_system_trust_store_is_used_without_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "public.crt").write_text(CLUSTER_CA.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.crt"))
    with serve_with_tls(tmp_path, Server(), CLUSTER_CA) as url:
        assert check(url, None) is None
        assert "certificate is not accepted" in error_of(url, FRONT_CA)


def test_expired_certificate_is_error(tmp_path: Path) -> None:
    past = datetime.now(UTC) - 2 * DAY
    with serve_with_tls(tmp_path, Server(), CLUSTER_CA, begin=past, end=past + DAY) as url:
        assert "certificate has expired" in error_of(url, CLUSTER_CA)


def test_certificate_for_other_name_needs_server_name(tmp_path: Path) -> None:
    with serve_with_tls(tmp_path, Server(), CLUSTER_CA, name="kubernetes.example.com") as url:
        _, _, remedy = error_of(url, CLUSTER_CA).partition("; ")

        assert remedy == f"set {PATH}.tlsServerName to a name in the certificate, or {PATH}.url to an address in it"
        assert check(url, CLUSTER_CA, tls_server_name="kubernetes.example.com") is None
        assert "not valid for 'other.example.com'" in error_of(url, CLUSTER_CA, tls_server_name="other.example.com")


def test_refused_token_is_error(tmp_path: Path) -> None:
    with serve_with_tls(tmp_path, Server(), CLUSTER_CA) as url:
        message = error_of(url, CLUSTER_CA, token="an-old-token")

    assert message.startswith(f"the server refuses the token of east's service account (HTTP 401); {OWN_URL_REMEDY}")


def test_token_may_be_accepted_after_some_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_credentials_check, "ACCEPTANCE_TIMEOUT_S", 10.0)

    class LateServer(Server):
        def answer(self, path: str, body: Any) -> tuple[int, bytes]:
            return super().answer(path, body) if len(self.requests) > 2 else (403 - 2 * (len(self.requests) % 2), b"{}")

    server = LateServer()
    with serve_with_tls(tmp_path, server, CLUSTER_CA) as url:
        assert check(url, CLUSTER_CA) is None

    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (Server(statuses={"": 403}), "the token cannot read the list of Services (not allowed)"),
        (Server(statuses={"": 302}), "the token cannot read the list of Services (HTTP 302, Found)"),
        (
            Server(objects={"/api/v1/services": b"<html>Log in</html>"}),
            "the token cannot read the list of Services (a response that is no JSON object)",
        ),
        (Server(objects={"/api/v1/services": {"kind": "Login"}}), "the server is no Kubernetes API server"),
        (Server(statuses={"": 404}), "the server is no Kubernetes API server"),
    ],
)
def test_other_server_at_address_is_error(tmp_path: Path, server: Server, reason: str) -> None:
    with serve_with_tls(tmp_path, server, CLUSTER_CA) as url:
        assert error_of(url, CLUSTER_CA) == f"{reason}; {OWN_URL_REMEDY}"


def test_server_without_tls_is_error() -> None:
    with serve(Server()) as server:
        url = server.server.replace("http:", "https:")

        assert error_of(url, CLUSTER_CA) == f"the server does not use TLS; {OWN_URL_REMEDY}"


def test_server_that_requires_client_certificate_is_error(tmp_path: Path) -> None:
    certificate = issue("localhost", CLUSTER_CA, ca=False, cert_sign=False, dns_name="localhost")
    (tmp_path / "server.pem").write_text(certificate.pem + certificate.private_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(cadata=CLUSTER_CA.pem)
    context.verify_mode = ssl.CERT_REQUIRED

    def refuse() -> None:
        with pytest.raises(ssl.SSLError), context.wrap_socket(listener.accept()[0], server_side=True):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse)
        thread.start()
        message = error_of(f"https://localhost:{listener.getsockname()[1]}", CLUSTER_CA)
        thread.join()

    assert message.startswith("TLS failed: ")


def warning_for(reason: str, url: str) -> str:
    """Return the warning for an address that this machine cannot reach."""
    label = f"the credentials of the link {LINK.name} were not tried from this machine"
    return f'{PATH}: "{url}": {label}: {reason}; check that west reaches this URL'


def unused_port() -> int:
    """Return a port at which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_unreachable_address_is_warning() -> None:
    url = f"https://127.0.0.1:{unused_port()}"

    assert check(url, CLUSTER_CA) == warning_for("the connection failed: connection refused", url)


def test_silent_server_is_warning_within_timeout() -> None:
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        assert check(url, CLUSTER_CA) == warning_for("no response within 1 seconds", url)

    assert time.monotonic() - start < 5


def test_unavailable_server_is_warning(tmp_path: Path) -> None:
    reason = "the API server responds with HTTP 503, Service Unavailable to GET /api/v1/services"
    with serve_with_tls(tmp_path, Server(statuses={"": 503}), CLUSTER_CA) as url:
        assert check(url, CLUSTER_CA) == warning_for(reason, url)


def test_proxy_of_kubeconfig_is_used(tmp_path: Path) -> None:
    server = Server()
    proxy = f"http://127.0.0.1:{unused_port()}"
    with serve_with_tls(tmp_path, server, CLUSTER_CA) as url:
        target = target_at(url)
        target = replace(target, context=replace(target.context, proxy_url=proxy))

        warning = check(url, CLUSTER_CA, target=target)

    assert warning == warning_for("the proxy refuses the connection: connection refused", url)
    assert server.requests == []


def test_unsupported_proxy_is_warning() -> None:
    url = "https://192.0.2.1:6443"
    target = target_at(url)
    target = replace(target, context=replace(target.context, proxy_url="socks9://127.0.0.1:1"))

    warning = check(url, CLUSTER_CA, target=target)

    assert warning is not None
    assert "were not tried from this machine: " in warning
