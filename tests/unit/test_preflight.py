"""Preflight checks of reachable clusters: versions, permissions, clocks, cert-manager, unreadable objects."""

from __future__ import annotations

import pytest

from mesh.kube.api_services import API_SERVICES_PATH
from mesh.preflight import Finding, Severity
from mesh.preflight.kubernetes_version import parse_version
from mesh.preflight.snapshot_client import SnapshotClient
from tests.helpers.fake_api_server import (
    INJECTOR,
    LINKERD,
    NODES,
    REVIEWS,
    SERVICES,
    build_client,
    healthy_server,
    only_finding,
    run_checks_against,
    serve,
    server_with_foreign_linkerd,
)


def test_healthy_cluster_needs_few_requests_and_has_no_findings() -> None:
    cluster = healthy_server()

    assert run_checks_against(cluster) == []
    assert cluster.requests == [
        "GET /version",
        f"POST {REVIEWS}",
        "GET /api/v1/namespaces/linkerd",
        "GET /api/v1/namespaces/linkerd-multicluster",
        "GET /api/v1/namespaces/test",
        f"GET {API_SERVICES_PATH}",
        f"GET {INJECTOR}",
        f"GET {LINKERD}/configmaps/linkerd-config",
        f"GET {SERVICES}",
        f"GET {NODES}",
        "GET /api/v1/namespaces/kube-system",
    ]


def test_checks_read_each_object_once() -> None:
    server = healthy_server()
    with serve(server):
        client = SnapshotClient(build_client(server.server), 20)

        assert client.get(NODES, "nodes") == client.get(NODES, "nodes again") == server.objects[NODES]
        assert client.get("/missing", "nothing") is client.get("/missing", "nothing") is None

    assert server.requests == [f"GET {NODES}", "GET /missing"]


def test_finding_has_format_of_configuration_errors() -> None:
    finding = Finding(path="clusters.west", value="7", rule="too large", remedy="take 8", severity=Severity.ERROR)

    assert str(finding) == "clusters.west: 7: too large; take 8"


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.27.3-gke.100", (1, 27)),
        ("1.36+", (1, 36)),
        ("v1.30.2+k3s1", (1, 30)),
        ("1.28", (1, 28)),
        ("v2", None),
        ("", None),
        (None, None),
        (1.3, None),
    ],
)
def test_vendor_versions_are_parsed(version: object, expected: tuple[int, int] | None) -> None:
    assert parse_version(version) == expected


def test_old_kubernetes_is_error() -> None:
    cluster = healthy_server()
    cluster.objects["/version"] = {"gitVersion": "v1.20.15"}

    finding = only_finding(cluster)

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        "clusters.west: v1.20.15: Linkerd 2.14.10 needs Kubernetes 1.21 or newer; "
        "upgrade the cluster, or choose an older Linkerd by linkerd.version"
    )


@pytest.mark.parametrize(
    ("linkerd", "newest", "kubernetes", "remedy"),
    [
        ("2.14.10", "1.28", "v1.29.1", 'set linkerd.version to "2.19", or test it on this cluster first'),
        ("2.14.10", "1.28", "v1.34.0-gke.1", 'set linkerd.version to "2.20", or test it on this cluster first'),
        (
            "2.17",
            "1.31",
            "v1.36.3",
            'set linkerd.version to "2.20", the newest version, and test it on this cluster first',
        ),
        (
            "2.20",
            "1.35",
            "v1.36.3",
            "test it on this cluster first, because no version of Linkerd names this Kubernetes yet",
        ),
        (None, "1.36", "v1.37.0", "test it on this cluster first, or choose a newer Cilium by cilium.version"),
    ],
)
def test_newer_kubernetes_is_warning_with_version(
    linkerd: str | None, newest: str, kubernetes: str, remedy: str
) -> None:
    cluster = healthy_server()
    cluster.objects["/version"] = {"gitVersion": kubernetes}

    finding = only_finding(cluster, linkerd=linkerd, newest_tested_kubernetes=newest, linkerd_tag=None)

    product = f"Linkerd {linkerd}" if linkerd else "Cilium"
    assert finding.severity is Severity.WARNING
    rule = f"{product} has not been tested with a Kubernetes newer than {newest}"
    assert str(finding) == f"clusters.west: {kubernetes}: {rule}; {remedy}"


def test_default_release_names_version_for_older_kubernetes() -> None:
    cluster = healthy_server()
    cluster.objects["/version"] = {"gitVersion": "v1.30.2"}

    finding = only_finding(cluster, linkerd="2.20", minimum_kubernetes="1.31", linkerd_tag="edge-26.6.3")

    assert finding.severity is Severity.ERROR
    assert finding.remedy == 'upgrade the cluster, or set linkerd.version to "2.19"'


@pytest.mark.parametrize(
    ("version", "rule"),
    [
        ({"major": "1", "minor": "37+"}, "has not been tested with a Kubernetes newer than 1.36"),
        ({"gitVersion": "main\n\x1b[31m" + "x" * 999}, "not a readable version"),
        ({}, "not a readable version"),
    ],
    ids=["newer", "control-characters", "missing"],
)
def test_untested_or_unreadable_kubernetes_version_is_warning(version: dict[str, str], rule: str) -> None:
    cluster = healthy_server()
    cluster.objects["/version"] = version

    finding = only_finding(cluster)

    assert finding.severity is Severity.WARNING
    assert rule in finding.rule
    assert len(finding.value) <= 60 and finding.value.isprintable()


