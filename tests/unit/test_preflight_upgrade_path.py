"""Preflight check of the upgrade path from the running to the desired Linkerd release."""

from __future__ import annotations

import pytest

from mesh.preflight import Severity
from tests.helpers.fake_api_server import (
    LINKERD,
    OWNER,
    FakeApiServer,
    healthy_server,
    only_finding,
    run_checks_against,
)


def cluster_running(
    tag: str | None, values: str = "clusterDomain: cluster.local\nlinkerdVersion: {}\nproxy: {{}}\n"
) -> FakeApiServer:
    """Return a cluster with a Linkerd of this stack."""
    cluster = healthy_server()
    cluster.add_namespace("linkerd", OWNER)
    data = {"values": values.format(tag)} if tag is not None else {}
    cluster.objects[f"{LINKERD}/configmaps/linkerd-config"] = {"metadata": {}, "data": data}
    return cluster


@pytest.mark.parametrize(
    ("current", "desired"),
    [("edge-26.8.3", "stable-2.14.10"), ("stable-2.14.10", "stable-2.13.5"), ("edge-25.4.4", "edge-25.4.3")],
)
def test_downgrade_is_error(current: str, desired: str) -> None:
    finding = only_finding(cluster_running(current), linkerd_tag=desired)

    assert str(finding) == (
        f"linkerd.version: {desired}: clusters.west runs {current}, which is newer, and Linkerd does not support "
        f"downgrades; choose {current} or a newer release, or destroy the stack before a downgrade"
    )
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("current", "desired", "skipped"),
    [
        ("stable-2.14.10", "edge-25.4.4", "2.15, 2.16, 2.17"),
        ("edge-24.11.8", "edge-25.10.7", "2.18"),
    ],
)
def test_skipped_versions_are_warning_about_running_proxies(current: str, desired: str, skipped: str) -> None:
    finding = only_finding(cluster_running(current), linkerd_tag=desired)

    assert finding.severity is Severity.WARNING
    assert finding.remedy == (
        f"upgrade to {skipped} first, or restart all meshed workloads right after (kubectl rollout restart)"
    )


@pytest.mark.parametrize(
    ("current", "desired"),
    [
        ("stable-2.14.10", "stable-2.14.10"),
        ("stable-2.13.5", "stable-2.14.10"),
        ("stable-2.14.10", "edge-24.2.4"),
        ("edge-26.6.3", "edge-26.8.3"),
        ("something-else", "edge-26.8.3"),
        ("edge-26.8.3", "next-2.31.0"),
        (None, "edge-26.8.3"),
    ],
)
def test_next_or_incomparable_version_has_no_findings(current: str | None, desired: str) -> None:
    assert run_checks_against(cluster_running(current), linkerd_tag=desired) == []


def test_quoted_version_is_parsed() -> None:
    assert run_checks_against(cluster_running("edge-26.8.3", 'linkerdVersion: "{}"\n'), linkerd_tag="edge-26.8.3") == []
    assert only_finding(cluster_running("edge-26.8.3", "linkerdVersion: '{}'\n"), linkerd_tag="edge-26.8.2")
