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
from tests.helpers.certificate_authority import DAY, LocalAuthority
from tests.helpers.etcd_peer import Identity, serving
from tests.helpers.lab_stack import Deployment, brought_up, comes_true, everything
from tests.helpers.lab_stacks import shipped

CLUSTERS = ("bastion02", "bastion03", "bastion04", "bastion05")

pytestmark = pytest.mark.lab(*CLUSTERS, minutes=2.5)

NAMESPACE = "kube-system"
KEY = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY")
TWO = shipped("clustermesh")


def four() -> dict[str, Any]:
    """Two more, with numbers in no order, each at a load balancer, and the current release everywhere."""
    config = copy.deepcopy(TWO)
    config["cilium"]["version"] = "1.19.0"
    more = {
        "far": {"context": "bastion05", "cilium": {"id": 200, "service": "LoadBalancer"}},
        "cluster10": {"context": "bastion04", "cilium": {"id": 42, "service": "LoadBalancer"}},
    }
    # In another order than that of names or numbers.
    config["clusters"] = {"far": more["far"], **config["clusters"], "cluster10": more["cluster10"]}
    return config


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The shipped stack, which is up, beside two clusters that aren't in it yet."""
    with brought_up(lab, tmp_path_factory.mktemp("clustermesh"), "clustermesh", TWO) as deployment:
        for context in CLUSTERS:
            deployment.before.setdefault(context, everything(deployment, context))
        yield deployment


def secret(mesh: Deployment, cluster: str, name: str) -> dict[str, str]:
    found = mesh.one(mesh.contexts[cluster], "secret", name, NAMESPACE)["data"]
    return {key: base64.b64decode(value).decode() for key, value in found.items()}


def told(mesh: Deployment, source: str, target: str) -> dict[str, str]:
    """The file by which a cluster's Cilium finds another one."""
    try:
        found = secret(mesh, source, "cilium-kvstoremesh")
    except Exception:
        found = secret(mesh, source, "cilium-clustermesh")
    lines = [line for line in found[target].splitlines() if line.strip()]
    return {"endpoint": lines[1].removeprefix("- "), **dict(line.split(": ", 1) for line in lines[2:])}


def assert_all_let_one_another_in(mesh: Deployment) -> None:
    with mesh.engine() as engine:
        places = engine.outputs()["clustermesh"]
    names = [cluster.name for cluster in mesh.stack.clusters]
    assert set(places) == set(names)
    now = datetime.now(UTC)
    stranger = LocalAuthority(name="remote-somebody", begin=now - DAY, end=now + DAY)
    for target in names:
        pair = secret(mesh, target, "clustermesh-apiserver-server-cert")
        server = Identity(certificate=pair["tls.crt"], key=pair["tls.key"], authority=pair["ca.crt"])
        other = Identity(certificate=stranger.pem, key=stranger.private, authority=pair["ca.crt"])
        with serving(server) as etcd:
            assert etcd.refusal(other, target) is not None, "of another authority"
            for source in names:
                if source == target:
                    continue
                file = told(mesh, source, target)
                host, _, port = file["endpoint"].removeprefix("https://").rpartition(":")
                assert int(port) == places[target]["port"]
                # The files of these names are those of this Secret in every agent.
                assert file["cert-file"].endswith("/common-etcd-client.crt")
                own = secret(mesh, source, "clustermesh-apiserver-remote-cert")
                client = Identity(certificate=own["tls.crt"], key=own["tls.key"], authority=own["ca.crt"])
                where, _, domain = host.partition(".")
                assert etcd.refusal(client, where, domain=domain) is None, f"{source} in {target}"
                assert_address(mesh, source, host, places[target]["addresses"])


def assert_address(mesh: Deployment, source: str, host: str, addresses: list[str]) -> None:
    """A name of the mesh's own stands for the target's addresses; any other is one of them."""
    if not host.endswith(".mesh.cilium.io"):
        assert host in addresses
        return
    agents = mesh.one(mesh.contexts[source], "daemonset", "cilium", NAMESPACE)["spec"]["template"]["spec"]
    aliases = agents.get("hostAliases") or []
    if not aliases:
        server = mesh.one(mesh.contexts[source], "deployment", "clustermesh-apiserver", NAMESPACE)
        aliases = server["spec"]["template"]["spec"]["hostAliases"]
    assert [alias["ip"] for alias in aliases if host in alias["hostnames"]] == addresses


def agents(mesh: Deployment, *contexts: str) -> dict[str, set[str]]:
    """The names of Cilium's pods: another one for each that was made anew."""
    return {
        context: {pod["metadata"]["name"] for pod in mesh.objects(context, "pods", "-n", NAMESPACE)}
        for context in contexts
    }


def test_every_check_of_the_table_passes(mesh: Deployment) -> None:
    rows = mesh.rows()

    assert [row for row in rows if not row.passed] == []
    assert [row.check for row in rows] == ["cilium"] * 2 + ["clustermesh"] * 2


