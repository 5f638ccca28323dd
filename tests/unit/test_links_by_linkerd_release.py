"""Links and their dependencies, up to Linkerd 2.17 and from 2.18, on a mock engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.mock_engine import Recorder, RunProgram, mesh_config, without_secret_marks

CLUSTERS = ("west", "east", "north", "south")


def build_full_mesh(version: str, *names: str, **rest: Any) -> dict[str, Any]:
    return {**mesh_config(*names, links=[]), "topology": "full-mesh", "linkerd": {"version": version}, **rest}


@pytest.fixture(scope="module")
def controller_mesh(run: RunProgram) -> Recorder:
    """Return a full mesh of four clusters with Linkerd 2.20."""
    return run(build_full_mesh("2.20", *CLUSTERS))


@pytest.fixture(scope="module")
def link_release_mesh(run: RunProgram) -> Recorder:
    """Return a full mesh of two clusters with Linkerd 2.17."""
    return run(build_full_mesh("2.17", "west", "east"))


def test_controllers_belong_to_release_of_extension(controller_mesh: Recorder) -> None:
    releases = without_secret_marks(controller_mesh.inputs_of(":Release"))
    controllers = releases["west-multicluster"]["values"]["controllers"]

    assert [each["link"]["ref"]["name"] for each in controllers] == ["east", "north", "south"]
    assert not [name for name in releases if name.startswith("link-")]
    assert len(controller_mesh.inputs_of(":Link")) == 12


def test_linkerd_up_to_2_17_has_one_release_per_link(link_release_mesh: Recorder) -> None:
    releases = without_secret_marks(link_release_mesh.inputs_of(":Release"))

    assert len([name for name in releases if name.startswith("link-")]) == 2
    assert "controllers" not in releases["west-multicluster"]["values"]
    assert releases["link-west-to-east-controller"]["values"]["tag"] == "edge-24.11.8"


def test_links_have_api_version_stored_by_release(controller_mesh: Recorder, link_release_mesh: Recorder) -> None:
    for recorder, version in ((controller_mesh, "v1alpha3"), (link_release_mesh, "v1alpha2")):
        registration = recorder.registration(":Link", "link-west-to-east-link")
        assert registration.type == f"kubernetes:multicluster.linkerd.io/{version}:Link"


def test_full_mesh_has_no_dependency_cycle(controller_mesh: Recorder, link_release_mesh: Recorder) -> None:
    for recorder in (controller_mesh, link_release_mesh):
        before = {each.urn: set(each.dependencies) for each in recorder.monitor.registrations}
        while ready := [urn for urn, waits in before.items() if not waits & before.keys()]:
            for urn in ready:
                del before[urn]
        assert not before


def test_extension_does_not_wait_for_credentials(controller_mesh: Recorder) -> None:
    # Credentials of mutually linked clusters need each other's extension, so waiting would form a cycle.
    before = controller_mesh.dependencies_of(":Release", "west-multicluster")

    assert not [each for each in before if "link-" in each]


def test_link_is_deleted_before_mirrors_credentials_and_controller(controller_mesh: Recorder) -> None:
    link = controller_mesh.dependencies_of(":Link", "link-west-to-east-link")
    mirrors = controller_mesh.dependencies_of(":MirrorCleanup", "link-west-to-east-mirrors")

    assert {"MirrorCleanup link-west-to-east-mirrors", "ReleaseDrift west-multicluster-drift"} <= link
    assert {
        "Secret link-west-to-east-credentials",
        "Secret link-west-to-east-discovery-credentials",
        "ReleaseDrift west-multicluster-drift",
    } <= mirrors


def test_local_members_are_deleted_after_their_controller(controller_mesh: Recorder) -> None:
    assert "MirrorCleanup west-multicluster-members" in controller_mesh.dependencies_of(":Release", "west-multicluster")


def test_mirror_cleanup_stores_only_checksum_of_credentials(controller_mesh: Recorder) -> None:
    inputs = controller_mesh.inputs_of(":MirrorCleanup")["link-west-to-east-mirrors"]

    assert inputs["controller"] == "controller-east"
    assert len(inputs["credentialsChecksum"]) == 64


def test_links_and_secrets_have_metadata_of_linkerd_command(controller_mesh: Recorder) -> None:
    link = without_secret_marks(controller_mesh.inputs_of(":Link"))["link-west-to-east-link"]
    secrets = without_secret_marks(controller_mesh.inputs_of("core/v1:Secret"))
    mirror = secrets["link-west-to-east-credentials"]
    discovery = secrets["link-west-to-east-discovery-credentials"]

    assert link["metadata"]["annotations"]["linkerd.io/created-by"] == "linkerd/cli edge-26.6.3"
    assert mirror["type"] == discovery["type"] == "mirror.linkerd.io/remote-kubeconfig"
    assert mirror["metadata"]["namespace"] == "linkerd-multicluster"
    assert discovery["metadata"]["namespace"] == "linkerd"
    assert discovery["metadata"]["labels"]["multicluster.linkerd.io/cluster-name"] == "east"
    assert discovery["metadata"]["annotations"]["multicluster.linkerd.io/trust-domain"] == "cluster.local"
    assert discovery["metadata"]["annotations"]["multicluster.linkerd.io/cluster-domain"] == "cluster.local"


def test_controllers_include_unreachable_but_not_abandoned_targets(
    run: RunProgram,
) -> None:
    stack_config = build_full_mesh("2.20", "west", "east", "north")
    clusters = {"west": {}, "east": {"reachable": False}, "north": {"reachable": "never"}}
    recorder = run({**stack_config, "clusters": clusters}, state=run(stack_config))

    (entry,) = without_secret_marks(recorder.inputs_of(":Release"))["west-multicluster"]["values"]["controllers"]
    assert entry["link"]["ref"]["name"] == "east"


FLAT_MESH: dict[str, Any] = {
    **mesh_config("west", "east", "north", links=[]),
    "linkerd": {"version": "2.20"},
    "topology": {"shape": "full-mesh", "gateway": False},
    "workloads": [
        {"podinfo": {"federated": ["west", "east"]}},
        {"helloworld": {"exported": ["east"], "clusters": ["east", "west", "north"]}},
    ],
}


def test_federated_member_is_removed_everywhere_before_its_service(run: RunProgram) -> None:
    recorder = run(FLAT_MESH)
    exports = without_secret_marks(recorder.inputs_of(":ExportCleanup"))
    members = {name: each for name, each in exports.items() if each.get("federated")}

    assert recorder.export_labels()["east", "test", "podinfo"] == {"mirror.linkerd.io/federated": "member"}
    assert {(each["target"], each["source"]) for each in members.values()} == {
        *(("east", source) for source in ("west", "east", "north")),
        *(("west", source) for source in ("west", "east", "north")),
    }
    before = recorder.dependencies_of(":ServiceExport", "east-test-podinfo-service-federated")
    assert {f"ExportCleanup east-test-podinfo-service-member{end}" for end in ("", "-west", "-north")} <= before


def test_members_join_federated_service_one_by_one(run: RunProgram) -> None:
    recorder = run(FLAT_MESH)

    assert "Stash west-test-podinfo-service-mirrors" in recorder.dependencies_of(
        ":ServiceExport", "east-test-podinfo-service-federated"
    )
    assert not any(
        name.startswith("Stash east-test-podinfo-service")
        for name in recorder.dependencies_of(":ServiceExport", "west-test-podinfo-service-federated")
    )


def test_source_on_other_network_skips_federated_services(run: RunProgram) -> None:
    clusters = {"west": {"networks": {"flat": "lan"}}, "east": {"networks": {"flat": "lan"}}, "north": {}}
    config = {**FLAT_MESH, "clusters": clusters, "topology": "full-mesh", "workloads": FLAT_MESH["workloads"][:1]}
    recorder = run(config)
    links = {name: each["spec"] for name, each in without_secret_marks(recorder.inputs_of(":Link")).items()}

    assert "federatedServiceSelector" in links["link-west-to-east-link"]
    assert "gatewayAddress" not in links["link-west-to-east-link"]
    assert "federatedServiceSelector" not in links["link-north-to-east-link"]
    assert {each["source"] for each in without_secret_marks(recorder.inputs_of(":ExportCleanup")).values()} == {
        "west",
        "east",
    }


def test_flat_links_export_services_for_remote_discovery(run: RunProgram) -> None:
    recorder = run(FLAT_MESH)
    exports = [
        each
        for each in without_secret_marks(recorder.inputs_of(":ExportCleanup")).values()
        if not each.get("federated")
    ]

    labels = recorder.export_labels()["east", "default", "helloworld"]
    assert labels == {"mirror.linkerd.io/exported": "remote-discovery"}
    assert {(each["target"], each["source"]) for each in exports} == {("east", "west"), ("east", "north")}