def test_missing_permissions_are_one_finding() -> None:
    cluster = healthy_server(
        is_allowed=lambda verb, group, resource: (
            verb != "*" and resource != "secrets" and (verb == "create" or group != "rbac.authorization.k8s.io")
        )
    )

    finding = only_finding(cluster)

    assert finding.severity is Severity.UPDATE_ERROR
    assert finding.rule == (
        "the kubeconfig's user may not create, patch, delete, list, update secrets; "
        "may not patch, delete, escalate clusterroles.rbac.authorization.k8s.io; "
        "may not patch, delete clusterrolebindings.rbac.authorization.k8s.io, roles.rbac.authorization.k8s.io, "
        "rolebindings.rbac.authorization.k8s.io"
    )
    assert "clusters.west.context" in finding.remedy
    assert 50 < cluster.requests.count(f"POST {REVIEWS}") < 60


def test_individual_permissions_replace_cluster_admin() -> None:
    assert run_checks_against(healthy_server(is_allowed=lambda verb, group, resource: verb != "*")) == []


@pytest.mark.parametrize("restarts_workloads", [False, True])
def test_restarts_need_further_permissions(restarts_workloads: bool) -> None:
    cluster = healthy_server(is_allowed=lambda verb, group, resource: verb != "*" and resource != "statefulsets")

    findings = run_checks_against(cluster, restarts_workloads=restarts_workloads)

    rule = "the kubeconfig's user may not list, patch statefulsets.apps"
    assert [each.rule for each in findings] == [rule] * restarts_workloads


def test_missing_escalate_permission_is_warning() -> None:
    finding = only_finding(healthy_server(is_allowed=lambda verb, group, resource: verb not in ("*", "escalate")))

    assert finding.severity is Severity.WARNING
    assert "may not escalate clusterroles" in finding.rule


def test_unreadable_objects_are_one_warning() -> None:
    cluster = server_with_foreign_linkerd()
    forbidden = ("/version", REVIEWS, SERVICES, "/api/v1/namespaces/test", f"{LINKERD}/secrets")
    cluster.statuses = dict.fromkeys(forbidden, 403)

    linkerd, unreadable = run_checks_against(cluster)

    assert linkerd.rule == "Linkerd is already installed and does not belong to this stack"
    assert unreadable.severity is Severity.WARNING
    assert str(unreadable) == (
        "clusters.west: https://west.example.com: could not be read: its version (not allowed), "
        "the permissions of the kubeconfig's user (not allowed), whether namespace test exists (not allowed), "
        "whether a LoadBalancer Service gets an address (not allowed); "
        "let the user of clusters.west.context read it, or check it yourself"
    )


@pytest.mark.parametrize(
    ("seconds", "rule"),
    [
        (-600, "its clock is 10 minutes behind this machine's: for that time proxies refuse new certificates"),
        (-8 * 3600, "its clock is 8 hours behind"),
        (90, "its clock is "),
    ],
)
def test_clock_skew_is_warning(seconds: float, rule: str) -> None:
    cluster = healthy_server()
    cluster.clock_offset_s = seconds

    finding = only_finding(cluster)

    assert finding.severity is Severity.WARNING
    assert finding.rule.startswith(rule)


@pytest.mark.parametrize("seconds", [-59, 59, None])
def test_small_clock_skew_is_ignored(seconds: float | None) -> None:
    cluster = healthy_server()
    cluster.clock_offset_s = seconds

    assert run_checks_against(cluster) == []


def test_missing_cert_manager_is_error() -> None:
    finding = only_finding(healthy_server(), needs_cert_manager=True)

    assert finding.severity is Severity.ERROR
    assert finding.value == "certificates.cert-manager.io, issuers.cert-manager.io"
    assert finding.remedy == "install cert-manager 1.0 or newer on the cluster first, or remove trust.certManager"


def test_installed_cert_manager_has_no_findings() -> None:
    cluster = healthy_server()
    cluster.objects["/apis/cert-manager.io/v1"] = {"resources": [{"name": "certificates"}, {"name": "issuers"}]}

    assert run_checks_against(cluster, needs_cert_manager=True) == []


def test_cilium_stack_checks_cilium_version_and_no_linkerd() -> None:
    cluster = healthy_server()
    cluster.objects["/version"] = {"gitVersion": "v1.20.15"}
    services = [{"clientConfig": {"service": {"namespace": "elsewhere"}}}]
    injector = "linkerd-proxy-injector-webhook-config"
    cluster.objects[f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{injector}"] = {
        "webhooks": services
    }

    finding = only_finding(cluster, linkerd=None, needs_load_balancer=False, namespaces=())

    assert finding.rule == "Cilium needs Kubernetes 1.21 or newer"
    assert finding.remedy == "upgrade the cluster, or choose an older Cilium by cilium.version"
