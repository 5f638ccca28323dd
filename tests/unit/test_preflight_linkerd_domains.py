"""Preflight check of the domains of a running Linkerd."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.preflight import Finding, Severity
from tests.helpers.fake_api_server import LINKERD, OWNER, FakeApiServer, healthy_server, run_checks_against

GUIDE = "https://linkerd.io/2/tasks/using-custom-domain/"


def cluster_running(values: str) -> FakeApiServer:
    """Return a cluster with a Linkerd of this stack."""
    cluster = healthy_server()
    cluster.add_namespace("linkerd", OWNER)
    cluster.objects[f"{LINKERD}/configmaps/linkerd-config"] = {
        "data": {"values": f"linkerdVersion: stable-2.14.10\n{values}proxy:\n  clusterDomain: not.this.one\n"}
    }
    return cluster


def check_domains(cluster: FakeApiServer, trust: str = "cluster.local", domain: str = "cluster.local") -> list[Finding]:
    properties: dict[str, Any] = {"trust_domain": trust, "cluster_domain": domain}
    return run_checks_against(cluster, **properties)


def test_first_installation_has_no_findings() -> None:
    assert check_domains(healthy_server(), "mesh.corp.example", "corp.example") == []


@pytest.mark.parametrize(
    "values",
    [
        "clusterDomain: cluster.local\nidentityTrustDomain: cluster.local\n",
        "clusterDomain: 'cluster.local'\nidentityTrustDomain: \"cluster.local\" # the default\n",
        # The chart's default of the trust domain is the cluster domain.
        'clusterDomain: cluster.local\nidentityTrustDomain: ""\n',
        "clusterDomain: cluster.local\n",
        "",
    ],
)
def test_unchanged_domains_have_no_findings(values: str) -> None:
    assert check_domains(cluster_running(values)) == []


def test_changed_trust_domain_is_error() -> None:
    values = "clusterDomain: cluster.local\nidentityTrustDomain: mesh.corp.example\n"

    [finding] = check_domains(cluster_running(values))

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        "clusters.west.linkerd.trustDomain: cluster.local: Linkerd runs there with mesh.corp.example: the identities "
        "of all meshed pods end in it, and Linkerd does not support a change by an upgrade; set linkerd.trustDomain: "
        f"mesh.corp.example, or destroy the stack and install Linkerd again ({GUIDE})"
    )


def test_changed_cluster_domain_is_error() -> None:
    values = "clusterDomain: cluster.local\nidentityTrustDomain: cluster.local\n"

    [finding] = check_domains(cluster_running(values), domain="corp.example")

    assert finding.severity is Severity.ERROR
    assert finding.path == "clusters.west.linkerd.clusterDomain"
    assert finding.value == "corp.example"
    assert "set linkerd.clusterDomain: cluster.local" in finding.remedy


def test_inherited_trust_domain_is_compared() -> None:
    findings = check_domains(cluster_running("clusterDomain: corp.example\n"))

    assert [finding.path for finding in findings] == [
        "clusters.west.linkerd.trustDomain",
        "clusters.west.linkerd.clusterDomain",
    ]


def test_unreadable_domains_are_named_in_warning() -> None:
    cluster = cluster_running("clusterDomain: corp.example\n")
    cluster.statuses[f"{LINKERD}/configmaps/linkerd-config"] = 403

    [finding] = check_domains(cluster)

    assert finding.severity is Severity.WARNING
    assert "which Linkerd runs in namespace linkerd, and its domains (not allowed)" in finding.rule
