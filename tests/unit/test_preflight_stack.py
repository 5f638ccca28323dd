"""Preflight targets of a stack: no more checks than its meshes need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh import config, preflight
from mesh.preflight import CheckTarget, FlatNetworkLink
from mesh.preflight.runner import PreflightReport
from mesh.preflight.target import CiliumTarget
from mesh.service_facts import ClusterFacts
from mesh.stack_identity import RecordedCluster
from mesh.traffic_changes import TrafficChanges
from tests.helpers.fake_api_server import IDENTITY
from tests.helpers.stack_files import Environment

CILIUM_CLUSTERS = {"west": {"cilium": {"id": 1}}, "east": {"cilium": {"id": 2}}}


def collect_targets(
    patch: pytest.MonkeyPatch, environment: Environment, **content: Any
) -> tuple[list[CheckTarget], list[FlatNetworkLink]]:
    calls: list[tuple[list[CheckTarget], list[FlatNetworkLink]]] = []

    def run(targets: list[CheckTarget], client: Any, flat: list[FlatNetworkLink], **_: Any) -> PreflightReport:
        calls.append((targets, flat))
        return PreflightReport(findings=(), uids={})

    patch.setattr("mesh.preflight.stack.run_checks", run)
    stack = config.parse({"clusters": CILIUM_CLUSTERS, **content}, environment)
    preflight.check_stack(
        stack,
        identity=IDENTITY,
        changes=TrafficChanges(),
        namespaces=["linkerd-multicluster"],
        is_update=True,
        warn=print,
    )
    return calls[0]


def test_cilium_alone_needs_no_linkerd_namespaces_or_kinds(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    workloads = [{"userlist": {}}, {"podinfo": {"clusters": ["west"]}}]

    targets, _ = collect_targets(monkeypatch, environment, cilium=True, workloads=workloads)

    assert {each.name: each.namespaces for each in targets} == {"west": ("song", "test"), "east": ("song",)}
    assert [each.extra_resources for each in targets] == [(), ()]
    assert not any(each.needs_load_balancer or each.needs_cert_manager for each in targets)


@pytest.mark.parametrize(
    ("content", "oldest", "newest"),
    [
        ({"cilium": True}, "1.21", "1.36"),
        ({"cilium": True, "linkerd": {}}, "1.31", "1.35"),
        ({"cilium": True, "linkerd": {"version": "2.14.10"}}, "1.21", "1.28"),
        ({"cilium": True, "linkerd": {"version": "edge-26.8.3"}}, "1.31", "1.36"),
    ],
)
def test_supported_kubernetes_depends_on_linkerd_release(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, content: dict[str, Any], oldest: str, newest: str
) -> None:
    targets, _ = collect_targets(monkeypatch, environment, **content)

    assert {(each.minimum_kubernetes, each.newest_tested_kubernetes) for each in targets} == {(oldest, newest)}


@pytest.mark.parametrize(
    ("gateway", "needs_load_balancer"),
    [
        ({}, True),
        ({"loadBalancer": {"await": False}}, False),
        ({"loadBalancer": False}, False),
        ({"addresses": ["192.0.2.20"]}, False),
        ({"nodePort": {"port": 30143, "probePort": 30191}}, False),
        ({"enabled": False}, False),
    ],
)
def test_load_balancer_is_checked_only_for_awaited_address(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, gateway: dict[str, Any], needs_load_balancer: bool
) -> None:
    clusters = {"west": {"gateway": gateway}, "east": {"gateway": False}}

    targets, _ = collect_targets(monkeypatch, environment, clusters=clusters)

    assert [each.needs_load_balancer for each in targets] == [needs_load_balancer, False]


def test_linkerd_with_cilium_checks_both(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    targets, _ = collect_targets(monkeypatch, environment, cilium=True, linkerd={}, workloads=[{"podinfo": {}}])

    assert targets[0].namespaces == ("linkerd", "linkerd-multicluster", "test")
    assert ("linkerd.io", "serviceprofiles") in targets[0].extra_resources


def test_declared_objects_need_permissions_on_their_clusters(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    targets, _ = collect_targets(
        monkeypatch,
        environment,
        clusters={"west": {}, "east": {}},
        namespaces={"shop": {"clusters": ["east"], "meshed": True, "restart": True}},
        services={"shop/cart": {"clusters": ["east"], "allow": [{"from": "*"}]}},
    )

    policies = {("policy.linkerd.io", f"{kind}authentications") for kind in ("meshtls", "network")}
    assert {each.name: each.restarts_workloads for each in targets} == {"west": False, "east": True}
    assert {each.name: policies <= set(each.extra_resources) for each in targets} == {"west": False, "east": True}


def test_running_cilium_is_compared_with_settings_of_its_cluster(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    clusters = {
        "west": {"cilium": {"id": 1, "values": {"image": {"tag": "ours"}}}},
        "east": {"cilium": {"id": 500, "values": {"image": {"repository": "mirror/cilium"}}}},
        "lost": {"reachable": False, "cilium": {"id": 4}},
    }
    cilium = {"version": "1.17.4", "maxConnectedClusters": 511}

    targets, _ = collect_targets(monkeypatch, environment, clusters=clusters, cilium=cilium)

    assert {each.name: each.cilium for each in targets} == {
        "west": CiliumTarget(id=1, version="1.17.4", max_connected_clusters=511, has_own_image_tag=True),
        "east": CiliumTarget(id=500, version="1.17.4", max_connected_clusters=511),
    }
    assert all((each.trust_domain, each.cluster_domain) == (None, None) for each in targets)


def test_running_linkerd_is_compared_with_domains_of_its_cluster(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    clusters = {"west": {"linkerd": {"clusterDomain": "west.example"}}, "east": {}}

    targets, _ = collect_targets(
        monkeypatch, environment, clusters=clusters, linkerd={"trustDomain": "mesh.corp.example"}
    )

    assert {each.name: (each.trust_domain, each.cluster_domain) for each in targets} == {
        "west": ("mesh.corp.example", "west.example"),
        "east": ("mesh.corp.example", "cluster.local"),
    }
    assert [each.cilium for each in targets] == [None, None]


def test_clustermesh_pairs_are_checked_for_network_overlap(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    clusters = {**CILIUM_CLUSTERS, "north": {"cilium": {"id": 3}}, "lost": {"reachable": False, "cilium": {"id": 4}}}

    _, flat = collect_targets(monkeypatch, environment, cilium=True, clusters=clusters)

    assert [(each.source, each.target) for each in flat if each.is_clustermesh] == [
        ("west", "east"),
        ("west", "north"),
        ("east", "north"),
    ]
    assert collect_targets(monkeypatch, environment, clusters={"west": {}, "east": {}})[1] == []


def test_releases_and_platform_follow_the_extensions(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    extensions = {"viz": ["west"], "metallb": {"pools": {"east": ["192.0.2.1-192.0.2.9"]}}, "ingressNginx": ["west"]}

    targets, _ = collect_targets(
        monkeypatch, environment, clusters={"west": {}, "east": {}}, extensions=extensions, topology="full-mesh"
    )

    mesh = ["linkerd-crds", "linkerd-control-plane", "linkerd-multicluster"]
    assert {each.name: [release.name for release in each.releases] for each in targets} == {
        "west": [*mesh, "linkerd-viz"],
        "east": mesh,
    }
    assert {each.name: [(software.name, software.remedy) for software in each.platform] for each in targets} == {
        "west": [("ingress-nginx", "set extensions.ingressNginx.install: false to use it")],
        "east": [
            (
                "MetalLB",
                "remove extensions.metallb.pools.east, or extensions.metallb if no cluster needs it, to use it with "
                "its own pools",
            )
        ],
    }
    assert {each.name: each.links for each in targets} == {"west": ("east",), "east": ("west",)}


def test_existing_platform_software_is_not_looked_for(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    targets, _ = collect_targets(
        monkeypatch, environment, clusters={"west": {}}, extensions={"ingressNginx": {"install": False}}
    )

    assert [(each.platform, each.links) for each in targets] == [((), None)]


@pytest.mark.parametrize(
    ("clusters", "finding"),
    [
        (
            {"prod": {"context": "west"}},
            "clusters.prod: context west: cluster west of this stack \\(UID unknown\\) under a new name",
        ),
        ({"prod": {"context": "west", "renamedFrom": "west"}}, None),
        ({"west": {}}, None),
        ({"prod-east": {"context": "east"}}, "clusters.prod-east: context east: the rename of east to prod-east was"),
        ({"prod-east": {"context": "east", "renamedFrom": "east"}}, None),
    ],
)
def test_disabled_preflight_still_refuses_renames(
    environment: Environment, clusters: dict[str, Any], finding: str | None
) -> None:
    recorded = {
        "west": RecordedCluster(name="west", context="west", kubeconfig=""),
        "prod-east": RecordedCluster(name="prod-east", context="east", kubeconfig="", unfinished_rename="east"),
    }
    stack = config.parse({"clusters": clusters, "preflight": False}, environment)

    def check() -> ClusterFacts:
        identity = replace(IDENTITY, clusters=recorded)
        return preflight.check_stack(
            stack, identity=identity, changes=TrafficChanges(), namespaces=[], is_update=True, warn=print
        )

    if finding is None:
        assert check().uids == {}
    else:
        with pytest.raises(preflight.PreflightError, match=finding):
            check()
