"""A mesh of Linkerd's edge line: moved there from the last stable release, then all that only the newer one has."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from mesh.linkerd_releases import linkerd_release
from tests.helpers.edge_releases import EDGE, newest_release
from tests.helpers.lab_stack import Deployment, brought_up, comes_true, everything

pytestmark = [pytest.mark.lab("west", "east", "north", "ctx-1", minutes=6), EDGE]

NAMESPACE = "linkerd-multicluster"
STABLE: dict[str, Any] = {
    "clusters": {"west": {}, "east": {}},
    "topology": "full-mesh",
    "linkerd": {"version": "2.14.10"},
    "workloads": [{"podinfo": {"exported": ["east"]}}, {"helloworld": {"namespace": "hello"}}],
}
LINKS = "links.v1alpha3.multicluster.linkerd.io"


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A mesh of the last stable release, in both directions, with an export in place."""
    with brought_up(lab, tmp_path_factory.mktemp("edge"), "edge", STABLE) as deployment:
        yield deployment


def of_edge(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(STABLE), "linkerd": {"version": newest_release()}, **changes}


def failed(mesh: Deployment) -> list[str]:
    return [f"{row.subject}: {row.check}: {row.detail}" for row in mesh.rows() if not row.passed]


def test_a_running_mesh_moves_to_the_newest_release_in_one_update_and_its_mirrors_stay(mesh: Deployment) -> None:
    mirror = mesh.one("west", "service", "podinfo-east", "test")["metadata"]["uid"]
    link = mesh.one("west", LINKS.replace("v1alpha3", "v1alpha1"), "east", NAMESPACE)["metadata"]["uid"]
    mesh.configure(of_edge())

    planned = mesh.changes()
    mesh.up()

    assert planned["Link link-west-to-east-link"] == "update"
    assert planned["Release link-west-to-east-controller"] == "delete"
    assert set(planned.values()) == {"create", "update", "delete"}, "nothing is replaced"
    assert mesh.one("west", "service", "podinfo-east", "test")["metadata"]["uid"] == mirror
    assert mesh.one("west", LINKS, "east", NAMESPACE)["metadata"]["uid"] == link
    deployments = {item["metadata"]["name"] for item in mesh.objects("west", "deployments", "-n", NAMESPACE)}
    assert deployments == {"controller-east", "linkerd-gateway", "linkerd-local-service-mirror"}
    assert failed(mesh) == []
    mesh.up("--expect-no-changes")


def test_it_is_not_taken_back(mesh: Deployment) -> None:
    mesh.configure(STABLE)
    try:
        printed = mesh.failing_up()
    finally:
        mesh.configure(of_edge())

    tag = getattr(linkerd_release(newest_release()), "tag", newest_release())
    assert f"linkerd.version: stable-2.14.10: clusters.west runs {tag}, which is newer" in printed


def test_links_and_credentials_are_what_linkerds_own_command_writes(mesh: Deployment) -> None:
    said = ("linkerd", "--context", "east", "multicluster", "link-gen", "--cluster-name=east", "-o", "json")
    ours = mesh.one("west", LINKS, "east", NAMESPACE)

    documents = [line for line in mesh.run(*said).stdout.split("\n") if line.strip()]
    _, discovery, link = map(json.loads, documents[:3])

    for key, value in link["spec"].items():
        assert (
            set(value.items()) <= set(ours["spec"][key].items()) if key == "probeSpec" else ours["spec"][key] == value
        )
    assert link["metadata"]["annotations"].items() <= ours["metadata"]["annotations"].items()
    secret = mesh.one("west", "secret", "cluster-credentials-east", "linkerd")
    assert secret["type"] == discovery["type"]
    for key in ("labels", "annotations"):
        assert discovery["metadata"][key].items() <= secret["metadata"][key].items()


def test_a_token_that_is_revoked_is_renewed_and_the_controller_made_anew(mesh: Deployment) -> None:
    def controller() -> str:
        return str(mesh.one("west", "deployment", "controller-east", NAMESPACE)["metadata"]["generation"])

    before = controller()
    token = ("secret", "linkerd-service-mirror-remote-access-west")
    mesh.kubectl("east", "-n", NAMESPACE, "delete", *token)

    mesh.up("--refresh")

    assert mesh.exists("east", *token, NAMESPACE)
    assert controller() != before
    assert failed(mesh) == []


