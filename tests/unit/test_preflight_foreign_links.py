"""Preflight check of links that Linkerd's CLI created."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.preflight import Severity
from tests.helpers.fake_api_server import OWNER, FakeApiServer, healthy_server, only_finding, run_checks_against

NAMESPACE = "linkerd-multicluster"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
MIRROR = f"{DEPLOYMENTS}/linkerd-service-mirror-east"
LINKS = f"/apis/multicluster.linkerd.io/v1alpha1/namespaces/{NAMESPACE}/links"
UNLINK = "linkerd multicluster unlink --cluster-name east | kubectl delete -f -"


def server_with_link(*, mirror: bool = True, owner: str | None = None, helm_release: str = "") -> FakeApiServer:
    """Return a server with a Link `east`, and its service mirror of a Helm release or none."""
    annotations = {"meta.helm.sh/release-name": helm_release} if helm_release else {}
    server = healthy_server()
    server.add_namespace("linkerd", OWNER)
    server.add_namespace(NAMESPACE, OWNER)
    version = {"groupVersion": "multicluster.linkerd.io/v1alpha1"}
    server.objects["/apis/multicluster.linkerd.io"] = {"preferredVersion": version}
    link = {"name": "east", "annotations": {"pulumi.com/patchFieldManager": owner} if owner else {}}
    server.objects[LINKS] = {"items": [{"metadata": link}]}
    deployment: dict[str, Any] = {
        "name": "linkerd-service-mirror-east",
        "labels": {"mirror.linkerd.io/cluster-name": "east"},
        "annotations": annotations,
    }
    server.objects[DEPLOYMENTS] = {"items": [{"metadata": deployment}] if mirror else []}
    server.objects[MIRROR] = {"metadata": deployment}
    local = "linkerd-service-mirror-access-local-resources-east"
    server.objects[f"{RBAC}/clusterroles/{local}"] = {"metadata": {"name": local, "annotations": annotations}}
    return server


def test_link_of_cli_is_reported_with_all_objects() -> None:
    finding = only_finding(server_with_link(), links=("east",))

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        "clusters.west: Link east, Deployment linkerd-service-mirror-east, ClusterRole "
        "linkerd-service-mirror-access-local-resources-east: this link exists already and does not belong to this "
        f"stack; set clusters.west.adopt: true to take it over, or remove it ({UNLINK})"
    )


def test_link_of_cli_without_mirror_is_reported() -> None:
    assert only_finding(server_with_link(mirror=False), links=("east",)).value == "Link east"


@pytest.mark.parametrize("mirror", [True, False])
def test_link_of_cli_can_be_adopted(mirror: bool) -> None:
    assert run_checks_against(server_with_link(mirror=mirror), links=("east",), adopt=True) == []


def test_remaining_mirror_without_link_is_reported() -> None:
    server = server_with_link()
    server.objects[LINKS] = {"items": []}

    assert only_finding(server, links=("east",)).value.startswith("Deployment linkerd-service-mirror-east, ")


@pytest.mark.parametrize("adopt", [True, False])
def test_link_missing_in_stack_file_is_warning(adopt: bool) -> None:
    finding = only_finding(server_with_link(), links=(), adopt=adopt)

    assert finding.severity is Severity.WARNING
    assert finding.remedy == f"add a link from west to east, or remove it ({UNLINK})"


@pytest.mark.parametrize("adopt", [True, False])
def test_mirror_of_another_helm_release_is_error(adopt: bool) -> None:
    server = server_with_link(helm_release="mirror")

    finding = only_finding(server, links=("east",), adopt=adopt)

    assert finding.severity is Severity.ERROR
    assert "helm uninstall --namespace linkerd-multicluster mirror" in finding.remedy


def test_own_links_have_no_findings() -> None:
    server = server_with_link(owner=OWNER, helm_release="link-east")

    assert run_checks_against(server, links=("east",)) == []


def test_stack_without_links_reads_none() -> None:
    server = server_with_link()

    assert run_checks_against(server) == []
    assert f"GET {DEPLOYMENTS}" not in server.requests
