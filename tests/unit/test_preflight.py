"""Preflight, where clusters answer: versions, rights, clocks, cert-manager, and what may not be looked at."""

from __future__ import annotations

import pytest

from mesh.preflight import Finding, Severity
from mesh.preflight.kubernetes_version import parse_version
from tests.helpers.fake_api_server import (
    INJECTOR,
    LINKERD,
    NODES,
    REVIEWS,
    SERVICES,
    healthy_server,
    only_finding,
    run_checks_against,
    server_with_foreign_linkerd,
)


def test_a_healthy_cluster_is_left_alone_after_few_requests() -> None:
    cluster = healthy_server()

    assert run_checks_against(cluster) == []
    assert cluster.requests == [
        "GET /version",
        f"POST {REVIEWS}",
        "GET /api/v1/namespaces/linkerd",
        "GET /api/v1/namespaces/linkerd-multicluster",
        "GET /api/v1/namespaces/test",
        f"GET {INJECTOR}",
        f"GET {LINKERD}/configmaps/linkerd-config",
        f"GET {SERVICES}",
        f"GET {NODES}",
    ]


def test_a_finding_reads_as_the_faults_of_the_settings_do() -> None:
    found = Finding(path="clusters.west", value="7", rule="too odd", remedy="take 8", severity=Severity.ERROR)

    assert str(found) == "clusters.west: 7: too odd; take 8"


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
def test_versions_are_read_as_their_makers_write_them(version: object, expected: tuple[int, int] | None) -> None:
    assert parse_version(version) == expected


def test_a_kubernetes_that_is_too_old_is_an_error() -> None:
    cluster = healthy_server()
    cluster.objects["/version"] = {"gitVersion": "v1.20.15"}

    found = only_finding(cluster)

    assert found.severity is Severity.ERROR
    assert str(found) == (
        "clusters.west: v1.20.15: Linkerd 2.14.10 needs Kubernetes 1.21 or newer; "
        "upgrade the cluster, or choose an older Linkerd by linkerd.version"
    )


@pytest.mark.parametrize(
    ("version", "rule"),
    [
        ({"major": "1", "minor": "37+"}, "has not been tried with a Kubernetes newer than 1.36"),
        ({"gitVersion": "main\n\x1b[31m" + "x" * 999}, "not a version that can be read"),
        ({}, "not a version that can be read"),
    ],
)
def test_a_kubernetes_that_nobody_knows_is_a_warning(version: dict[str, str], rule: str) -> None:
    cluster = healthy_server()
    cluster.objects["/version"] = version

    found = only_finding(cluster)

    assert found.severity is Severity.WARNING
    assert rule in found.rule
    assert len(found.value) <= 60 and found.value.isprintable()


def test_missing_rights_are_one_finding_that_names_them_all() -> None:
    cluster = healthy_server(
        is_allowed=lambda verb, group, resource: (
            verb != "*" and resource != "secrets" and (verb == "create" or group != "rbac.authorization.k8s.io")
        )
    )

    found = only_finding(cluster)

    assert found.severity is Severity.UPDATE_ERROR
    assert found.rule == (
        "the kubeconfig's user may not create, patch, delete, list, update secrets; "
        "may not patch, delete, escalate clusterroles.rbac.authorization.k8s.io; "
        "may not patch, delete clusterrolebindings.rbac.authorization.k8s.io, roles.rbac.authorization.k8s.io, "
        "rolebindings.rbac.authorization.k8s.io"
    )
    assert "clusters.west.context" in found.remedy
    assert 50 < cluster.requests.count(f"POST {REVIEWS}") < 60


def test_every_needed_right_is_as_good_as_all_rights() -> None:
    assert run_checks_against(healthy_server(is_allowed=lambda verb, group, resource: verb != "*")) == []


def test_a_user_that_may_not_escalate_is_a_warning_because_it_may_have_the_rights_itself() -> None:
    found = only_finding(healthy_server(is_allowed=lambda verb, group, resource: verb not in ("*", "escalate")))

    assert found.severity is Severity.WARNING
    assert "may not escalate clusterroles" in found.rule


def test_what_may_not_be_looked_at_is_one_warning() -> None:
    cluster = server_with_foreign_linkerd()
    forbidden = ("/version", REVIEWS, SERVICES, "/api/v1/namespaces/test", f"{LINKERD}/secrets")
    cluster.statuses = dict.fromkeys(forbidden, 403)

    linkerd, unseen = run_checks_against(cluster)

    assert linkerd.rule == "Linkerd is there already and was not made by this stack"
    assert unseen.severity is Severity.WARNING
    assert str(unseen) == (
        "clusters.west: https://west.example.com: could not be looked at: its version (not allowed), "
        "what the kubeconfig's user may do (not allowed), whether namespace test is there already (not allowed), "
        "whether a LoadBalancer Service gets an address (not allowed); "
        "let the user of clusters.west.context read it, or see to it yourself"
    )


@pytest.mark.parametrize(
    ("seconds", "rule"),
    [
        (-600, "its clock is 10 minutes behind this machine's: for that long proxies refuse certificates made now"),
        (-8 * 3600, "its clock is 8 hours behind"),
        (90, "its clock is "),
    ],
)
def test_a_clock_that_is_wrong_is_a_warning(seconds: float, rule: str) -> None:
    cluster = healthy_server()
    cluster.clock_offset_s = seconds

    found = only_finding(cluster)

    assert found.severity is Severity.WARNING
    assert found.rule.startswith(rule)


@pytest.mark.parametrize("seconds", [-59, 59, None])
def test_a_clock_that_is_nearly_right_is_left_alone(seconds: float | None) -> None:
    cluster = healthy_server()
    cluster.clock_offset_s = seconds

    assert run_checks_against(cluster) == []


def test_cert_manager_is_an_error_where_it_is_missing() -> None:
    found = only_finding(healthy_server(), cert_manager=True)

    assert found.severity is Severity.ERROR
    assert found.value == "certificates.cert-manager.io, issuers.cert-manager.io"
    assert found.remedy == "install cert-manager 1.0 or newer there first, or leave trust.certManager out"


def test_cert_manager_is_found_where_it_is_served() -> None:
    cluster = healthy_server()
    cluster.objects["/apis/cert-manager.io/v1"] = {"resources": [{"name": "certificates"}, {"name": "issuers"}]}

    assert run_checks_against(cluster, cert_manager=True) == []


def test_without_linkerd_it_is_cilium_that_must_run_there_and_no_linkerd_is_looked_for() -> None:
    cluster = healthy_server()
    cluster.objects["/version"] = {"gitVersion": "v1.20.15"}
    services = [{"clientConfig": {"service": {"namespace": "elsewhere"}}}]
    injector = "linkerd-proxy-injector-webhook-config"
    cluster.objects[f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{injector}"] = {
        "webhooks": services
    }

    found = only_finding(cluster, linkerd=None, load_balancer=False, namespaces=())

    assert found.rule == "Cilium needs Kubernetes 1.21 or newer"
    assert found.remedy == "upgrade the cluster, or choose an older Cilium by cilium.version"
