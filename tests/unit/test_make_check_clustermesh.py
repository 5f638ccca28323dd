"""Rows of `make check` for a ClusterMesh, and the summary of `make up`, without a lab."""

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


def encode_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def peer_config(peer: str) -> str:
    return encode_base64(f"endpoints:\n- https://{peer}.mesh.cilium.io:32379\ncert-file: /x\n")


def secret(**data: str) -> dict[str, Any]:
    return {"data": data}


def healthy_objects() -> Objects:
    """Return the objects of two clusters in one healthy mesh."""
    objects: Objects = {}
    for name, peer, address in (("west", "east", "192.0.2.2"), ("east", "west", "192.0.2.1")):
        aliases = [{"ip": address, "hostnames": [f"{peer}.mesh.cilium.io"]}, {"ip": "9.9.9.9", "hostnames": ["other"]}]
        image = "quay.io/cilium/cilium:v1.14.1@sha256:edc1d05ea1365c4a8f6ac6982247d5c145181704894bb698619c3827b6963a72"
        objects |= {
            (name, "secret", "cilium-ca"): secret(**{"ca.crt": "T05F"}),
            (name, "daemonset", "cilium"): {
                "spec": {"template": {"spec": {"containers": [{"image": image}], "hostAliases": aliases}}},
                "status": {"desiredNumberScheduled": 2, "numberReady": 2},
            },
            (name, "deployment", "cilium-operator"): AVAILABLE,
            (name, "deployment", "clustermesh-apiserver"): AVAILABLE,
            (name, "secret", "cilium-clustermesh"): secret(**{peer: peer_config(peer)}),
        }
    return copy.deepcopy(objects)


def collect_rows(objects: Objects) -> dict[str, CheckResult]:
    def read_object(cluster: str, kind: str, name: str, namespace: str) -> Mapping[str, Any]:
        assert namespace == "kube-system"
        return objects.get((cluster, kind, name), {})

    return {row.subject: row for row in clustermesh.check_clustermesh(["west", "east"], read_object)}


def test_healthy_mesh_has_row_per_cluster_and_direction() -> None:
    rows = collect_rows(healthy_objects())

    assert {(row.subject, row.check, row.passed, row.detail) for row in rows.values()} == {
        ("west", "cilium", True, "cilium:v1.14.1, with its ClusterMesh API server"),
        ("east", "cilium", True, "cilium:v1.14.1, with its ClusterMesh API server"),
        ("west → east", "clustermesh", True, "https://east.mesh.cilium.io:32379 (192.0.2.2)"),
        ("east → west", "clustermesh", True, "https://west.mesh.cilium.io:32379 (192.0.2.1)"),
    }


def _make_operator_unavailable(objects: Objects) -> None:
    objects["west", "deployment", "cilium-operator"] = {
        "status": {"conditions": [{"type": "Available", "status": "False"}]}
    }


def _remove_ready_agent(objects: Objects) -> None:
    objects["west", "daemonset", "cilium"]["status"]["numberReady"] = 1


def _remove_nodes(objects: Objects) -> None:
    objects["west", "daemonset", "cilium"]["status"] = {"desiredNumberScheduled": 0, "numberReady": 0}


def _remove_objects(objects: Objects) -> None:
    for key in list(objects):
        if key[0] == "west":
            del objects[key]


@pytest.mark.parametrize(
    ("damage", "unready"),
    [
        (_make_operator_unavailable, "deployment cilium-operator"),
        (_remove_ready_agent, "daemonset cilium"),
        (_remove_nodes, "daemonset cilium"),
        (_remove_objects, "daemonset cilium, deployment cilium-operator, deployment clustermesh-apiserver"),
    ],
)
def test_unready_workloads_are_named(damage: Callable[[Objects], None], unready: str) -> None:
    objects = healthy_objects()
    damage(objects)

    rows = collect_rows(objects)

    assert (rows["west"].passed, rows["west"].detail) == (False, f"not ready: {unready}")
    assert rows["east"].passed