def test_each_cluster_is_let_in_by_the_other_and_nobody_else_is(mesh: Deployment) -> None:
    assert_all_let_one_another_in(mesh)


def test_the_set_up_is_what_its_guide_shows(mesh: Deployment) -> None:
    for context, number, name in (("bastion02", "1", "cluster1"), ("bastion03", "2", "cluster2")):
        config = mesh.one(context, "configmap", "cilium-config", NAMESPACE)["data"]
        assert (config["cluster-id"], config["cluster-name"]) == (number, name)
        server = mesh.one(context, "service", "clustermesh-apiserver", NAMESPACE)["spec"]
        assert (server["type"], server["ports"][0]["nodePort"]) == ("NodePort", 32379)
        service = mesh.one(context, "service", "userlist-svc", "song")
        annotations = service["metadata"]["annotations"]
        assert {key: annotations[f"service.cilium.io/{key}"] for key in ("global", "shared", "affinity")} == {
            "global": "true",
            "shared": "true",
            "affinity": "none",
        }
        assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [(80, 8181)]
        assert mesh.exists(context, "deployment", "curltest", "song")
        assert not mesh.exists(context, "namespace", "linkerd"), "nobody asked for it"


def test_a_second_up_changes_nothing_and_restarts_nothing(mesh: Deployment) -> None:
    before = agents(mesh, "bastion02", "bastion03")

    mesh.up("--expect-no-changes", "--refresh")

    assert agents(mesh, "bastion02", "bastion03") == before


def test_no_key_is_in_a_value_an_output_a_log_or_the_state(mesh: Deployment) -> None:
    with mesh.engine() as engine:
        assert not KEY.search(json.dumps(engine.outputs()))
    assert not KEY.search(mesh.output.read_text())
    assert not KEY.search(mesh.state)
    for context in mesh.contexts.values():
        records = mesh.objects(context, "secrets", "--all-namespaces", "-l", "owner=helm")
        assert records
        for record in records:
            text = gzip.decompress(base64.b64decode(base64.b64decode(record["data"]["release"]))).decode()
            assert not KEY.search(text)
            assert "kubernetes.io/tls" not in json.loads(text)["manifest"], "the chart made a pair of its own"
        authority = mesh.one(context, "secret", "cilium-ca", NAMESPACE)["data"]
        assert authority.keys() == {"ca.crt"}, "its key stays where it was made"


def test_a_third_cluster_changes_each_of_the_others_by_one_update_in_place(mesh: Deployment) -> None:
    config = copy.deepcopy(TWO)
    config["clusters"] = {"far": {"context": "bastion04", "cilium": {"id": 7}}, **config["clusters"]}
    mesh.configure(config)

    changes = mesh.changes()

    others = {name: op for name, op in changes.items() if " far" not in name}
    assert others == {"Release cluster1-cilium": "update", "Release cluster2-cilium": "update"}
    assert {op for name, op in changes.items() if name not in others} == {"create"}


def test_four_clusters_at_node_ports_and_load_balancers_all_let_one_another_in(mesh: Deployment) -> None:
    mesh.configure(four())
    mesh.up()

    assert [row for row in mesh.rows() if not row.passed] == []
    assert_all_let_one_another_in(mesh)
    assert len(list(permutations(mesh.contexts, 2))) == 12
    mesh.up("--expect-no-changes", "--refresh")


def test_those_that_are_declared_down_change_nothing_for_the_others(lab: StateDir, mesh: Deployment) -> None:
    config = four()
    for name in ("cluster2", "cluster10"):
        config["clusters"][name]["reachable"] = False
    lifecycle.stop(lab, ["bastion03", "bastion04"], delete=False)
    mesh.configure(config)
    try:
        assert mesh.changes() == {}
    finally:
        lifecycle.start(lab, ["bastion03", "bastion04"], load_balancers={}, chart_folders=[], timeout=120, say=print)


def test_one_taken_from_the_middle_leaves_the_others_their_numbers(mesh: Deployment) -> None:
    config = four()
    del config["clusters"]["cluster2"]
    mesh.configure(config)

    others = {name: op for name, op in mesh.changes().items() if "cluster2" not in name}
    assert others == {f"Release {name}-cilium": "update" for name in ("far", "cluster1", "cluster10")}
    mesh.up()

    assert [row for row in mesh.rows() if not row.passed] == []
    numbers = {
        name: mesh.one(context, "configmap", "cilium-config", NAMESPACE)["data"]["cluster-id"]
        for name, context in mesh.contexts.items()
    }
    assert numbers == {"far": "200", "cluster1": "1", "cluster10": "42"}
    assert "cluster2" not in secret(mesh, "cluster1", "cilium-clustermesh")


def test_destroy_leaves_each_api_server_exactly_as_it_was(mesh: Deployment) -> None:
    mesh.destroy()

    for context in CLUSTERS:
        comes_true(partial(mesh.is_as_before, context))
        assert everything(mesh, context) == mesh.before[context]
