"""A ClusterMesh on real API servers: each cluster's configuration grants access to its peers, and only to them."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from hack.lab import lifecycle
from hack.lab.state_dir import StateDir
from tests.helpers.certificates import DAY, IssuedCertificate
from tests.helpers.documented_commands import commands_of_test
from tests.helpers.etcd_peer import TlsIdentity, run_etcd
from tests.helpers.page_runner import PageRunner, copy_project, run_in_project, stop_lab
from tests.helpers.stack_configs import shipped_config
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, wait_until

CLUSTERS = ("bastion02", "bastion03", "bastion04", "bastion05")

pytestmark = pytest.mark.lab(*CLUSTERS, minutes=4)

NAMESPACE = "kube-system"
PRIVATE_KEY = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY")
TWO_CLUSTERS = shipped_config("clustermesh")


def four_clusters() -> dict[str, Any]:
    """Return four clusters with unordered IDs, two of them with load balancers, on the current release."""
    config = copy.deepcopy(TWO_CLUSTERS)
    config["cilium"]["version"] = "1.19.0"
    additional = {
        "far": {"context": "bastion05", "cilium": {"id": 200, "service": "LoadBalancer"}},
        "cluster10": {"context": "bastion04", "cilium": {"id": 42, "service": "LoadBalancer"}},
    }
    # Sorted neither by name nor by ID.
    config["clusters"] = {"far": additional["far"], **config["clusters"], "cluster10": additional["cluster10"]}
    return config


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy the shipped stack, and record the objects of two further clusters."""
    with deploy(lab, tmp_path_factory.mktemp("clustermesh"), "clustermesh", TWO_CLUSTERS) as lab_stack:
        for context in CLUSTERS:
            lab_stack.objects_before.setdefault(context, list_all_objects(lab_stack, context))
        yield lab_stack


