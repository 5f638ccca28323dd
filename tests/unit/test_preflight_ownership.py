"""Preflight checks of existing namespaces and control planes: owner and adoption."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.preflight import Severity
from mesh.stack_identity import RecordedCluster, StackIdentity
from tests.helpers.fake_api_server import (
    ANCHOR,
    IDENTITY,
    INJECTOR,
    LINKERD,
    OWNER,
    STACK_ID,
    healthy_server,
    only_finding,
    run_checks_against,
    server_with_foreign_linkerd,
)

OTHER_ANCHOR = ANCHOR.replace("YW5j", "b3Ro")


def test_own_namespaces_have_no_findings() -> None:
    cluster = server_with_foreign_linkerd(OWNER, helm=False)
    cluster.add_namespace("test", OWNER)

    assert run_checks_against(cluster, trust_anchor=ANCHOR) == []


def test_foreign_namespace_is_error() -> None:
    cluster = healthy_server()
    cluster.add_namespace("test")
    cluster.add_namespace("linkerd")  # empty

    findings = run_checks_against(cluster)

    assert [finding.value for finding in findings] == ["namespace linkerd", "namespace test"]
    assert str(findings[1]) == (
        "clusters.west: namespace test: exists already and does not belong to this stack; "
        "`destroy` would delete it with everything in it; delete it, choose another namespace in the stack file if it "
        "is a workload's, or set clusters.west.adopt: true"
    )
    assert findings[1].severity is Severity.ERROR


def test_foreign_namespace_can_be_adopted() -> None:
    cluster = healthy_server()
    cluster.add_namespace("test")
    cluster.add_namespace("linkerd")

    assert run_checks_against(cluster, adopt=True) == []


@pytest.mark.parametrize(
    ("manager", "helm", "owner", "remedy"),
    [
        (None, True, "Helm", "uninstall it, or set clusters.west.adopt: true to adopt it"),
        ("mesh-prod", True, "mesh-prod", "destroy that stack, or set clusters.west.adopt: true to adopt it"),
        (None, False, "hand", "remove it (linkerd uninstall | kubectl delete -f -)"),
    ],
)
def test_foreign_linkerd_is_error_naming_its_owner(manager: str | None, helm: bool, owner: str, remedy: str) -> None:
    finding = only_finding(server_with_foreign_linkerd(manager, helm=helm))

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        "clusters.west: namespace linkerd: Linkerd is already installed and does not belong to this stack "
        f"(installed by {owner}); {remedy}"
    )


def test_linkerd_without_helm_release_cannot_be_adopted() -> None:
    finding = only_finding(server_with_foreign_linkerd(helm=False), adopt=True, trust_anchor=ANCHOR)

    assert finding.severity is Severity.ERROR
    assert finding.rule.endswith(
        "(installed by hand), and clusters.west.adopt cannot adopt it without Helm's revisions"
    )


def test_helm_linkerd_can_be_adopted_with_its_trust_anchor() -> None:
    anchor = ANCHOR.replace("\n", "\r\n  ")

    assert run_checks_against(server_with_foreign_linkerd(), adopt=True, trust_anchor=f"# the anchor\n{anchor}") == []


@pytest.mark.parametrize(
    ("anchor", "value"), [(None, "not set"), (OTHER_ANCHOR, "SHA-256 "), (ANCHOR + OTHER_ANCHOR, "SHA-256 ")]
)
def test_adoption_with_another_trust_anchor_is_error(anchor: str | None, value: str) -> None:
    finding = only_finding(server_with_foreign_linkerd(), adopt=True, trust_anchor=anchor)

    assert (finding.path, finding.severity) == ("trust.anchor", Severity.ERROR)
    assert finding.value.startswith(value)
    assert "clusters.west.adopt" in finding.rule and "would be cut off" in finding.rule
    assert "trust.issuers" in finding.remedy


def test_adopted_linkerd_without_readable_trust_anchor_is_warning() -> None:
    cluster = server_with_foreign_linkerd()
    del cluster.objects[f"{LINKERD}/configmaps/linkerd-identity-trust-roots"]

    finding = only_finding(cluster, adopt=True, trust_anchor=ANCHOR)

    assert finding.severity is Severity.WARNING
    assert "the trust anchor of Linkerd in namespace linkerd" in finding.rule
    # Without a trust anchor in the stack file, this stack creates another one in any case.
    assert only_finding(cluster, adopt=True).severity is Severity.ERROR


@pytest.mark.parametrize("anchor", [ANCHOR, ANCHOR + OTHER_ANCHOR])
def test_own_linkerd_accepts_additional_trust_anchors(anchor: str) -> None:
    assert run_checks_against(server_with_foreign_linkerd(OWNER), trust_anchor=anchor) == []


def test_replaced_trust_anchor_of_own_linkerd_is_error() -> None:
    finding = only_finding(server_with_foreign_linkerd(OWNER), trust_anchor=OTHER_ANCHOR)

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        "trust.anchor: SHA-256 dedc89fb03575108...: the proxies of clusters.west trust another anchor "
        "(SHA-256 79bfb0e2ba76b9d4...) and would be cut off; restore that anchor, or destroy the stack first to "
        "build a mesh with another one"
    )


def test_new_trust_anchor_of_own_linkerd_is_error() -> None:
    finding = only_finding(server_with_foreign_linkerd(OWNER), trust_anchor=None)

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        "trust.anchor: not set: the proxies of clusters.west trust another anchor (SHA-256 79bfb0e2ba76b9d4...) and "
        "would be cut off; restore the stack state that has it (pulumi stack import), or set trust.anchor to it, or "
        "destroy the stack first to build a mesh with another one"
    )


def test_namespace_of_same_named_stack_is_error() -> None:
    cluster = healthy_server()
    cluster.add_namespace("test", OWNER, "another-id")

    finding = only_finding(cluster)

    assert finding.severity is Severity.ERROR
    assert finding.rule.startswith(
        "exists already and does not belong to this stack (installed by multicluster-mesh-dev, stack ID another-id; "
        f"this stack has the same name, but the ID {STACK_ID})"
    )
    assert finding.remedy.startswith("log in to the backend that has its state, or restore the state")


def test_namespace_with_id_is_foreign_without_stack_state() -> None:
    cluster = healthy_server()
    cluster.add_namespace("test", OWNER)

    finding = only_finding(cluster, identity=StackIdentity(project="multicluster-mesh", stack="dev"))

    assert "this stack has the same name, but no ID" in finding.rule


def test_renamed_stack_keeps_its_namespaces() -> None:
    cluster = healthy_server()
    cluster.add_namespace("test", "other-name", STACK_ID)

    assert run_checks_against(cluster) == []


@pytest.mark.parametrize(("is_in_state", "count"), [(True, 0), (False, 1)])
def test_namespace_without_id_belongs_to_state_with_it(is_in_state: bool, count: int) -> None:
    cluster = healthy_server()
    cluster.add_namespace("test", OWNER)
    del cluster.objects["/api/v1/namespaces/test"]["metadata"]["annotations"]["multicluster-mesh/stack-id"]
    objects = ({"kind": "Namespace", "metadata": {"name": "test"}},) if is_in_state else ()
    clusters = {"west": RecordedCluster(name="west", objects=objects)}

    findings = run_checks_against(cluster, identity=replace(IDENTITY, clusters=clusters))

    assert len(findings) == count


def test_linkerd_in_another_namespace_is_error() -> None:
    cluster = healthy_server()
    webhook = {"clientConfig": {"service": {"name": "linkerd-proxy-injector", "namespace": "mesh"}}}
    cluster.objects[INJECTOR] = {"webhooks": [webhook]}

    finding = only_finding(cluster, adopt=True)

    assert (finding.value, finding.severity) == ("namespace mesh", Severity.ERROR)
    assert "two control planes cannot share a cluster" in finding.rule
    webhook["clientConfig"]["service"]["namespace"] = "linkerd"
    assert run_checks_against(cluster) == []