def test_missing_peer_config_fails_its_direction() -> None:
    objects = healthy_objects()
    objects["west", "secret", "cilium-clustermesh"] = secret(north=peer_config("north"))

    rows = collect_rows(objects)

    assert (rows["west → east"].passed, rows["west → east"].detail) == (
        False,
        "east is not in the ClusterMesh configuration of west",
    )
    assert rows["east → west"].passed


@pytest.mark.parametrize(
    "ca_secret",
    [secret(**{"ca.crt": "T1RIRVI="}), secret(), {}],
    ids=["another-ca", "no-certificate", "no-secret"],
)
def test_different_cluster_cas_fail_both_directions(ca_secret: dict[str, Any]) -> None:
    objects = healthy_objects()
    objects["east", "secret", "cilium-ca"] = ca_secret

    rows = collect_rows(objects)

    for direction in ("west → east", "east → west"):
        assert not rows[direction].passed
        assert rows[direction].detail.endswith("; the clusters have different CAs")


def test_kvstoremesh_secret_takes_precedence_over_clustermesh_secret() -> None:
    objects = healthy_objects()
    objects["west", "secret", "cilium-kvstoremesh"] = objects["west", "secret", "cilium-clustermesh"]
    local_config = encode_base64("endpoints:\n- https://clustermesh-apiserver.kube-system.svc:2379\n")
    objects["west", "secret", "cilium-clustermesh"] = secret(east=local_config)
    # With a local copy, only the API server connects to other clusters.
    agents = objects["west", "daemonset", "cilium"]["spec"]["template"]["spec"]
    server = {"spec": {"template": {"spec": {"hostAliases": agents.pop("hostAliases")}}}}
    objects["west", "deployment", "clustermesh-apiserver"] = AVAILABLE | server

    assert collect_rows(objects)["west → east"].detail == "https://east.mesh.cilium.io:32379 (192.0.2.2)"


def test_shipped_clustermesh_stack_has_cilium_without_linkerd() -> None:
    lab_stack = stack.read_stack("clustermesh")

    assert (lab_stack.has_linkerd, lab_stack.has_cilium, lab_stack.links) == (False, True, ())
    assert [(cluster.name, cluster.context) for cluster in lab_stack.clusters] == [
        ("cluster1", "bastion02"),
        ("cluster2", "bastion03"),
    ]
    assert [sample.name for sample in lab_stack.samples] == ["userlist"]
    assert (stack.read_stack("dev").has_linkerd, stack.read_stack("dev").has_cilium) == (True, False)


@pytest.mark.parametrize(
    ("cluster", "summary"),
    [
        ({"linkerd": "stable-2.14.10", "charts": {}}, "stable-2.14.10"),
        ({"charts": {"cilium": "1.14.1"}, "cilium": {"id": 7}}, "Cilium 1.14.1, id 7"),
        (
            {"linkerd": "stable-2.14.10", "charts": {"cilium": "1.19.0"}, "cilium": {"id": 1}},
            "stable-2.14.10, Cilium 1.19.0, id 1",
        ),
    ],
    ids=["linkerd", "cilium", "both"],
)
def test_cluster_summary_names_linkerd_and_cilium_versions(cluster: dict[str, Any], summary: str) -> None:
    assert command._describe_meshes(cluster) == summary


def test_next_command_depends_on_installed_mesh() -> None:
    cilium, dev = stack.read_stack("clustermesh"), stack.read_stack("dev")

    assert command._next_command(cilium, "one", {"links": {}}) == (
        "kubectl --context one --namespace kube-system get pods,secrets"
    )
    assert command._next_command(dev, "one", {"links": {"a": "b"}}) == "linkerd --context one multicluster gateways"
    assert command._next_command(dev, "one", {"links": {}}) == "linkerd --context one check"
