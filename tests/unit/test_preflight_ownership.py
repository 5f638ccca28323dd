"""Preflight: what is there already, whose it is, and what can be adopted."""

from __future__ import annotations

import pytest

from mesh.preflight import Severity
from tests.helpers.fake_api_server import (
    ANCHOR,
    INJECTOR,
    LINKERD,
    OWNER,
    healthy_server,
    only_finding,
    run_checks_against,
    server_with_foreign_linkerd,
)

OTHER_ANCHOR = ANCHOR.replace("YW5j", "b3Ro")


def test_namespaces_of_this_stack_are_its_own() -> None:
    cluster = server_with_foreign_linkerd(OWNER, helm=False)
    cluster.add_namespace("test", OWNER)

    assert run_checks_against(cluster) == []


def test_a_namespace_of_somebody_else_is_an_error() -> None:
    cluster = healthy_server()
    cluster.add_namespace("test")
    cluster.add_namespace("linkerd")  # empty

    found = run_checks_against(cluster)

    assert [finding.value for finding in found] == ["namespace linkerd", "namespace test"]
    assert str(found[1]) == (
        "clusters.west: namespace test: exists already and was not made by this stack; "
        "`destroy` would delete it with all that is in it; delete it, choose another namespace in the stack file if it "
        "is a workload's, or set clusters.west.adopt: true"
    )
    assert found[1].severity is Severity.ERROR


def test_a_namespace_of_somebody_else_can_be_adopted() -> None:
    cluster = healthy_server()
    cluster.add_namespace("test")
    cluster.add_namespace("linkerd")

    assert run_checks_against(cluster, adopt=True) == []


@pytest.mark.parametrize(
    ("manager", "helm", "by", "remedy"),
    [
        (None, True, "Helm", "uninstall it, or set clusters.west.adopt: true to take it over"),
        ("mesh-prod", True, "mesh-prod", "destroy that stack, or set clusters.west.adopt: true to take it over"),
        (None, False, "hand", "remove it (linkerd uninstall | kubectl delete -f -)"),
    ],
)
def test_a_linkerd_of_somebody_else_is_an_error_that_says_whose(
    manager: str | None, helm: bool, by: str, remedy: str
) -> None:
    found = only_finding(server_with_foreign_linkerd(manager, helm=helm))

    assert found.severity is Severity.ERROR
    assert str(found) == (
        "clusters.west: namespace linkerd: Linkerd is there already and was not made by this stack "
        f"(but by {by}); {remedy}"
    )


def test_a_linkerd_by_hand_can_not_be_adopted() -> None:
    found = only_finding(server_with_foreign_linkerd(helm=False), adopt=True, trust_anchor=ANCHOR)

    assert found.severity is Severity.ERROR
    assert found.rule.endswith("(but by hand), and without Helm's records clusters.west.adopt can't take it over")


def test_a_linkerd_by_helm_can_be_adopted_with_its_anchor() -> None:
    anchor = ANCHOR.replace("\n", "\r\n  ")

    assert run_checks_against(server_with_foreign_linkerd(), adopt=True, trust_anchor=f"# the anchor\n{anchor}") == []


@pytest.mark.parametrize(
    ("anchor", "value"), [(None, "not set"), (OTHER_ANCHOR, "SHA-256 "), (ANCHOR + OTHER_ANCHOR, "SHA-256 ")]
)
def test_adopting_with_another_anchor_would_cut_proxies_off(anchor: str | None, value: str) -> None:
    found = only_finding(server_with_foreign_linkerd(), adopt=True, trust_anchor=anchor)

    assert (found.path, found.severity) == ("trust.anchor", Severity.ERROR)
    assert found.value.startswith(value)
    assert "clusters.west.adopt" in found.rule and "would be cut off" in found.rule
    assert "trust.issuers" in found.remedy


def test_a_linkerd_whose_anchor_is_not_to_be_found_is_a_warning() -> None:
    cluster = server_with_foreign_linkerd()
    del cluster.objects[f"{LINKERD}/configmaps/linkerd-identity-trust-roots"]

    found = only_finding(cluster, adopt=True, trust_anchor=ANCHOR)

    assert found.severity is Severity.WARNING
    assert "which anchor the Linkerd in namespace linkerd trusts" in found.rule
    assert (
        only_finding(cluster, adopt=True).severity is Severity.ERROR
    )  # one that this stack makes is another in any case


@pytest.mark.parametrize("anchor", [ANCHOR, ANCHOR + OTHER_ANCHOR, None])
def test_this_stack_s_linkerd_keeps_its_anchor_beside_others(anchor: str | None) -> None:
    assert run_checks_against(server_with_foreign_linkerd(OWNER), trust_anchor=anchor) == []


def test_another_anchor_would_cut_off_the_proxies_of_this_stack_s_own_linkerd() -> None:
    found = only_finding(server_with_foreign_linkerd(OWNER), trust_anchor=OTHER_ANCHOR)

    assert found.severity is Severity.ERROR
    assert str(found) == (
        "trust.anchor: SHA-256 dedc89fb03575108...: the proxies of clusters.west trust another anchor "
        "(SHA-256 79bfb0e2ba76b9d4...) and would be cut off; bring that anchor back; for a mesh with another one, "
        "destroy the stack first"
    )


def test_a_linkerd_in_another_namespace_is_an_error() -> None:
    cluster = healthy_server()
    webhook = {"clientConfig": {"service": {"name": "linkerd-proxy-injector", "namespace": "mesh"}}}
    cluster.objects[INJECTOR] = {"webhooks": [webhook]}

    found = only_finding(cluster, adopt=True)

    assert (found.value, found.severity) == ("namespace mesh", Severity.ERROR)
    assert "two control planes can't share a cluster" in found.rule
    webhook["clientConfig"]["service"]["namespace"] = "linkerd"
    assert run_checks_against(cluster) == []
