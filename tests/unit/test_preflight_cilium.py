"""Preflight checks of a running Cilium: its identity in the ClusterMesh, and the upgrade path."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.helm import release_storage
from mesh.kube.api_services import API_SERVICES_PATH
from mesh.preflight import Finding, Severity
from mesh.preflight.cilium_identity import CONFIG_MAP_PATH
from mesh.preflight.cilium_upgrade_path import DAEMON_SET_PATH, parse_version
from mesh.preflight.target import CiliumTarget
from tests.helpers.fake_api_server import REVIEWS, FakeApiServer, healthy_server, run_checks_against

SECRETS_PATH = "/api/v1/namespaces/kube-system/secrets"
MESH_GUIDE = "https://docs.cilium.io/en/stable/network/clustermesh/clustermesh/"
UPGRADE_GUIDE = "https://docs.cilium.io/en/stable/operations/upgrade/"
CONFIG = {"cluster-id": "1", "cluster-name": "west", "max-connected-clusters": "255"}


def cluster_running(version: str = "1.17.4", *, image: str | None = None, **config: str | None) -> FakeApiServer:
    """Return a cluster with a Cilium; None removes a key of its configuration."""
    cluster = healthy_server()
    data = {**CONFIG, **{key.replace("_", "-"): value for key, value in config.items()}}
    cluster.objects[CONFIG_MAP_PATH] = {"data": {key: value for key, value in data.items() if value is not None}}
    image = image if image is not None else f"quay.io/cilium/cilium:v{version}@sha256:{'0' * 64}"
    containers = [{"name": "cilium-agent", "image": image}]
    cluster.objects[DAEMON_SET_PATH] = {"spec": {"template": {"spec": {"containers": containers}}}}
    return cluster


def add_helm_release(cluster: FakeApiServer, chart_version: str) -> None:
    release = {
        "manifest": "",
        "info": {"status": "deployed"},
        "chart": {"metadata": {"name": "cilium", "version": chart_version}},
    }
    cluster.objects[SECRETS_PATH] = {"items": [release_storage.revision_secret("cilium", "kube-system", 3, release)]}


def check_cilium(cluster: FakeApiServer, *, adopt: bool = False, **desired: Any) -> list[Finding]:
    target = CiliumTarget(**{"id": 1, "version": "1.17.4", "max_connected_clusters": 255, **desired})
    return run_checks_against(
        cluster, cilium=target, adopt=adopt, linkerd=None, linkerd_tag=None, needs_load_balancer=False, namespaces=()
    )


def only_cilium_finding(cluster: FakeApiServer, **desired: Any) -> Finding:
    [finding] = check_cilium(cluster, **desired)
    return finding


def test_first_installation_has_no_findings() -> None:
    cluster = healthy_server()

    assert check_cilium(cluster, id=7, max_connected_clusters=511) == []
    assert cluster.requests == [
        "GET /version",
        f"POST {REVIEWS}",
        f"GET {API_SERVICES_PATH}",
        f"GET {CONFIG_MAP_PATH}",
        f"GET {DAEMON_SET_PATH}",
        "GET /api/v1/namespaces/kube-system",
    ]


def test_stack_without_cilium_reads_no_cilium_objects() -> None:
    cluster = cluster_running(cluster_id="9")

    assert run_checks_against(cluster) == []
    assert not [request for request in cluster.requests if "cilium" in request]


# Charts before 1.15 set no limit.
@pytest.mark.parametrize("limit", ["255", None])
def test_unchanged_cilium_has_no_findings(limit: str | None) -> None:
    assert check_cilium(cluster_running(max_connected_clusters=limit)) == []


@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize(("running", "desired"), [("1", 2), ("2", 1), ("12", 1), ("1", 255)])
def test_changed_id_is_error(running: str, desired: int, adopt: bool) -> None:
    finding = only_cilium_finding(cluster_running(cluster_id=running), id=desired, adopt=adopt)

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        f"clusters.west.cilium.id: {desired}: Cilium runs there with id {running}, which is part of the identity of "
        "every pod: after a change, peers and policies would no longer recognize the running pods; "
        f"set id {running}; for another one, remove the cluster from `clusters`, run `pulumi up`, add it with the new "
        f"id, and restart all its workloads ({MESH_GUIDE})"
    )


@pytest.mark.parametrize("config", [{"cluster_id": "0", "cluster_name": "default"}, {"cluster_id": None}])
def test_cilium_that_joins_its_first_mesh_is_warning(config: dict[str, Any]) -> None:
    finding = only_cilium_finding(cluster_running(**config), adopt=True)

    assert finding.severity is Severity.WARNING
    assert finding.path == "clusters.west.cilium.id"
    assert finding.remedy == (f"restart all workloads right after `pulumi up` (kubectl rollout restart; {MESH_GUIDE})")


def test_changed_name_is_error() -> None:
    finding = only_cilium_finding(cluster_running(cluster_name="cluster1"))

    assert (finding.severity, finding.path, finding.value) == (Severity.ERROR, "clusters.west", "west")
    assert "with the name cluster1" in finding.rule
    assert finding.remedy.startswith("name the cluster cluster1 in `clusters`")


@pytest.mark.parametrize(("running", "desired"), [("255", 511), (None, 511), ("511", 255)])
def test_changed_cluster_limit_is_error(running: str | None, desired: int) -> None:
    finding = only_cilium_finding(cluster_running(max_connected_clusters=running), max_connected_clusters=desired)

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        f"cilium.maxConnectedClusters: {desired}: clusters.west runs Cilium with {running or 255}, and Cilium sets "
        f"this limit only at its installation; set {running or 255}, or destroy the stack and build a new mesh "
        f"({MESH_GUIDE})"
    )


def test_all_changes_are_reported_at_once() -> None:
    cluster = cluster_running("1.14.1", cluster_name="north")

    findings = check_cilium(cluster, id=3, max_connected_clusters=511, version="1.19.0")

    assert [finding.path for finding in findings] == [
        "clusters.west.cilium.id",
        "clusters.west",
        "cilium.maxConnectedClusters",
        "cilium.version",
    ]


@pytest.mark.parametrize(
    ("running", "desired", "skipped"),
    [
        ("1.14.1", "1.16.0", "1.15"),
        ("1.14.19", "1.19.0", "1.15, 1.16, 1.17, 1.18"),
        ("1.16.19", "v1.19.0-rc.1", "1.17, 1.18"),
    ],
)
def test_skipped_minor_versions_are_error(running: str, desired: str, skipped: str) -> None:
    finding = only_cilium_finding(cluster_running(running), version=desired)

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        f"cilium.version: {desired}: clusters.west runs v{running}, and Cilium supports upgrades by one minor version "
        f"at a time; upgrade to the latest patch release of {skipped} first, each by its own `pulumi up` "
        f"({UPGRADE_GUIDE})"
    )


@pytest.mark.parametrize(
    ("running", "desired", "severity"),
    [
        ("1.17.4", "1.17.3", Severity.WARNING),
        ("1.18.0", "1.17.13", Severity.WARNING),
        ("1.19.0", "1.19.0-rc.1", Severity.WARNING),
        ("1.19.0", "1.17.13", Severity.ERROR),
        ("2.0.0", "1.20.0", Severity.ERROR),
    ],
)
def test_older_version_is_reported(running: str, desired: str, severity: Severity) -> None:
    finding = only_cilium_finding(cluster_running(running), version=desired)

    assert (finding.severity, finding.path, finding.value) == (severity, "cilium.version", desired)
    assert f"clusters.west runs v{running}, which is newer" in finding.rule
    assert finding.remedy.startswith(f"choose v{running} or a newer version")
    assert UPGRADE_GUIDE in finding.remedy


@pytest.mark.parametrize(
    ("running", "desired"),
    [("1.14.1", "1.14.1"), ("1.14.1", "v1.14.1"), ("1.14.1", "1.15.19"), ("1.17.0", "1.17.13"), ("1.9.9", "1.10.0")],
)
def test_supported_upgrade_has_no_findings(running: str, desired: str) -> None:
    assert check_cilium(cluster_running(running), version=desired) == []


def test_new_major_version_is_error_without_skipped_versions() -> None:
    finding = only_cilium_finding(cluster_running("1.20.0"), version="2.1.0")

    assert finding.severity is Severity.ERROR
    assert finding.remedy.startswith("upgrade through each minor version in between")


@pytest.mark.parametrize(
    "image", ["registry.example.com:5000/cilium/cilium:ours", f"mirror/cilium@sha256:{'0' * 64}", ""]
)
def test_chart_version_replaces_image_without_version(image: str) -> None:
    cluster = cluster_running(image=image)
    add_helm_release(cluster, "1.14.1")

    assert only_cilium_finding(cluster, version="1.16.0").rule.startswith("clusters.west runs 1.14.1,")
    assert check_cilium(cluster, version="1.15.0") == []


def test_registry_with_port_does_not_hide_version() -> None:
    cluster = cluster_running(image="registry.example.com:5000/cilium/cilium:v1.14.1")

    assert only_cilium_finding(cluster, version="1.16.0").severity is Severity.ERROR


def test_own_image_tag_is_not_compared_with_chart() -> None:
    cluster = cluster_running("1.17.9")
    add_helm_release(cluster, "1.17.4")

    assert check_cilium(cluster, version="1.17.4", has_own_image_tag=True) == []
    assert only_cilium_finding(cluster, version="1.17.4").severity is Severity.WARNING


@pytest.mark.parametrize("has_secrets", [False, True])
def test_unknown_version_is_named_in_warning(has_secrets: bool) -> None:
    cluster = cluster_running(image="mirror/cilium:ours")
    if has_secrets:
        add_helm_release(cluster, "next")

    finding = only_cilium_finding(cluster)

    assert finding.severity is Severity.WARNING
    assert "the version of the running Cilium (DaemonSet cilium in kube-system)" in finding.rule


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        (CONFIG_MAP_PATH, "id, name and cluster limit of the running Cilium (ConfigMap cilium-config in kube-system)"),
        (DAEMON_SET_PATH, "the version of the running Cilium (DaemonSet cilium in kube-system)"),
    ],
)
def test_forbidden_object_is_named_without_hiding_findings(path: str, subject: str) -> None:
    cluster = cluster_running("1.14.1", cluster_id="9")
    cluster.statuses[path] = 403

    other, unreadable = check_cilium(cluster, version="1.19.0")

    assert other.severity is Severity.ERROR
    assert unreadable.severity is Severity.WARNING
    assert unreadable.rule == f"could not be read: {subject} (not allowed)"


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.14.1", (1, 14, 1)),
        ("1.19.0", (1, 19, 0)),
        ("v1.17.3-cee.1", (1, 17, 3)),
        ("1.17", None),
        ("latest", None),
        ("", None),
        ("1.17.3.4", None),
    ],
)
def test_version_is_parsed_from_tag(version: str, expected: tuple[int, int, int] | None) -> None:
    parsed = parse_version(version)

    assert (parsed and parsed[:3]) == expected


def test_prereleases_precede_their_release() -> None:
    versions = ["1.19.0-pre.1", "1.19.0-rc.0", "1.19.0-rc.1", "1.19.0", "1.19.1"]
    keys = [parse_version(version) for version in versions]

    assert keys == sorted(keys, key=lambda key: key or ())
    assert len(set(keys)) == len(keys)
