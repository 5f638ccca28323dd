"""A link in each generation of Linkerd, on a recording engine: what is made, and what waits for what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.mock_engine import Recorder, RunProgram, mesh_config, without_secret_marks

FOUR = ("west", "east", "north", "south")


def of_release(version: str, *names: str, **rest: Any) -> dict[str, Any]:
    return {**mesh_config(*names, links=[]), "topology": "full-mesh", "linkerd": {"version": version}, **rest}


@pytest.fixture(scope="module")
def newer(run: RunProgram) -> Recorder:
    """Four clusters in full mesh by the newer generation."""
    return run(of_release("2.20", *FOUR))


@pytest.fixture(scope="module")
def older(run: RunProgram) -> Recorder:
    """Two clusters by the older one."""
    return run(of_release("2.17", "west", "east"))


def test_controllers_come_with_the_extension_and_not_by_releases_of_their_own(newer: Recorder) -> None:
    releases = without_secret_marks(newer.inputs_of(":Release"))
    controllers = releases["west-multicluster"]["values"]["controllers"]

    assert [each["link"]["ref"]["name"] for each in controllers] == ["east", "north", "south"]
    assert not [name for name in releases if name.startswith("link-")]
    assert len(newer.inputs_of(":Link")) == 12


def test_the_older_generation_has_a_release_for_each_link(older: Recorder) -> None:
    releases = without_secret_marks(older.inputs_of(":Release"))

    assert len([name for name in releases if name.startswith("link-")]) == 2
    assert "controllers" not in releases["west-multicluster"]["values"]
    assert releases["link-west-to-east-controller"]["values"]["tag"] == "edge-24.11.8"


def test_links_are_of_the_version_that_their_release_stores(newer: Recorder, older: Recorder) -> None:
    for found, version in ((newer, "v1alpha3"), (older, "v1alpha2")):
        asked = found.registration(":Link", "link-west-to-east-link")
        assert asked.type == f"kubernetes:multicluster.linkerd.io/{version}:Link"


def test_nothing_waits_for_itself_in_a_full_mesh(newer: Recorder, older: Recorder) -> None:
    for found in (newer, older):
        before = {each.urn: set(each.dependencies) for each in found.monitor.registrations}
        while ready := [urn for urn, waits in before.items() if not waits & before.keys()]:
            for urn in ready:
                del before[urn]
        assert not before


def test_the_extension_waits_for_no_credentials(newer: Recorder) -> None:
    """Those of two clusters that are linked both ways need each other's extension."""
    before = newer.dependencies_of(":Release", "west-multicluster")

    assert not [each for each in before if "link-" in each]


def test_a_link_goes_first_then_its_mirrors_then_its_credentials_and_the_controller(newer: Recorder) -> None:
    link = newer.dependencies_of(":Link", "link-west-to-east-link")
    mirrors = newer.dependencies_of(":MirrorCleanup", "link-west-to-east-mirrors")

    assert {"MirrorCleanup link-west-to-east-mirrors", "ReleaseDrift west-multicluster-drift"} <= link
    assert {
        "Secret link-west-to-east-credentials",
        "Secret link-west-to-east-discovery-credentials",
        "ReleaseDrift west-multicluster-drift",
    } <= mirrors


def test_the_clusters_own_members_go_after_the_controller_that_writes_them(newer: Recorder) -> None:
    assert "MirrorCleanup west-multicluster-members" in newer.dependencies_of(":Release", "west-multicluster")


def test_new_credentials_are_told_to_the_controller_and_tell_nothing_of_themselves(newer: Recorder) -> None:
    found = newer.inputs_of(":MirrorCleanup")["link-west-to-east-mirrors"]

    assert found["controller"] == "controller-east"
    assert len(found["credentialsChecksum"]) == 64