FLAT = {"networks": {"flat": "lan"}, "gateway": False}
FOUR: dict[str, Any] = {
    "clusters": {
        "west": {"networks": {"flat": "lan", "pods": ["10.1.0.0/16"]}},
        "east": {"networks": {"flat": "lan", "pods": ["10.2.0.0/16"]}},
        "north": {**FLAT, "networks": {"flat": "lan", "pods": ["10.3.0.0/16"]}},
        "south": {**FLAT, "context": "ctx-1", "networks": {"flat": "lan", "pods": ["10.4.0.0/16"]}},
    },
    "topology": {"shape": "full-mesh", "except": [{"source": "west", "target": "east"}]},
    "links": [
        {
            "source": "west",
            "target": "east",
            "gateway": True,
            "serviceMirror": {"headlessServices": True, "replicas": 2},
            "probe": {"failureThreshold": 4, "timeout": "9s"},
            "excludedLabels": ["example.com/*"],
        }
    ],
    "workloads": [
        {"podinfo": {"clusters": ["west", "east", "north"], "federated": ["west", "east", "north"]}},
        {"helloworld": {"namespace": "hello", "exported": ["north"]}},
    ],
}


def test_four_clusters_in_full_mesh_have_every_mode_at_once(mesh: Deployment) -> None:
    for context in ("north", "ctx-1"):
        mesh.before[context] = everything(mesh, context)
    mesh.configure(of_edge(**FOUR))

    mesh.up()

    assert failed(mesh) == []
    for context, others in (("west", "east,north"), ("east", "west,north"), ("north", "west,east")):
        annotations = mesh.one(context, "service", "podinfo-federated", "test")["metadata"]["annotations"]
        found = annotations["multicluster.linkerd.io/remote-discovery"].split(",")
        assert set(found) == {f"podinfo@{other}" for other in others.split(",")}
        assert annotations["multicluster.linkerd.io/local-discovery"] == "podinfo"
    labels = mesh.one("west", "service", "helloworld-north", "hello")["metadata"]["labels"]
    assert labels["multicluster.linkerd.io/remote-discovery"] == "north"
    mesh.up("--expect-no-changes")


HEADLESS = """
apiVersion: v1
kind: Service
metadata:
  name: nodes
  namespace: default
  labels: {mirror.linkerd.io/exported: "true", example.com/team: tea, plain: "yes"}
spec: {clusterIP: None, selector: {app: nodes}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: nodes, namespace: default}
spec:
  replicas: 2
  serviceName: nodes
  selector: {matchLabels: {app: nodes}}
  template:
    metadata: {labels: {app: nodes}}
    spec: {containers: [{name: node, image: example.com/node}]}
"""


def test_headless_services_are_mirrored_as_such_without_the_labels_that_are_left_out(mesh: Deployment) -> None:
    file = mesh.output.parent / "headless.yaml"
    file.write_text(HEADLESS)
    mesh.kubectl("east", "apply", "-f", str(file))
    try:
        for name in ("nodes-0-east", "nodes-1-east"):
            assert comes_true(partial(mesh.exists, "west", "service", name))
        mirror = mesh.one("west", "service", "nodes-east")
    finally:
        mesh.kubectl("east", "delete", "-f", str(file))

    assert mirror["spec"]["clusterIP"] == "None"
    assert mirror["metadata"]["labels"]["plain"] == "yes"
    assert "example.com/team" not in mirror["metadata"]["labels"]
    assert comes_true(lambda: not mesh.exists("west", "service", "nodes-0-east"))


def test_a_link_says_what_the_stack_file_says_of_it(mesh: Deployment) -> None:
    spec = mesh.one("west", LINKS, "east", NAMESPACE)["spec"]

    assert (spec["probeSpec"]["failureThreshold"], spec["probeSpec"]["timeout"]) == ("4", "9s")
    assert spec["excludedLabels"] == ["example.com/*"]
    assert "gatewayAddress" not in mesh.one("west", LINKS, "north", NAMESPACE)["spec"]
    assert mesh.one("west", "deployment", "controller-east", NAMESPACE)["spec"]["replicas"] == 2


def test_what_leaves_a_federated_service_leaves_no_trace(mesh: Deployment) -> None:
    config = of_edge(**copy.deepcopy(FOUR))
    config["workloads"][0]["podinfo"]["federated"] = ["west"]
    mesh.configure(config)

    mesh.up()

    annotations = mesh.one("west", "service", "podinfo-federated", "test")["metadata"]["annotations"]
    assert annotations["multicluster.linkerd.io/local-discovery"] == "podinfo"
    assert not annotations.get("multicluster.linkerd.io/remote-discovery")
    members = mesh.one("north", "service", "podinfo-federated", "test")["metadata"]["annotations"]
    assert members["multicluster.linkerd.io/remote-discovery"] == "podinfo@west"
    assert failed(mesh) == []


def test_destroy_leaves_nothing_of_it(mesh: Deployment) -> None:
    foreign = ("-n", "default", "service", "till")
    mesh.kubectl("east", "-n", "default", "create", "service", "clusterip", "till", "--tcp=80")
    mesh.kubectl("east", "label", *foreign, "mirror.linkerd.io/federated=member")
    assert comes_true(lambda: mesh.exists("north", "service", "till-federated"))

    mesh.destroy()

    mesh.kubectl("east", "delete", *foreign)
    assert [context for context in mesh.before if not mesh.is_as_before(context)] == []
