"""A mesh of Linkerd's edge releases: the upgrade from the last stable release, and features of newer ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from mesh.linkerd_releases import find_linkerd_release
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES, newest_edge_release
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, wait_until

pytestmark = [pytest.mark.lab("west", "east", "north", "ctx-1", minutes=6), REQUIRES_EDGE_RELEASES]

NAMESPACE = "linkerd-multicluster"
STABLE: dict[str, Any] = {
    "clusters": {"west": {}, "east": {}},
    "topology": "full-mesh",
    "linkerd": {"version": "2.14.10"},
    "workloads": [{"podinfo": {"exported": ["east"]}}, {"helloworld": {"namespace": "hello"}}],
}
LINKS = "links.v1alpha3.multicluster.linkerd.io"


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy a mesh of the last stable release with links in both directions and an exported service."""
    with deploy(lab, tmp_path_factory.mktemp("edge"), "edge", STABLE) as lab_stack:
        yield lab_stack


def edge_config(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(STABLE), "linkerd": {"version": newest_edge_release()}, **changes}


def list_failed_checks(mesh: StackUnderTest) -> list[str]:
    return [f"{row.subject}: {row.check}: {row.detail}" for row in mesh.run_checks() if not row.passed]


def test_upgrade_to_newest_release_keeps_mirrors(mesh: StackUnderTest) -> None:
    mirror = mesh.get_object("west", "service", "podinfo-east", "test")["metadata"]["uid"]
    link = mesh.get_object("west", LINKS.replace("v1alpha3", "v1alpha1"), "east", NAMESPACE)["metadata"]["uid"]
    mesh.configure(edge_config())

    operations = mesh.preview_changes()
    mesh.up()

    assert operations["Link link-west-to-east-link"] == "update"
    assert operations["Release link-west-to-east-controller"] == "delete"
    assert set(operations.values()) == {"create", "update", "delete"}, "nothing is replaced"
    assert mesh.get_object("west", "service", "podinfo-east", "test")["metadata"]["uid"] == mirror
    assert mesh.get_object("west", LINKS, "east", NAMESPACE)["metadata"]["uid"] == link
    deployments = {item["metadata"]["name"] for item in mesh.list_objects("west", "deployments", "-n", NAMESPACE)}
    assert deployments == {"controller-east", "linkerd-gateway", "linkerd-local-service-mirror"}
    assert list_failed_checks(mesh) == []
    mesh.up("--expect-no-changes")


def test_downgrade_is_refused(mesh: StackUnderTest) -> None:
    mesh.configure(STABLE)
    try:
        output = mesh.up_expecting_failure()
    finally:
        mesh.configure(edge_config())

    tag = getattr(find_linkerd_release(newest_edge_release()), "tag", newest_edge_release())
    assert f"linkerd.version: stable-2.14.10: clusters.west runs {tag}, which is newer" in output


def test_links_and_credentials_equal_output_of_linkerd_cli(mesh: StackUnderTest) -> None:
    command = ("linkerd", "--context", "east", "multicluster", "link-gen", "--cluster-name=east", "-o", "json")
    live = mesh.get_object("west", LINKS, "east", NAMESPACE)

    documents = [line for line in mesh.run(*command).stdout.split("\n") if line.strip()]
    _, discovery, link = map(json.loads, documents[:3])

    for key, value in link["spec"].items():
        assert (
            set(value.items()) <= set(live["spec"][key].items()) if key == "probeSpec" else live["spec"][key] == value
        )
    assert link["metadata"]["annotations"].items() <= live["metadata"]["annotations"].items()
    secret = mesh.get_object("west", "secret", "cluster-credentials-east", "linkerd")
    assert secret["type"] == discovery["type"]
    for key in ("labels", "annotations"):
        assert discovery["metadata"][key].items() <= secret["metadata"][key].items()


def test_revoked_token_is_renewed_and_controller_restarted(mesh: StackUnderTest) -> None:
    def read_generation() -> str:
        return str(mesh.get_object("west", "deployment", "controller-east", NAMESPACE)["metadata"]["generation"])

    before = read_generation()
    token = ("secret", "linkerd-service-mirror-remote-access-west")
    mesh.kubectl("east", "-n", NAMESPACE, "delete", *token)

    mesh.up("--refresh")

    assert mesh.has_object("east", *token, NAMESPACE)
    assert read_generation() != before
    assert list_failed_checks(mesh) == []