@pytest.fixture(scope="module")
def page_runner(lab: StateDir, mesh: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> PageRunner:
    """Return a runner for the documented commands, in a project with the shipped stack file."""
    return run_in_project(copy_project(tmp_path_factory.mktemp("project")), lab, mesh)


def read_secret(mesh: StackUnderTest, cluster: str, name: str) -> dict[str, str]:
    secret_data = mesh.get_object(mesh.contexts[cluster], "secret", name, NAMESPACE)["data"]
    return {key: base64.b64decode(value).decode() for key, value in secret_data.items()}


def read_peer_config(mesh: StackUnderTest, source: str, target: str) -> dict[str, str]:
    """Return the peer configuration with which a cluster's Cilium connects to another one."""
    try:
        secret = read_secret(mesh, source, "cilium-kvstoremesh")
    except Exception:
        secret = read_secret(mesh, source, "cilium-clustermesh")
    lines = [line for line in secret[target].splitlines() if line.strip()]
    return {"endpoint": lines[1].removeprefix("- "), **dict(line.split(": ", 1) for line in lines[2:])}


def assert_all_accept_each_other(mesh: StackUnderTest) -> None:
    with mesh.engine() as engine:
        endpoints = engine.outputs()["clustermesh"]
    names = [cluster.name for cluster in mesh.stack.clusters]
    assert set(endpoints) == set(names)
    now = datetime.now(UTC)
    foreign_certificate = IssuedCertificate(name="remote-somebody", begin=now - DAY, end=now + DAY)
    for target in names:
        server_secret = read_secret(mesh, target, "clustermesh-apiserver-server-cert")
        server = TlsIdentity(
            certificate=server_secret["tls.crt"], key=server_secret["tls.key"], authority=server_secret["ca.crt"]
        )
        foreign_client = TlsIdentity(
            certificate=foreign_certificate.pem, key=foreign_certificate.private_key, authority=server_secret["ca.crt"]
        )
        with run_etcd(server) as etcd:
            assert etcd.refusal(foreign_client, target) is not None, "a client of another CA is accepted"
            for source in names:
                if source == target:
                    continue
                peer_config = read_peer_config(mesh, source, target)
                host, _, port = peer_config["endpoint"].removeprefix("https://").rpartition(":")
                assert int(port) == endpoints[target]["port"]
                # Every agent mounts this Secret under these file names.
                assert peer_config["cert-file"].endswith("/common-etcd-client.crt")
                client_secret = read_secret(mesh, source, "clustermesh-apiserver-remote-cert")
                client = TlsIdentity(
                    certificate=client_secret["tls.crt"],
                    key=client_secret["tls.key"],
                    authority=client_secret["ca.crt"],
                )
                host_name, _, domain = host.partition(".")
                assert etcd.refusal(client, host_name, domain=domain) is None, f"{source} in {target}"
                assert_address(mesh, source, host, endpoints[target]["addresses"])


def assert_address(mesh: StackUnderTest, source: str, host: str, addresses: list[str]) -> None:
    """Require that a host resolves to the target's addresses, by host aliases or directly."""
    if not host.endswith(".mesh.cilium.io"):
        assert host in addresses
        return
    agent_pod = mesh.get_object(mesh.contexts[source], "daemonset", "cilium", NAMESPACE)["spec"]["template"]["spec"]
    aliases = agent_pod.get("hostAliases") or []
    if not aliases:
        api_server = mesh.get_object(mesh.contexts[source], "deployment", "clustermesh-apiserver", NAMESPACE)
        aliases = api_server["spec"]["template"]["spec"]["hostAliases"]
    assert [alias["ip"] for alias in aliases if host in alias["hostnames"]] == addresses


def list_pod_names(mesh: StackUnderTest, *contexts: str) -> dict[str, set[str]]:
    """Return the names of Cilium's pods, which change with each restart."""
    return {
        context: {pod["metadata"]["name"] for pod in mesh.list_objects(context, "pods", "-n", NAMESPACE)}
        for context in contexts
    }


def test_all_checks_pass(mesh: StackUnderTest) -> None:
    rows = mesh.run_checks()

    assert [row for row in rows if not row.passed] == []
    assert [row.check for row in rows] == ["cilium"] * 2 + ["clustermesh"] * 2


def test_each_cluster_accepts_only_its_peers(mesh: StackUnderTest) -> None:
    assert_all_accept_each_other(mesh)


def test_setup_matches_its_guide(mesh: StackUnderTest) -> None:
    for context, number, name in (("bastion02", "1", "cluster1"), ("bastion03", "2", "cluster2")):
        config = mesh.get_object(context, "configmap", "cilium-config", NAMESPACE)["data"]
        assert (config["cluster-id"], config["cluster-name"]) == (number, name)
        api_server_service = mesh.get_object(context, "service", "clustermesh-apiserver", NAMESPACE)["spec"]
        assert (api_server_service["type"], api_server_service["ports"][0]["nodePort"]) == ("NodePort", 32379)
        service = mesh.get_object(context, "service", "userlist-svc", "song")
        annotations = service["metadata"]["annotations"]
        assert {key: annotations[f"service.cilium.io/{key}"] for key in ("global", "shared", "affinity")} == {
            "global": "true",
            "shared": "true",
            "affinity": "none",
        }
        assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [(80, 8181)]
        assert mesh.has_object(context, "deployment", "curltest", "song")
        assert mesh.get_object(context, "deployment", "cilium-operator", NAMESPACE)["spec"]["replicas"] == 1
        (container,) = mesh.get_object(context, "deployment", "userlist", "song")["spec"]["template"]["spec"][
            "containers"
        ]
        assert container["resources"]["limits"] == {"memory": "512Mi"}
        assert not mesh.has_object(context, "namespace", "linkerd"), "Linkerd is not configured"


def test_second_up_changes_and_restarts_nothing(mesh: StackUnderTest) -> None:
    before = list_pod_names(mesh, "bastion02", "bastion03")

    mesh.up("--expect-no-changes", "--refresh")

    assert list_pod_names(mesh, "bastion02", "bastion03") == before


def test_documented_commands_succeed(page_runner: PageRunner) -> None:
    page_runner.run_all(command for command in commands_of_test("clustermesh") if not command.is_teardown)


def test_keys_are_in_no_value_output_log_or_state(mesh: StackUnderTest) -> None:
    with mesh.engine() as engine:
        assert not PRIVATE_KEY.search(json.dumps(engine.outputs()))
    assert not PRIVATE_KEY.search(mesh.output.read_text())
    assert not PRIVATE_KEY.search(mesh.state)
    for context in mesh.contexts.values():
        release_secrets = mesh.list_objects(context, "secrets", "--all-namespaces", "-l", "owner=helm")
        assert release_secrets
        for release_secret in release_secrets:
            text = gzip.decompress(base64.b64decode(base64.b64decode(release_secret["data"]["release"]))).decode()
            assert not PRIVATE_KEY.search(text)
            assert "kubernetes.io/tls" not in json.loads(text)["manifest"], "the chart created its own certificate"
        authority = mesh.get_object(context, "secret", "cilium-ca", NAMESPACE)["data"]
        assert authority.keys() == {"ca.crt"}, "the key of the CA is only in the stack state"


def list_release_resources(clusters: Sequence[str]) -> list[str]:
    """Return the releases of clusters, and the resources that wait for them."""
    return [label for name in clusters for label in (f"Release {name}-cilium", f"ReleaseDrift {name}-cilium-drift")]


def test_third_cluster_updates_each_other_release_in_place(mesh: StackUnderTest) -> None:
    config = copy.deepcopy(TWO_CLUSTERS)
    config["clusters"] = {"far": {"context": "bastion04", "cilium": {"id": 7}}, **config["clusters"]}
    mesh.configure(config)

    changes = mesh.preview_changes()

    other_changes = {name: op for name, op in changes.items() if " far" not in name}
    updated = ("cluster1", "cluster2")
    others = (*list_release_resources(updated), "ClusterIdentities cluster-identities")
    assert other_changes == dict.fromkeys(others, "update")
    assert {op for name, op in changes.items() if name not in other_changes} == {"create"}


def test_skipped_versions_and_changed_identities_are_refused(mesh: StackUnderTest) -> None:
    config = copy.deepcopy(TWO_CLUSTERS)
    config["cilium"] |= {"version": "1.19.0", "maxConnectedClusters": 511}
    config["clusters"]["cluster1"]["cilium"]["id"], config["clusters"]["cluster2"]["cilium"]["id"] = 2, 1
    mesh.configure(config)

    output = mesh.up_expecting_failure()

    for expected in (
        "clusters.cluster1.cilium.id: 2: Cilium runs there with id 1",
        "clusters.cluster2.cilium.id: 1: Cilium runs there with id 2",
        "cilium.maxConnectedClusters: 511: clusters.cluster1 runs Cilium with 255",
        "cilium.version: 1.19.0: clusters.cluster1 runs v1.14.1",
        "upgrade to the latest patch release of 1.15, 1.16, 1.17, 1.18 first",
    ):
        assert expected in output


@pytest.mark.parametrize("version", ["1.15.19", "1.16.19", "1.17.13", "1.18.7"])
def test_cilium_is_upgraded_by_one_minor_version(mesh: StackUnderTest, version: str) -> None:
    config = copy.deepcopy(TWO_CLUSTERS)
    config["cilium"]["version"] = version
    # Cilium before 1.19 needs unique node ports without kube-proxy.
    config["cilium"]["values"] = {"kubeProxyReplacement": "true"}
    mesh.configure(config)

    mesh.up()

    ports = [
        mesh.get_object(context, "service", "clustermesh-apiserver", NAMESPACE)["spec"]["ports"][0]["nodePort"]
        for context in ("bastion02", "bastion03")
    ]
    assert ports == [32380, 32381]
    assert [row for row in mesh.run_checks() if not row.passed] == []


def test_clusters_at_node_ports_and_load_balancers_connect(mesh: StackUnderTest) -> None:
    mesh.configure(four_clusters())
    mesh.up()

    assert [row for row in mesh.run_checks() if not row.passed] == []
    assert_all_accept_each_other(mesh)
    assert len(list(permutations(mesh.contexts, 2))) == 12
    mesh.up("--expect-no-changes", "--refresh")


def test_unreachable_clusters_change_nothing_for_the_others(lab: StateDir, mesh: StackUnderTest) -> None:
    config = four_clusters()
    for name in ("cluster2", "cluster10"):
        config["clusters"][name]["reachable"] = False
    lifecycle.stop(lab, ["bastion03", "bastion04"], delete=False)
    mesh.configure(config)
    try:
        assert mesh.preview_changes() == {}
    finally:
        lifecycle.start(lab, ["bastion03", "bastion04"], load_balancers={}, chart_folders=[], timeout=120, report=print)


def test_removing_a_cluster_keeps_ids_of_the_others(mesh: StackUnderTest) -> None:
    config = four_clusters()
    del config["clusters"]["cluster2"]
    mesh.configure(config)

    other_changes = {name: op for name, op in mesh.preview_changes().items() if "cluster2" not in name}
    others = list_release_resources(("far", "cluster1", "cluster10"))
    assert other_changes == dict.fromkeys([*others, "ClusterIdentities cluster-identities"], "update")
    mesh.up()

    assert [row for row in mesh.run_checks() if not row.passed] == []
    cluster_ids = {
        name: mesh.get_object(context, "configmap", "cilium-config", NAMESPACE)["data"]["cluster-id"]
        for name, context in mesh.contexts.items()
    }
    assert cluster_ids == {"far": "200", "cluster1": "1", "cluster10": "42"}
    assert "cluster2" not in read_secret(mesh, "cluster1", "cilium-clustermesh")


def test_documented_destroy_restores_each_api_server(
    lab: StateDir, mesh: StackUnderTest, page_runner: PageRunner
) -> None:
    commands = {command.text.split()[1]: command for command in commands_of_test("clustermesh") if command.is_teardown}

    page_runner.run(commands.pop("destroy"))

    for context in CLUSTERS:
        wait_until(partial(mesh.is_restored, context))
        assert list_all_objects(mesh, context) == mesh.objects_before[context]
    # Without another stack, this command stops the lab.
    stop_lab(page_runner, commands.pop("down"), lab)
    assert commands == {}
