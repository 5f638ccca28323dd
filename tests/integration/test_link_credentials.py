"""Credentials of links to a target behind a front with another CA."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.pki import Pki
from hack.lab.state_dir import StateDir
from tests.helpers.documented_commands import LINK_CREDENTIALS, commands_of_test
from tests.helpers.page_runner import copy_project, run_in_project
from tests.helpers.stack_under_test import StackUnderTest, deploy
from tests.helpers.tls_front import serve_front, write_kubeconfig

pytestmark = pytest.mark.lab("west", "east", minutes=2)

CONFIG: dict[str, Any] = {
    "clusters": {"west": {}, "east": {}},
    "links": [{"source": "west", "target": "east"}],
    "linkerd": {"version": "2.14.10"},
}
NAMESPACES = ("linkerd-multicluster", "linkerd")


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy a mesh in which west is linked to east."""
    with deploy(lab, tmp_path_factory.mktemp("credentials"), "credentials", CONFIG) as lab_stack:
        yield lab_stack


def configure_api_server(mesh: StackUnderTest, api_server: Any) -> None:
    """Set `apiServer` of east; None: not set."""
    east = {} if api_server is None else {"apiServer": api_server}
    mesh.configure({**CONFIG, "clusters": {"west": {}, "east": east}})


def read_secrets(mesh: StackUnderTest) -> list[tuple[str, str]]:
    """Return UID and kubeconfig of the link's Secrets."""
    secrets = [mesh.get_object("west", "secret", "cluster-credentials-east", namespace) for namespace in NAMESPACES]
    return [(secret["metadata"]["uid"], base64.b64decode(secret["data"]["kubeconfig"]).decode()) for secret in secrets]


def read_cluster(mesh: StackUnderTest) -> dict[str, Any]:
    """Return the `cluster` in the link's credentials."""
    contents = {kubeconfig for _, kubeconfig in read_secrets(mesh)}
    assert len(contents) == 1
    (entry,) = yaml.safe_load(contents.pop())["clusters"]
    return dict(entry["cluster"])


def read_authority(mesh: StackUnderTest, cluster: str) -> str:
    """Return the CA of a cluster's API server as PEM."""
    return Pki(folder=mesh.lab.cluster(cluster) / "pki").certificate("ca").read_text()


def assert_passing(mesh: StackUnderTest) -> None:
    assert [row for row in mesh.run_checks() if not row.passed] == []
    assert mesh.preview_changes() == {}


def test_credentials_that_do_not_work_leave_old_ones(mesh: StackUnderTest, tmp_path: Path) -> None:
    before = read_secrets(mesh)
    west_url = mesh.lab.read_status()["clusters"]["west"]["apiServer"]
    with serve_front(mesh.lab, "east", tmp_path) as front:
        configure_api_server(mesh, front.url)
        other_authority = mesh.up_expecting_failure()
        other_cluster_config = {"url": west_url, "certificateAuthority": read_authority(mesh, "west")}
        configure_api_server(mesh, other_cluster_config)
        other_cluster = mesh.up_expecting_failure()

    subject = "the credentials of the link west-to-east do not work there"
    assert f'clusters.east.apiServer: "{front.url}": {subject}: ' in other_authority
    assert "set clusters.east.apiServer.certificateAuthority to the CA of this certificate" in other_authority
    assert f'clusters.east.apiServer: "{west_url}": {subject}: ' in other_cluster
    assert "HTTP 401" in other_cluster
    assert read_secrets(mesh) == before, "working credentials were replaced"
    token = yaml.safe_load(before[0][1])["users"][0]["user"]["token"]
    assert token not in other_authority + other_cluster
    configure_api_server(mesh, None)
    assert_passing(mesh)


def test_credentials_carry_authority_of_front(mesh: StackUnderTest, tmp_path: Path) -> None:
    name = "front.example.com"
    with serve_front(mesh.lab, "east", tmp_path, name=name) as front:
        authority = {"certificateAuthority": front.certificate_authority, "tlsServerName": name}
        configure_api_server(mesh, {"url": front.url, **authority})
        mesh.up()

        assert read_cluster(mesh)["tls-server-name"] == name
        assert_passing(mesh)


def test_kubeconfig_of_front_needs_address_of_cluster(mesh: StackUnderTest, tmp_path: Path) -> None:
    own_url = mesh.lab.read_status()["clusters"]["east"]["apiServer"]
    with serve_front(mesh.lab, "east", tmp_path, is_admin=True) as front:
        write_kubeconfig(mesh.lab, {"east": front}, tmp_path / "kubeconfig")
        mesh.environment["KUBECONFIG"] = str(tmp_path / "kubeconfig")
        configure_api_server(mesh, own_url)
        try:
            mesh.up()

            cluster = read_cluster(mesh)
            assert cluster["server"] == own_url
            assert base64.b64decode(cluster["certificate-authority-data"]).decode() == read_authority(mesh, "east")
            assert_passing(mesh)
        finally:
            mesh.environment["KUBECONFIG"] = str(mesh.lab.kubeconfig)


def test_unreachable_address_is_warning(mesh: StackUnderTest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    before = len(mesh.output.read_text())

    configure_api_server(mesh, f"https://127.0.0.1:{port}")
    mesh.up()

    assert "were not tried from this machine: the connection failed" in mesh.output.read_text()[before:]
    configure_api_server(mesh, None)
    mesh.up()
    assert_passing(mesh)


def test_documented_commands_replace_deleted_token(lab: StateDir, mesh: StackUnderTest, tmp_path: Path) -> None:
    mesh.configure({**CONFIG, "clusters": {"west": {}, "east": {"linkerd": {"linkTokens": "2026-12"}}}})
    mesh.up()
    before = read_secrets(mesh)

    run_in_project(copy_project(tmp_path), lab, mesh, prod=mesh.name).run_all(commands_of_test(LINK_CREDENTIALS))

    assert [kubeconfig for _, kubeconfig in read_secrets(mesh)] != [kubeconfig for _, kubeconfig in before]
