"""Preflight check of releases that Helm would refuse to adopt."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.kube.ownership import helm_ownership_metadata
from mesh.preflight import Severity
from mesh.preflight.target import ReleaseTarget
from tests.helpers.fake_api_server import OWNER, FakeApiServer, healthy_server, only_finding, run_checks_against

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
VIZ = ReleaseTarget(
    name="linkerd-viz",
    namespace="linkerd-viz",
    account="tap",
    cluster_object="/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.tap.linkerd.io",
    uninstall="linkerd viz uninstall | kubectl delete -f -",
)
LINKERD_CRDS = ReleaseTarget(
    name="linkerd-crds",
    namespace="linkerd",
    account="linkerd-identity",
    crd_groups=("linkerd.io",),
    uninstall="linkerd uninstall | kubectl delete -f -",
)
CONTROL_PLANE = ReleaseTarget(
    name="linkerd-control-plane", namespace="linkerd", account="linkerd-identity", uninstall=LINKERD_CRDS.uninstall
)
CILIUM = ReleaseTarget(
    name="cilium", namespace="kube-system", account="cilium", uninstall="cilium uninstall", own_secret="cilium-ca"
)
CILIUM_SECRET = "/api/v1/namespaces/kube-system/secrets/cilium-ca"


def server_with_account(release: ReleaseTarget, metadata: dict[str, Any]) -> FakeApiServer:
    """Return a server with the ServiceAccount of a release."""
    server = healthy_server()
    path = f"/api/v1/namespaces/{release.namespace}/serviceaccounts/{release.account}"
    server.objects[path] = {"metadata": metadata}
    return server


def crd(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "serviceprofiles.linkerd.io", **metadata}}


def test_release_of_guide_can_be_adopted() -> None:
    server = server_with_account(VIZ, helm_ownership_metadata("linkerd-viz", "linkerd-viz"))

    assert run_checks_against(server, releases=(VIZ,), adopt=True) == []


@pytest.mark.parametrize(
    ("metadata", "installer", "command"),
    [
        ({}, "without Helm", VIZ.uninstall),
        (
            helm_ownership_metadata("viz", "linkerd-viz"),
            "by the Helm release viz in namespace linkerd-viz",
            "helm uninstall --namespace linkerd-viz viz",
        ),
        (
            helm_ownership_metadata("linkerd-viz", "default"),
            "by the Helm release linkerd-viz in namespace default",
            "helm uninstall --namespace default linkerd-viz",
        ),
    ],
)
def test_release_that_helm_would_refuse_is_error(metadata: dict[str, Any], installer: str, command: str) -> None:
    finding = only_finding(server_with_account(VIZ, metadata), releases=(VIZ,), adopt=True)

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        f"clusters.west: linkerd-viz: is installed already {installer}, so Helm would refuse to install a release "
        f"linkerd-viz in namespace linkerd-viz; remove it ({command}); `up` installs it again"
    )


@pytest.mark.parametrize("adopt", [True, False])
def test_release_in_another_namespace_is_error(adopt: bool) -> None:
    assert VIZ.cluster_object is not None
    server = healthy_server()
    server.objects[VIZ.cluster_object] = {"metadata": helm_ownership_metadata("linkerd-viz", "monitoring")}

    finding = only_finding(server, releases=(VIZ,), adopt=adopt)

    assert finding.severity is Severity.ERROR
    assert "(helm uninstall --namespace monitoring linkerd-viz)" in finding.remedy
    server.objects[VIZ.cluster_object] = {"metadata": helm_ownership_metadata("linkerd-viz", "linkerd-viz")}
    assert run_checks_against(server, releases=(VIZ,), adopt=adopt) == []


def test_linkerd_of_cli_is_reported_once() -> None:
    server = server_with_account(CONTROL_PLANE, {})
    server.objects[CRDS] = {"items": [crd()]}
    server.objects["/api/v1/namespaces/linkerd"] = {"metadata": {"name": "linkerd"}}
    server.objects["/api/v1/namespaces/linkerd/configmaps/linkerd-config"] = {"metadata": {}}

    finding = only_finding(server, releases=(LINKERD_CRDS, CONTROL_PLANE), adopt=True)

    assert "installed by hand" in finding.rule
    assert LINKERD_CRDS.uninstall in finding.remedy


@pytest.mark.parametrize("adopt", [True, False])
def test_crd_that_helm_would_refuse_is_error(adopt: bool) -> None:
    server = healthy_server()
    server.objects[CRDS] = {"items": [crd(), {"metadata": {"name": "things.example.com"}}]}

    finding = only_finding(server, releases=(LINKERD_CRDS,), adopt=adopt)

    assert (finding.value, finding.severity) == ("serviceprofiles.linkerd.io", Severity.ERROR)
    assert (
        "kubectl annotate --overwrite crd serviceprofiles.linkerd.io meta.helm.sh/release-name=linkerd-crds "
        "meta.helm.sh/release-namespace=linkerd"
    ) in finding.remedy


@pytest.mark.parametrize(
    "metadata", [helm_ownership_metadata("linkerd-crds", "linkerd"), {"deletionTimestamp": "2030-01-01T00:00:00Z"}]
)
def test_own_and_terminating_crds_have_no_findings(metadata: dict[str, Any]) -> None:
    server = healthy_server()
    server.objects[CRDS] = {"items": [crd(**metadata)]}

    assert run_checks_against(server, releases=(LINKERD_CRDS,)) == []


@pytest.mark.parametrize("secret", [None, {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "other"}}}])
def test_cilium_of_another_owner_is_error(secret: dict[str, Any] | None) -> None:
    server = server_with_account(CILIUM, helm_ownership_metadata("cilium", "kube-system"))
    if secret is not None:
        server.objects[CILIUM_SECRET] = secret

    finding = only_finding(server, releases=(CILIUM,))

    assert finding.severity is Severity.ERROR
    assert "clusters.west.adopt: true" in finding.remedy
    assert run_checks_against(server, releases=(CILIUM,), adopt=True) == []


def test_own_cilium_has_no_findings() -> None:
    server = server_with_account(CILIUM, helm_ownership_metadata("cilium", "kube-system"))
    server.objects[CILIUM_SECRET] = {"metadata": {"annotations": {"pulumi.com/patchFieldManager": OWNER}}}

    assert run_checks_against(server, releases=(CILIUM,)) == []
    server.statuses[CILIUM_SECRET] = 403
    assert run_checks_against(server, releases=(CILIUM,)) == []
