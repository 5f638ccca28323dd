"""What clusters are asked for a stack: no more than its meshes need."""

from __future__ import annotations

from typing import Any

import pytest

from mesh import config as settings
from mesh import preflight
from mesh.preflight import CheckTarget, FlatNetworkLink
from tests.helpers.stack_files import Environment

TWO = {"west": {"cilium": {"id": 1}}, "east": {"cilium": {"id": 2}}}


def asked(
    patch: pytest.MonkeyPatch, environment: Environment, **config: Any
) -> tuple[list[CheckTarget], list[FlatNetworkLink]]:
    found: list[tuple[list[CheckTarget], list[FlatNetworkLink]]] = []

    def run(questions: list[CheckTarget], client: Any, flat: list[FlatNetworkLink], timeout: float) -> list[Any]:
        found.append((questions, flat))
        return []

    patch.setattr("mesh.preflight.stack.run_checks", run)
    stack = settings.parse({"clusters": TWO, **config}, environment)
    preflight.require(stack, owner="me", namespaces=["linkerd-multicluster"], updating=True, warn=print)
    return found[0]


def test_cilium_alone_needs_none_of_linkerds_namespaces_nor_kinds(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    workloads = [{"userlist": {}}, {"podinfo": {"clusters": ["west"]}}]

    questions, _ = asked(monkeypatch, environment, cilium=True, workloads=workloads)

    assert {each.name: each.namespaces for each in questions} == {"west": ("song", "test"), "east": ("song",)}
    assert [each.kinds for each in questions] == [(), ()]
    assert not any(each.load_balancer or each.cert_manager for each in questions)


def test_beside_linkerd_both_are_asked_for(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    questions, _ = asked(monkeypatch, environment, cilium=True, linkerd={}, workloads=[{"podinfo": {}}])

    assert questions[0].namespaces == ("linkerd", "linkerd-multicluster", "test")
    assert ("linkerd.io", "serviceprofiles") in questions[0].kinds


def test_pods_of_a_clustermesh_must_have_addresses_of_their_own(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    clusters = {**TWO, "north": {"cilium": {"id": 3}}, "lost": {"reachable": False, "cilium": {"id": 4}}}

    _, flat = asked(monkeypatch, environment, cilium=True, clusters=clusters)

    assert [(each.source, each.target) for each in flat if each.mesh] == [
        ("west", "east"),
        ("west", "north"),
        ("east", "north"),
    ]
    assert asked(monkeypatch, environment, clusters={"west": {}, "east": {}})[1] == []