FLAT_NETWORK = {"networks": {"flat": "lan"}, "gateway": False}
FOUR_CLUSTERS: dict[str, Any] = {
    "clusters": {
        "west": {"networks": {"flat": "lan", "pods": ["10.1.0.0/16"]}},
        "east": {"networks": {"flat": "lan", "pods": ["10.2.0.0/16"]}},
        "north": {**FLAT_NETWORK, "networks": {"flat": "lan", "pods": ["10.3.0.0/16"]}},
        "south": {**FLAT_NETWORK, "context": "ctx-1", "networks": {"flat": "lan", "pods": ["10.4.0.0/16"]}},
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


def test_full_mesh_of_four_clusters_combines_all_modes(mesh: StackUnderTest) -> None:
    for context in ("north", "ctx-1"):
        mesh.objects_before[context] = list_all_objects(mesh, context)
    mesh.configure(edge_config(**FOUR_CLUSTERS))

    mesh.up()

    assert list_failed_checks(mesh) == []
    for context, others in (("west", "east,north"), ("east", "west,north"), ("north", "west,east")):
        annotations = mesh.get_object(context, "service", "podinfo-federated", "test")["metadata"]["annotations"]
        members = annotations["multicluster.linkerd.io/remote-discovery"].split(",")
        assert set(members) == {f"podinfo@{other}" for other in others.split(",")}
        assert annotations["multicluster.linkerd.io/local-discovery"] == "podinfo"
    labels = mesh.get_object("west", "service", "helloworld-north", "hello")["metadata"]["labels"]
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


def test_headless_services_are_mirrored_without_excluded_labels(mesh: StackUnderTest) -> None:
    file = mesh.output.parent / "headless.yaml"
    file.write_text(HEADLESS)
    mesh.kubectl("east", "apply", "-f", str(file))
    try:
        for name in ("nodes-0-east", "nodes-1-east"):
            assert wait_until(partial(mesh.has_object, "west", "service", name))
        mirror = mesh.get_object("west", "service", "nodes-east")
    finally:
        mesh.kubectl("east", "delete", "-f", str(file))

    assert mirror["spec"]["clusterIP"] == "None"
    assert mirror["metadata"]["labels"]["plain"] == "yes"
    assert "example.com/team" not in mirror["metadata"]["labels"]
    assert wait_until(lambda: not mesh.has_object("west", "service", "nodes-0-east"))


def test_link_has_settings_of_stack_file(mesh: StackUnderTest) -> None:
    spec = mesh.get_object("west", LINKS, "east", NAMESPACE)["spec"]

    assert (spec["probeSpec"]["failureThreshold"], spec["probeSpec"]["timeout"]) == ("4", "9s")
    assert spec["excludedLabels"] == ["example.com/*"]
    assert "gatewayAddress" not in mesh.get_object("west", LINKS, "north", NAMESPACE)["spec"]
    assert mesh.get_object("west", "deployment", "controller-east", NAMESPACE)["spec"]["replicas"] == 2


def test_removed_member_leaves_no_trace_in_federated_service(mesh: StackUnderTest) -> None:
    config = edge_config(**copy.deepcopy(FOUR_CLUSTERS))
    config["workloads"][0]["podinfo"]["federated"] = ["west"]
    mesh.configure(config)

    mesh.up()

    annotations = mesh.get_object("west", "service", "podinfo-federated", "test")["metadata"]["annotations"]
    assert annotations["multicluster.linkerd.io/local-discovery"] == "podinfo"
    assert not annotations.get("multicluster.linkerd.io/remote-discovery")
    members = mesh.get_object("north", "service", "podinfo-federated", "test")["metadata"]["annotations"]
    assert members["multicluster.linkerd.io/remote-discovery"] == "podinfo@west"
    assert list_failed_checks(mesh) == []


def test_destroy_leaves_nothing(mesh: StackUnderTest) -> None:
    exported_service = ("-n", "default", "service", "till")
    mesh.kubectl("east", "-n", "default", "create", "service", "clusterip", "till", "--tcp=80")
    mesh.kubectl("east", "label", *exported_service, "mirror.linkerd.io/federated=member")
    assert wait_until(lambda: mesh.has_object("north", "service", "till-federated"))

    mesh.destroy()

    mesh.kubectl("east", "delete", *exported_service)
    assert [context for context in mesh.objects_before if not mesh.is_restored(context)] == []