def test_links_and_their_secrets_carry_what_linkerds_own_command_writes(newer: Recorder) -> None:
    link = without_secret_marks(newer.inputs_of(":Link"))["link-west-to-east-link"]
    secrets = without_secret_marks(newer.inputs_of("core/v1:Secret"))
    mirror = secrets["link-west-to-east-credentials"]
    discovery = secrets["link-west-to-east-discovery-credentials"]

    assert link["metadata"]["annotations"]["linkerd.io/created-by"] == "linkerd/cli edge-26.6.3"
    assert mirror["type"] == discovery["type"] == "mirror.linkerd.io/remote-kubeconfig"
    assert mirror["metadata"]["namespace"] == "linkerd-multicluster"
    assert discovery["metadata"]["namespace"] == "linkerd"
    assert discovery["metadata"]["labels"]["multicluster.linkerd.io/cluster-name"] == "east"
    assert discovery["metadata"]["annotations"]["multicluster.linkerd.io/trust-domain"] == "cluster.local"
    assert discovery["metadata"]["annotations"]["multicluster.linkerd.io/cluster-domain"] == "cluster.local"


def test_a_link_to_a_cluster_that_is_away_keeps_its_controller_and_one_that_is_forgotten_loses_it(
    run: RunProgram,
) -> None:
    whole = of_release("2.20", "west", "east", "north")
    away = {"west": {}, "east": {"reachable": False}, "north": {"reachable": "never"}}
    found = run({**whole, "clusters": away}, state=run(whole))

    (entry,) = without_secret_marks(found.inputs_of(":Release"))["west-multicluster"]["values"]["controllers"]
    assert entry["link"]["ref"]["name"] == "east"


FLAT: dict[str, Any] = {
    **mesh_config("west", "east", "north", links=[]),
    "linkerd": {"version": "2.20"},
    "topology": {"shape": "full-mesh", "gateway": False},
    "workloads": [
        {"podinfo": {"federated": ["west", "east"]}},
        {"helloworld": {"exported": ["east"], "clusters": ["east", "west", "north"]}},
    ],
}


def test_a_member_of_a_federated_service_is_labelled_and_leaves_everywhere_before_it_goes(run: RunProgram) -> None:
    found = run(FLAT)
    service = without_secret_marks(found.inputs_of("core/v1:Service"))["east-test-podinfo-service"]
    exports = without_secret_marks(found.inputs_of(":ExportCleanup"))
    members = {name: each for name, each in exports.items() if each.get("federated")}

    assert service["metadata"]["labels"]["mirror.linkerd.io/federated"] == "member"
    assert "mirror.linkerd.io/exported" not in service["metadata"]["labels"]
    assert {(each["target"], each["source"]) for each in members.values()} == {
        *(("east", source) for source in ("west", "east", "north")),
        *(("west", source) for source in ("west", "east", "north")),
    }
    before = found.dependencies_of("core/v1:Service", "east-test-podinfo-service")
    assert {f"ExportCleanup east-test-podinfo-service-member{end}" for end in ("", "-west", "-north")} <= before


def test_a_source_on_another_network_has_no_part_in_what_is_reached_pod_by_pod(run: RunProgram) -> None:
    networks = {"west": {"networks": {"flat": "lan"}}, "east": {"networks": {"flat": "lan"}}, "north": {}}
    config = {**FLAT, "clusters": networks, "topology": "full-mesh", "workloads": FLAT["workloads"][:1]}
    found = run(config)
    links = {name: each["spec"] for name, each in without_secret_marks(found.inputs_of(":Link")).items()}

    assert "federatedServiceSelector" in links["link-west-to-east-link"]
    assert "gatewayAddress" not in links["link-west-to-east-link"]
    assert "federatedServiceSelector" not in links["link-north-to-east-link"]
    assert {each["source"] for each in without_secret_marks(found.inputs_of(":ExportCleanup")).values()} == {
        "west",
        "east",
    }


def test_over_links_without_a_gateway_a_service_is_exported_for_remote_discovery(run: RunProgram) -> None:
    found = run(FLAT)
    service = without_secret_marks(found.inputs_of("core/v1:Service"))["east-default-helloworld-service"]
    exports = [
        each for each in without_secret_marks(found.inputs_of(":ExportCleanup")).values() if not each.get("federated")
    ]

    assert service["metadata"]["labels"]["mirror.linkerd.io/exported"] == "remote-discovery"
    assert {(each["target"], each["source"]) for each in exports} == {("east", "west"), ("east", "north")}
