"""Kubernetes API clients and the kubeconfigs that they read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.kube import client as kube_client
from mesh.kube import connection, kubeconfig, transport
from mesh.kube.client import KubeClient
from mesh.kube.connection import Access, build_api_client
from mesh.kube.errors import (
    ApiStatusError,
    ApiUnreachableError,
    BadCredentialsError,
    KubeconfigContextError,
    KubeError,
    NotReadableError,
)
from mesh.kube.kubeconfig import Kubeconfig
from tests.helpers.fake_api_server import FakeApiServer, build_client, build_kube_client, serve


def write_kubeconfig(path: Path, server: str, contexts: int) -> str:
    names = [f"c{number}" for number in range(contexts)]
    content = {
        "clusters": [{"name": name, "cluster": {"server": f"{server}/{name}"}} for name in names],
        "users": [{"name": "me", "user": {"token": "token"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in names],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_kubeconfig_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_paths: list[Path] = []
    read = kubeconfig.read_kubeconfigs

    def read_and_count(paths: Iterable[Path]) -> Kubeconfig:
        paths = list(paths)
        read_paths.extend(paths)
        return read(paths)

    def hosts_of(numbers: range) -> list[Any]:
        accesses = [Access(context=f"c{number}", kubeconfig=file) for number in numbers]
        return [build_api_client(access).configuration.host for access in accesses]

    monkeypatch.setattr(connection, "read_kubeconfigs", read_and_count)
    file = write_kubeconfig(tmp_path / "config", "https://api.example.com", 5)

    assert hosts_of(range(5)) == [f"https://api.example.com/c{number}" for number in range(5)]
    assert read_paths == [Path(file)]

    write_kubeconfig(tmp_path / "config", "https://changed.example.com", 7)

    assert hosts_of(range(5, 7)) == ["https://changed.example.com/c5", "https://changed.example.com/c6"]
    assert read_paths == [Path(file)] * 2


def test_kubeconfig_text_is_parsed_once_for_all_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    parse = kubeconfig.parse_kubeconfig

    def parse_and_count(text: str, label: str) -> Kubeconfig:
        texts.append(text)
        return parse(text, label)

    monkeypatch.setattr(connection, "parse_kubeconfig", parse_and_count)
    content = Path(write_kubeconfig(tmp_path / "config", "https://content.example.com", 3)).read_text()
    accesses = [Access(context=f"c{number}", kubeconfig=content) for number in range(3)]

    hosts = [build_api_client(access).configuration.host for access in accesses]

    assert hosts == [f"https://content.example.com/c{number}" for number in range(3)]
    assert texts == [content]


def test_list_of_kubeconfigs_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = write_kubeconfig(tmp_path / "one", "https://one.example.com", 1)
    two = write_kubeconfig(tmp_path / "two", "https://two.example.com", 2)
    monkeypatch.setenv("KUBECONFIG", f"{one}:{tmp_path / 'none'}:{two}")
    build_api_client.cache_clear()

    hosts = [build_api_client(Access(context=name)).configuration.host for name in ("c0", "c1")]

    assert hosts == ["https://one.example.com/c0", "https://two.example.com/c1"]
    build_api_client.cache_clear()


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("/nowhere/kubeconfig", "set $KUBECONFIG to a file that has it"),
        (
            "~/kubeconfig",
            "set $KUBECONFIG to absolute paths, because kubectl and Pulumi do not expand `~` in it",
        ),
    ],
)
def test_missing_kubeconfig_raises_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, remedy: str
) -> None:
    write_kubeconfig(tmp_path / "kubeconfig", "https://api.example.com", 1)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", value)
    build_api_client.cache_clear()

    with pytest.raises(KubeconfigContextError, match="no kubeconfig was found") as caught:
        build_api_client(Access(context="c0"))

    assert caught.value.remedy == remedy


PODS = "/api/v1/pods"


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with serve(FakeApiServer()) as started:
        yield started


def test_missing_object_is_none(server: FakeApiServer) -> None:
    client = build_kube_client(server.server)

    assert client.request("GET", PODS) is None
    assert client.get(PODS, "pods") is None
    assert client.list_objects(PODS, "app=web") == []
    assert server.requests == [f"GET {PODS}"] * 3


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500])
def test_refused_request_has_status_and_message(server: FakeApiServer, status: int) -> None:
    server.statuses[PODS] = status

    with pytest.raises(ApiStatusError, match=rf"PATCH http://127\.0\.0\.1:\d+{PODS}: HTTP {status}: things") as caught:
        build_kube_client(server.server).request("PATCH", f"{PODS}?dryRun=All", body={})

    assert (caught.value.status, caught.value.message[:19]) == (status, "things is forbidden")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, BadCredentialsError),
        (403, NotReadableError),
        (404, None),
        (422, NotReadableError),
        (429, ApiUnreachableError),
        (500, ApiUnreachableError),
    ],
)
def test_errors_of_checks_follow_status(
    monkeypatch: pytest.MonkeyPatch, server: FakeApiServer, status: int, error: type[KubeError] | None
) -> None:
    monkeypatch.setattr("mesh.kube.client.OVERLOAD_RETRY_DELAYS_S", ())
    server.statuses[PODS] = status
    client = build_kube_client(server.server)

    if error is None:
        assert client.get(PODS, "pods") is None
    else:
        with pytest.raises(error):
            client.get(PODS, "pods")


def get_pods(client: KubeClient) -> Any:
    """Read the pods as a check does."""
    return client.get(PODS, "pods")


def request_pods(client: KubeClient) -> Any:
    """Read the pods as a change does."""
    return client.request("GET", PODS)


@pytest.mark.parametrize("read", [get_pods, request_pods])
def test_busy_api_server_is_asked_again_soon(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[KubeClient], Any]
) -> None:
    class BusyApiServer(FakeApiServer):
        def answer(self, path: str, body: Any) -> tuple[int, bytes]:
            return (429, b"{}") if len(self.requests) < 3 else super().answer(path, body)

    monkeypatch.setattr("mesh.kube.client.OVERLOAD_RETRY_DELAYS_S", (0.01, 0.01, 0.01))
    began = time.monotonic()
    with serve(BusyApiServer(objects={PODS: {"items": []}})) as server:
        assert read(build_kube_client(server.server)) == {"items": []}

    assert server.requests == [f"GET {PODS}"] * 3
    assert time.monotonic() - began < 1, "the server's Retry-After is longer than it needs"


@pytest.mark.thorough  # waits for timeouts
def test_only_requests_for_changes_are_retried() -> None:
    with serve(FakeApiServer(hanging_paths=(PODS,))) as server:
        client = build_kube_client(server.server, timeout_s=0.2)

        with pytest.raises(ApiUnreachableError, match=r"no response within 0\.2 seconds"):
            client.get(PODS, "pods")
        assert server.requests == [f"GET {PODS}"]

        with pytest.raises(ApiUnreachableError, match=r"no response within 0\.2 seconds"):
            client.list_objects(PODS)
        # The server can read the last request after the client has given up.
        deadline = time.monotonic() + 10
        while len(server.requests) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.requests == [f"GET {PODS}"] * 5


def test_too_large_answer_is_error(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.objects[PODS] = {"items": ["x" * 1000]}
    monkeypatch.setattr(transport, "MAX_RESPONSE_BYTES", 100)
    client = build_kube_client(server.server)

    with pytest.raises(NotReadableError, match="no JSON object"):
        client.get(PODS, "pods")
    with pytest.raises(ApiStatusError, match="no JSON object"):
        client.list_objects(PODS)


def test_expired_credentials_are_renewed(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    renewals: list[Any] = []
    client = KubeClient(
        build_client(server.server, api_key={"authorization": "Bearer token"}, refresh_api_key_hook=renewals.append)
    )
    client.request("GET", PODS)
    renewals_before = len(renewals)

    client.request("GET", PODS)
    assert len(renewals) == renewals_before

    monkeypatch.setattr(client._transport, "_headers_expire_at", 0.0)
    client.request("GET", PODS)
    assert len(renewals) > renewals_before


def test_missing_context_has_its_own_error(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://api.example.com", 1)

    with pytest.raises(KubeconfigContextError, match="the kubeconfig has no context missing"):
        kube_client.connect(Access(context="missing", kubeconfig=path))
    with pytest.raises(BadCredentialsError) as caught:
        kube_client.connect(Access(context="c0", kubeconfig="{\nnot: [yaml"))
    assert not isinstance(caught.value, KubeconfigContextError)


def test_text_is_read_up_to_its_limit() -> None:
    api_server = FakeApiServer(objects={"/log": "ü".encode() + b"\xff" + b"x" * 100})
    with serve(api_server):
        client = build_kube_client(api_server.server)

        assert client.read_text("/log?tailLines=10", max_bytes=5) == "ü\ufffdxx"
        assert client.read_text("/other", max_bytes=5) is None


def test_refused_text_raises_the_message_of_the_server() -> None:
    api_server = FakeApiServer(objects={}, statuses={"/log": 400})
    with serve(api_server):
        client = build_kube_client(api_server.server)

        with pytest.raises(ApiStatusError, match="HTTP 400: things is forbidden"):
            client.read_text("/log", max_bytes=5)


def test_hanging_text_ends_at_the_deadline() -> None:
    api_server = FakeApiServer(hanging_paths=("/log",))
    with serve(api_server):
        client = build_kube_client(api_server.server, timeout_s=0.2)

        with pytest.raises(ApiUnreachableError, match="no response within"):
            client.read_text("/log", max_bytes=5)
