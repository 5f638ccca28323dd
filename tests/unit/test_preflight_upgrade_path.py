"""Preflight: whether the Linkerd that runs can become the one that is chosen."""

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


def running(
    tag: str | None, values: str = "clusterDomain: cluster.local\nlinkerdVersion: {}\nproxy: {{}}\n"
) -> FakeApiServer:
    """A cluster with this stack's own Linkerd."""
    cluster = healthy_server()
    cluster.add_namespace("linkerd", OWNER)
    data = {"values": values.format(tag)} if tag is not None else {}
    cluster.objects[f"{LINKERD}/configmaps/linkerd-config"] = {"metadata": {}, "data": data}
    return cluster


@pytest.mark.parametrize(
    ("now", "then"),
    [("edge-26.8.3", "stable-2.14.10"), ("stable-2.14.10", "stable-2.13.5"), ("edge-25.4.4", "edge-25.4.3")],
)
def test_linkerd_is_not_taken_back_to_an_older_release(now: str, then: str) -> None:
    found = only_finding(running(now), linkerd_tag=then)

    assert str(found) == (
        f"linkerd.version: {then}: clusters.west runs {now}, which is newer, and Linkerd can't be taken back to an "
        f"older release; choose {now} or a newer one; to go back in any case, destroy the stack first"
    )
    assert found.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("now", "then", "between"),
    [
        ("stable-2.14.10", "edge-25.4.4", "2.15, 2.16, 2.17"),
        ("edge-24.11.8", "edge-25.10.7", "2.18"),
    ],
)
def test_to_leave_versions_out_is_a_warning_about_the_proxies_that_stay(now: str, then: str, between: str) -> None:
    found = only_finding(running(now), linkerd_tag=then)

    assert found.severity is Severity.WARNING
    assert found.remedy == (
        f"go by way of {between}, or restart all meshed workloads right after (kubectl rollout restart)"
    )


@pytest.mark.parametrize(
    ("now", "then"),
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
def test_one_version_on_or_one_that_nobody_can_compare_is_left_alone(now: str | None, then: str) -> None:
    assert run_checks_against(running(now), linkerd_tag=then) == []


def test_the_version_is_found_however_it_is_quoted() -> None:
    assert run_checks_against(running("edge-26.8.3", 'linkerdVersion: "{}"\n'), linkerd_tag="edge-26.8.3") == []
    assert only_finding(running("edge-26.8.3", "linkerdVersion: '{}'\n"), linkerd_tag="edge-26.8.2")
