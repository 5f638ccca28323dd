"""The rows of `make check` on a ClusterMesh, and what `make up` says of one: without a lab."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hack.make import __main__ as command
from hack.make import clustermesh, stack
from hack.make.check_result import CheckResult

Objects = dict[tuple[str, str, str], dict[str, Any]]
AVAILABLE = {"status": {"conditions": [{"type": "Available", "status": "True"}]}}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def told(peer: str) -> str:
    return encoded(f"endpoints:\n- https://{peer}.mesh.cilium.io:32379\ncert-file: /x\n")


def secret(**data: str) -> dict[str, Any]:
    return {"data": data}


def healthy() -> Objects:
    """Two clusters of one mesh."""
    found: Objects = {}
    for name, peer, address in (("west", "east", "192.0.2.2"), ("east", "west", "192.0.2.1")):
        aliases = [{"ip": address, "hostnames": [f"{peer}.mesh.cilium.io"]}, {"ip": "9.9.9.9", "hostnames": ["other"]}]
        image = "quay.io/cilium/cilium:v1.14.1@sha256:edc1d05ea1365c4a8f6ac6982247d5c145181704894bb698619c3827b6963a72"
        found |= {
            (name, "secret", "cilium-ca"): secret(**{"ca.crt": "T05F"}),
            (name, "daemonset", "cilium"): {
                "spec": {"template": {"spec": {"containers": [{"image": image}], "hostAliases": aliases}}},
                "status": {"desiredNumberScheduled": 2, "numberReady": 2},
            },
            (name, "deployment", "cilium-operator"): AVAILABLE,
            (name, "deployment", "clustermesh-apiserver"): AVAILABLE,
            (name, "secret", "cilium-clustermesh"): secret(**{peer: told(peer)}),
        }
    return copy.deepcopy(found)


def rows(objects: Objects) -> dict[str, CheckResult]:
    def look(cluster: str, kind: str, name: str, namespace: str) -> Mapping[str, Any]:
        assert namespace == "kube-system"
        return objects.get((cluster, kind, name), {})

    return {row.subject: row for row in clustermesh.check_clustermesh(["west", "east"], look)}


def test_a_mesh_that_is_up_has_a_row_for_each_cluster_and_each_direction() -> None:
    found = rows(healthy())

    assert {(row.subject, row.check, row.passed, row.detail) for row in found.values()} == {
        ("west", "cilium", True, "cilium:v1.14.1, with its ClusterMesh API server"),
        ("east", "cilium", True, "cilium:v1.14.1, with its ClusterMesh API server"),
        ("west → east", "clustermesh", True, "https://east.mesh.cilium.io:32379 (192.0.2.2)"),
        ("east → west", "clustermesh", True, "https://west.mesh.cilium.io:32379 (192.0.2.1)"),
    }


def _no_operator(objects: Objects) -> None:
    objects["west", "deployment", "cilium-operator"] = {
        "status": {"conditions": [{"type": "Available", "status": "False"}]}
    }


def _too_few_agents(objects: Objects) -> None:
    objects["west", "daemonset", "cilium"]["status"]["numberReady"] = 1


def _no_nodes(objects: Objects) -> None:
    objects["west", "daemonset", "cilium"]["status"] = {"desiredNumberScheduled": 0, "numberReady": 0}


def _nothing(objects: Objects) -> None:
    for key in list(objects):
        if key[0] == "west":
            del objects[key]


@pytest.mark.parametrize(
    ("spoil", "unready"),
    [
        (_no_operator, "deployment cilium-operator"),
        (_too_few_agents, "daemonset cilium"),
        (_no_nodes, "daemonset cilium"),
        (_nothing, "daemonset cilium, deployment cilium-operator, deployment clustermesh-apiserver"),
    ],
)
def test_what_is_not_ready_is_named(spoil: Callable[[Objects], None], unready: str) -> None:
    objects = healthy()
    spoil(objects)

    found = rows(objects)

    assert (found["west"].passed, found["west"].detail) == (False, f"not ready: {unready}")
    assert found["east"].passed


def test_a_cluster_that_is_not_told_of_another_fails_in_that_direction() -> None:
    objects = healthy()
    objects["west", "secret", "cilium-clustermesh"] = secret(north=told("north"))

    found = rows(objects)

    assert (found["west → east"].passed, found["west → east"].detail) == (
        False,
        "east is not in the ClusterMesh configuration of west",
    )
    assert found["east → west"].passed


@pytest.mark.parametrize("authority", [secret(**{"ca.crt": "T1RIRVI="}), secret(), {}])
def test_clusters_of_several_authorities_let_nobody_in(authority: dict[str, Any]) -> None:
    objects = healthy()
    objects["east", "secret", "cilium-ca"] = authority

    found = rows(objects)

    for direction in ("west → east", "east → west"):
        assert not found[direction].passed
        assert found[direction].detail.endswith("; the clusters have different CAs")


def test_where_a_copy_is_kept_it_is_the_copy_that_reaches_the_others() -> None:
    objects = healthy()
    objects["west", "secret", "cilium-kvstoremesh"] = objects["west", "secret", "cilium-clustermesh"]
    copied = encoded("endpoints:\n- https://clustermesh-apiserver.kube-system.svc:2379\n")
    objects["west", "secret", "cilium-clustermesh"] = secret(east=copied)
    # There, only the API server connects to others.
    agents = objects["west", "daemonset", "cilium"]["spec"]["template"]["spec"]
    server = {"spec": {"template": {"spec": {"hostAliases": agents.pop("hostAliases")}}}}
    objects["west", "deployment", "clustermesh-apiserver"] = AVAILABLE | server

    assert rows(objects)["west → east"].detail == "https://east.mesh.cilium.io:32379 (192.0.2.2)"


def test_the_shipped_stack_is_read_as_one_of_cilium_alone() -> None:
    found = stack.read_stack("clustermesh")

    assert (found.has_linkerd, found.has_cilium, found.links) == (False, True, ())
    assert [(cluster.name, cluster.context) for cluster in found.clusters] == [
        ("cluster1", "bastion02"),
        ("cluster2", "bastion03"),
    ]
    assert [sample.name for sample in found.samples] == ["userlist"]
    assert (stack.read_stack("dev").has_linkerd, stack.read_stack("dev").has_cilium) == (True, False)


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"linkerd": "stable-2.14.10", "charts": {}}, "stable-2.14.10"),
        ({"charts": {"cilium": "1.14.1"}, "cilium": {"id": 7}}, "Cilium 1.14.1, id 7"),
        (
            {"linkerd": "stable-2.14.10", "charts": {"cilium": "1.19.0"}, "cilium": {"id": 1}},
            "stable-2.14.10, Cilium 1.19.0, id 1",
        ),
    ],
)
def test_a_cluster_is_named_with_what_joins_it_to_the_others(cluster: dict[str, Any], said: str) -> None:
    assert command._describe_meshes(cluster) == said


def test_what_to_look_at_next_is_of_the_mesh_that_is_there() -> None:
    cilium, dev = stack.read_stack("clustermesh"), stack.read_stack("dev")

    assert command._next_command(cilium, "one", {"links": {}}) == (
        "kubectl --context one --namespace kube-system get pods,secrets"
    )
    assert command._next_command(dev, "one", {"links": {"a": "b"}}) == "linkerd --context one multicluster gateways"
    assert command._next_command(dev, "one", {"links": {}}) == "linkerd --context one check"
