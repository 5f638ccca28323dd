"""Content of a link's credentials: address, CA and server name that fit together."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from components.linkerd.link_credentials import render_kubeconfig
from tests.helpers import kubeconfigs
from tests.helpers.certificates import IssuedCertificate
from tests.helpers.mock_engine import RunProgram, mesh_config, without_secret_marks

FRONT = "https://rancher.example.com/k8s/clusters/c-m-abc"
OWN = "https://10.0.0.5:6443"
FRONT_CA = "RlJPTlQ="  # in the kubeconfig
CLUSTER_CA = "Q0E="  # in the token's Secret of the mock engine
CERTIFICATE = IssuedCertificate().pem


def credentials_of_east(run: RunProgram, cluster: dict[str, Any], *, api_server: Any = None) -> dict[str, Any]:
    """Return the `cluster` of the credentials with which west reads east.

    Args:
        run: runs the program.
        cluster: `cluster` of east's kubeconfig, besides its server.
        api_server: `apiServer` of east; None: not set.
    """
    config = mesh_config("west", "east", links=[("west", "east")])
    config["clusters"]["east"] = {} if api_server is None else {"apiServer": api_server}
    config["kubeconfigs"] = {"east": kubeconfigs.build_kubeconfig({"east": {"server": FRONT, **cluster}})}
    secrets = run(config, secret=["kubeconfigs"]).inputs_of(":Secret")
    contents = {
        without_secret_marks(secrets[f"link-west-to-east-{role}"])["stringData"]["kubeconfig"]
        for role in ("credentials", "discovery-credentials")
    }
    assert len(contents) == 1
    (entry,) = yaml.safe_load(contents.pop())["clusters"]
    return dict(entry["cluster"])


@pytest.mark.parametrize("api_server", [None, FRONT, f"{FRONT}/", FRONT.replace(".com/", ".com:443/")])
def test_same_server_carries_what_kubeconfig_has(run: RunProgram, api_server: str | None) -> None:
    cluster = {
        "certificate-authority-data": FRONT_CA,
        "tls-server-name": "kubernetes.default.svc",
        "proxy-url": "http://user:password@proxy.example.com:3128",
    }

    assert credentials_of_east(run, cluster, api_server=api_server) == {
        "server": api_server or FRONT,
        "certificate-authority-data": FRONT_CA,
        "tls-server-name": "kubernetes.default.svc",
    }


def test_same_server_may_have_public_authority(run: RunProgram) -> None:
    assert credentials_of_east(run, {}) == {"server": FRONT}


@pytest.mark.parametrize(
    "authority", [{"certificate-authority-data": FRONT_CA}, {}, {"insecure-skip-tls-verify": True}]
)
def test_other_server_carries_authority_of_cluster(run: RunProgram, authority: dict[str, Any]) -> None:
    cluster = {**authority, "tls-server-name": "front.example.com"}
    expected = {"server": OWN, "certificate-authority-data": CLUSTER_CA}

    assert credentials_of_east(run, cluster, api_server=OWN) == expected
    assert credentials_of_east(run, cluster, api_server={"url": OWN}) == expected


def test_unverified_kubeconfig_carries_authority_of_cluster(run: RunProgram) -> None:
    assert credentials_of_east(run, {"insecure-skip-tls-verify": True, "tls-server-name": "kubernetes"}) == {
        "server": FRONT,
        "certificate-authority-data": CLUSTER_CA,
        "tls-server-name": "kubernetes",
    }


@pytest.mark.parametrize("url", [OWN, None])
def test_settings_replace_authority_and_server_name(run: RunProgram, url: str | None) -> None:
    cluster = {"certificate-authority-data": FRONT_CA, "tls-server-name": "front.example.com"}
    settings = {"url": url, "certificateAuthority": CERTIFICATE, "tlsServerName": "api.example.com"}

    assert credentials_of_east(run, cluster, api_server=settings) == {
        "server": url or FRONT,
        "certificate-authority-data": base64.b64encode(CERTIFICATE.encode()).decode(),
        "tls-server-name": "api.example.com",
    }


def test_system_trust_needs_no_authority_in_credentials(run: RunProgram) -> None:
    cluster = {"certificate-authority-data": FRONT_CA}

    assert credentials_of_east(run, cluster, api_server={"url": OWN, "certificateAuthority": "system"}) == {
        "server": OWN
    }


def test_control_plane_receives_credentials_after_service_mirror(run: RunProgram) -> None:
    recorder = run(mesh_config("west", "east", links=[("west", "east")]))

    dependencies = recorder.dependencies_of(":Secret", "link-west-to-east-discovery-credentials")

    assert "Secret link-west-to-east-credentials" in dependencies, "credentials are used before they are tried"


@pytest.mark.parametrize(("check", "hooks"), [(True, ("link-west-to-east-check",)), (False, ())])
def test_credentials_are_tried_before_source_receives_them(
    run: RunProgram, check: bool, hooks: tuple[str, ...]
) -> None:
    config = mesh_config("west", "east", links=[("west", "east")])
    config["clusters"]["east"] = {"apiServer": {"check": check}}

    registration = run(config).registration(":Secret", "link-west-to-east-credentials")

    assert registration.hooks == (hooks, hooks)


def test_server_name_is_rendered_only_if_set() -> None:
    def render(tls_server_name: str | None) -> dict[str, Any]:
        content = render_kubeconfig(
            target="east", server=OWN, certificate_authority=None, token="t", tls_server_name=tls_server_name
        )
        return dict(yaml.safe_load(content)["clusters"][0]["cluster"])

    assert render("api.example.com") == {"server": OWN, "tls-server-name": "api.example.com"}
    assert render(None) == {"server": OWN}
