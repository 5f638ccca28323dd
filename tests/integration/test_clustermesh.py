"""A ClusterMesh on real API servers: what each cluster is told of the others lets it in there, and nobody else."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from hack.lab import lifecycle
from hack.lab.state_dir import StateDir
from tests.helpers.certificates import DAY, IssuedCertificate
from tests.helpers.etcd_peer import TlsIdentity, run_etcd
from tests.helpers.lab_stack import LabStack, deploy, list_all_objects, wait_until
from tests.helpers.stack_configs import shipped_config

CLUSTERS = ("bastion02", "bastion03", "bastion04", "bastion05")

pytestmark = pytest.mark.lab(*CLUSTERS, minutes=2.5)

NAMESPACE = "kube-system"
PRIVATE_KEY = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY")
TWO_CLUSTERS = shipped_config("clustermesh")


def four_clusters() -> dict[str, Any]:
    """Two more, with numbers in no order, each at a load balancer, and the current release everywhere."""
    config = copy.deepcopy(TWO_CLUSTERS)
    config["cilium"]["version"] = "1.19.0"
    more = {
        "far": {"context": "bastion05", "cilium": {"id": 200, "service": "LoadBalancer"}},
        "cluster10": {"context": "bastion04", "cilium": {"id": 42, "service": "LoadBalancer"}},
    }
    # In another order than that of names or numbers.
    config["clusters"] = {"far": more["far"], **config["clusters"], "cluster10": more["cluster10"]}
    return config


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """The shipped stack, which is up, beside two clusters that aren't in it yet."""
    with deploy(lab, tmp_path_factory.mktemp("clustermesh"), "clustermesh", TWO_CLUSTERS) as deployment:
        for context in CLUSTERS:
            deployment.objects_before.setdefault(context, list_all_objects(deployment, context))
        yield deployment


def read_secret(mesh: LabStack, cluster: str, name: str) -> dict[str, str]:
    found = mesh.get_object(mesh.contexts[cluster], "secret", name, NAMESPACE)["data"]
    return {key: base64.b64decode(value).decode() for key, value in found.items()}


def read_peer_config(mesh: LabStack, source: str, target: str) -> dict[str, str]:
    """The file by which a cluster's Cilium finds another one."""
    try:
        found = read_secret(mesh, source, "cilium-kvstoremesh")
    except Exception:
        found = read_secret(mesh, source, "cilium-clustermesh")
    lines = [line for line in found[target].splitlines() if line.strip()]
    return {"endpoint": lines[1].removeprefix("- "), **dict(line.split(": ", 1) for line in lines[2:])}


def assert_all_accept_each_other(mesh: LabStack) -> None:
    with mesh.engine() as engine:
        places = engine.outputs()["clustermesh"]
    names = [cluster.name for cluster in mesh.stack.clusters]
    assert set(places) == set(names)
    now = datetime.now(UTC)
    stranger = IssuedCertificate(name="remote-somebody", begin=now - DAY, end=now + DAY)
    for target in names:
        pair = read_secret(mesh, target, "clustermesh-apiserver-server-cert")
        server = TlsIdentity(certificate=pair["tls.crt"], key=pair["tls.key"], authority=pair["ca.crt"])
        other = TlsIdentity(certificate=stranger.pem, key=stranger.private_key, authority=pair["ca.crt"])
        with run_etcd(server) as etcd:
            assert etcd.refusal(other, target) is not None, "of another authority"
            for source in names:
                if source == target:
                    continue
                file = read_peer_config(mesh, source, target)
                host, _, port = file["endpoint"].removeprefix("https://").rpartition(":")
                assert int(port) == places[target]["port"]
                # The files of these names are those of this Secret in every agent.
                assert file["cert-file"].endswith("/common-etcd-client.crt")
                own = read_secret(mesh, source, "clustermesh-apiserver-remote-cert")
                client = TlsIdentity(certificate=own["tls.crt"], key=own["tls.key"], authority=own["ca.crt"])
                where, _, domain = host.partition(".")
                assert etcd.refusal(client, where, domain=domain) is None, f"{source} in {target}"
                assert_address(mesh, source, host, places[target]["addresses"])


def assert_address(mesh: LabStack, source: str, host: str, addresses: list[str]) -> None:
    """A name of the mesh's own stands for the target's addresses; any other is one of them."""
    if not host.endswith(".mesh.cilium.io"):
        assert host in addresses
        return
    agents = mesh.get_object(mesh.contexts[source], "daemonset", "cilium", NAMESPACE)["spec"]["template"]["spec"]
    aliases = agents.get("hostAliases") or []
    if not aliases:
        server = mesh.get_object(mesh.contexts[source], "deployment", "clustermesh-apiserver", NAMESPACE)
        aliases = server["spec"]["template"]["spec"]["hostAliases"]
    assert [alias["ip"] for alias in aliases if host in alias["hostnames"]] == addresses


def list_pod_names(mesh: LabStack, *contexts: str) -> dict[str, set[str]]:
    """The names of Cilium's pods: another one for each that was made anew."""
    return {
        context: {pod["metadata"]["name"] for pod in mesh.list_objects(context, "pods", "-n", NAMESPACE)}
        for context in contexts
    }


def test_all_checks_pass(mesh: LabStack) -> None:
    rows = mesh.run_checks()

    assert [row for row in rows if not row.passed] == []
    assert [row.check for row in rows] == ["cilium"] * 2 + ["clustermesh"] * 2


def test_each_cluster_accepts_only_its_peers(mesh: LabStack) -> None:
    assert_all_accept_each_other(mesh)


def test_setup_matches_its_guide(mesh: LabStack) -> None:
    for context, number, name in (("bastion02", "1", "cluster1"), ("bastion03", "2", "cluster2")):
        config = mesh.get_object(context, "configmap", "cilium-config", NAMESPACE)["data"]
        assert (config["cluster-id"], config["cluster-name"]) == (number, name)
        server = mesh.get_object(context, "service", "clustermesh-apiserver", NAMESPACE)["spec"]
        assert (server["type"], server["ports"][0]["nodePort"]) == ("NodePort", 32379)
        service = mesh.get_object(context, "service", "userlist-svc", "song")
        annotations = service["metadata"]["annotations"]
        assert {key: annotations[f"service.cilium.io/{key}"] for key in ("global", "shared", "affinity")} == {
            "global": "true",
            "shared": "true",
            "affinity": "none",
        }
        assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [(80, 8181)]
        assert mesh.has_object(context, "deployment", "curltest", "song")
        assert not mesh.has_object(context, "namespace", "linkerd"), "nobody asked for it"


def test_second_up_changes_and_restarts_nothing(mesh: LabStack) -> None:
    before = list_pod_names(mesh, "bastion02", "bastion03")

    mesh.up("--expect-no-changes", "--refresh")

    assert list_pod_names(mesh, "bastion02", "bastion03") == before


def test_keys_are_in_no_value_output_log_or_state(mesh: LabStack) -> None:
    with mesh.engine() as engine:
        assert not PRIVATE_KEY.search(json.dumps(engine.outputs()))
    assert not PRIVATE_KEY.search(mesh.output.read_text())
    assert not PRIVATE_KEY.search(mesh.state)
    for context in mesh.contexts.values():
        records = mesh.list_objects(context, "secrets", "--all-namespaces", "-l", "owner=helm")
        assert records
        for record in records:
            text = gzip.decompress(base64.b64decode(base64.b64decode(record["data"]["release"]))).decode()
            assert not PRIVATE_KEY.search(text)
            assert "kubernetes.io/tls" not in json.loads(text)["manifest"], "the chart made a pair of its own"
        authority = mesh.get_object(context, "secret", "cilium-ca", NAMESPACE)["data"]
        assert authority.keys() == {"ca.crt"}, "its key stays where it was made"


def test_third_cluster_updates_each_other_release_in_place(mesh: LabStack) -> None:
    config = copy.deepcopy(TWO_CLUSTERS)
    config["clusters"] = {"far": {"context": "bastion04", "cilium": {"id": 7}}, **config["clusters"]}
    mesh.configure(config)

    changes = mesh.preview_changes()

    others = {name: op for name, op in changes.items() if " far" not in name}
    assert others == {"Release cluster1-cilium": "update", "Release cluster2-cilium": "update"}
    assert {op for name, op in changes.items() if name not in others} == {"create"}


def test_clusters_at_node_ports_and_load_balancers_connect(mesh: LabStack) -> None:
    mesh.configure(four_clusters())
    mesh.up()

    assert [row for row in mesh.run_checks() if not row.passed] == []
    assert_all_accept_each_other(mesh)
    assert len(list(permutations(mesh.contexts, 2))) == 12
    mesh.up("--expect-no-changes", "--refresh")


def test_unreachable_clusters_change_nothing_for_the_others(lab: StateDir, mesh: LabStack) -> None:
    config = four_clusters()
    for name in ("cluster2", "cluster10"):
        config["clusters"][name]["reachable"] = False
    lifecycle.stop(lab, ["bastion03", "bastion04"], delete=False)
    mesh.configure(config)
    try:
        assert mesh.preview_changes() == {}
    finally:
        lifecycle.start(lab, ["bastion03", "bastion04"], load_balancers={}, chart_folders=[], timeout=120, say=print)


def test_removing_a_cluster_keeps_ids_of_the_others(mesh: LabStack) -> None:
    config = four_clusters()
    del config["clusters"]["cluster2"]
    mesh.configure(config)

    others = {name: op for name, op in mesh.preview_changes().items() if "cluster2" not in name}
    assert others == {f"Release {name}-cilium": "update" for name in ("far", "cluster1", "cluster10")}
    mesh.up()

    assert [row for row in mesh.run_checks() if not row.passed] == []
    numbers = {
        name: mesh.get_object(context, "configmap", "cilium-config", NAMESPACE)["data"]["cluster-id"]
        for name, context in mesh.contexts.items()
    }
    assert numbers == {"far": "200", "cluster1": "1", "cluster10": "42"}
    assert "cluster2" not in read_secret(mesh, "cluster1", "cilium-clustermesh")


def test_destroy_restores_each_api_server(mesh: LabStack) -> None:
    mesh.destroy()

    for context in CLUSTERS:
        wait_until(partial(mesh.is_restored, context))
        assert list_all_objects(mesh, context) == mesh.objects_before[context]
