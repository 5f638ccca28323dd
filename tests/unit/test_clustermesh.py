"""A ClusterMesh on a recording engine: what each cluster gets, and what it is told of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers.lab_stacks import shipped
from tests.helpers.mock_engine import SECRET, Recorder, Run, plain

NAMES = ("cluster1", "cluster2")
PAIRS = {
    "clustermesh-apiserver-server-cert",
    "clustermesh-apiserver-admin-cert",
    "clustermesh-apiserver-remote-cert",
    "clustermesh-apiserver-local-cert",
    "hubble-server-certs",
}


def mesh(cilium: Any = True, **clusters: dict[str, Any] | int) -> dict[str, Any]:
    """A configuration of these clusters, by their numbers or what is said of them."""
    said = {name: {"cilium": {"id": each}} if isinstance(each, int) else each for name, each in clusters.items()}
    return {"clusters": said, "cilium": cilium}


# Without Hubble, which only needs more certificates.
TWO, THREE = mesh({"hubble": False}, west=1, east=2), mesh({"hubble": False}, north=9, west=1, east=2)
# One of each way to be reached, and a sample.
ALL = {
    **mesh(
        {"hubble": {"relay": True}},
        west=1,
        far={"cilium": {"id": 2, "addresses": ["mesh.example.com"]}},
        east={"cilium": {"id": 3, "service": "LoadBalancer", "annotations": {"example.com/internal": "true"}}},
        north={"cilium": {"id": 4, "service": "LoadBalancer", "addresses": ["192.0.2.9"], "port": 443}},
    ),
    "workloads": [
        {"userlist": {"clusters": ["west", "east"], "shared": ["west"], "curltest": ["north"], "affinity": "local"}}
    ],
}


def values(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """The values of Cilium's releases, by cluster."""
    return {each["values"]["cluster"]["name"]: each["values"] for each in ciliums(recorder).values()}


def ciliums(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """What the program asks for of Cilium's releases, and not what is kept of one."""
    return {name: plain(each) for name, each in recorder.of("Release").items() if each.get("chart") == "cilium"}


def peers(recorder: Recorder) -> dict[str, list[dict[str, Any]]]:
    return {name: each["clustermesh"]["config"]["clusters"] for name, each in values(recorder).items()}


def secrets(recorder: Recorder, cluster: str) -> dict[str, dict[str, Any]]:
    """The Secrets of a cluster's kube-system, by their names there."""
    found = [plain(each) for name, each in recorder.of("core/v1:Secret").items() if name.startswith(f"{cluster}-")]
    return {each["metadata"]["name"]: each for each in found if each["metadata"]["namespace"] == "kube-system"}


def test_the_shipped_stack_is_one_release_per_cluster_and_nothing_of_linkerds(run: Run) -> None:
    found = run(shipped("clustermesh"))

    assert {
        name: (each["name"], each["chart"], each["version"], each["namespace"], each["createNamespace"])
        for name, each in found.of("Release").items()
    } == {f"{name}-cilium": ("cilium", "cilium", "1.14.1", "kube-system", False) for name in NAMES}
    assert {each["metadata"]["name"] for each in found.of("core/v1:Namespace").values()} == {"song"}
    for each in found.monitor.asked:
        assert "inkerd" not in each.type + each.name, each.name
    assert "linkerd" not in json.dumps([each.inputs for each in found.resources])
    assert {"clusters", "links", "certificateExpiry", "topology", "clustermesh"} <= found.outputs.keys()
    assert "linkerd" not in json.dumps(found.outputs).lower()


def test_the_shipped_stack_tells_each_cluster_of_the_other_one(run: Run) -> None:
    found = values(run(shipped("clustermesh")))

    assert {name: each["cluster"] for name, each in found.items()} == {
        name: {"id": number, "name": name} for number, name in enumerate(NAMES, 1)
    }
    assert {name: each["clustermesh"]["config"] for name, each in found.items()} == {
        f"cluster{here}": {
            "enabled": True,
            "clusters": [{"name": f"cluster{there}", "port": 32379, "ips": [f"192.0.2.{there}", f"2001:db8::{there}"]}],
        }
        for here, there in ((1, 2), (2, 1))
    }


@pytest.mark.parametrize("cluster", NAMES)
def test_what_ciliums_pods_mount_is_there_before_them_and_no_key_of_the_authority(run: Run, cluster: str) -> None:
    found = run(shipped("clustermesh"))

    own = secrets(found, cluster)
    assert own.keys() == {"cilium-ca", *PAIRS}
    assert own["cilium-ca"]["stringData"].keys() == {"ca.crt"}
    for name in PAIRS:
        assert own[name]["type"] == "kubernetes.io/tls"
        assert own[name]["stringData"].keys() == {"tls.crt", "tls.key", "ca.crt"}
        assert own[name]["stringData"]["ca.crt"] == "certificate of cilium-ca-certificate"
    before = found.before("Release", f"{cluster}-cilium")
    assert {f"Secret {cluster}-cilium-ca", *(f"Secret {cluster}-{name}-secret" for name in PAIRS)} <= before
    for name in PAIRS:
        kept = found.of("core/v1:Secret")[f"{cluster}-{name}-secret"]["stringData"]
        assert kept != plain(kept), "its key is marked as a secret"


def test_no_key_and_no_certificate_is_in_a_value_or_an_output(run: Run) -> None:
    found = run(ALL)

    text = json.dumps([values(found), found.outputs])
    assert SECRET not in text
    assert "certificate of" not in text
    assert "hubble-relay-client-certs" in secrets(found, "west")


def test_certificates_are_for_the_names_by_which_others_reach_a_cluster(run: Run) -> None:
    asked = {
        name.removesuffix("-request"): (each["subject"]["commonName"], each.get("dnsNames"), each.get("ipAddresses"))
        for name, each in run(ALL).of("CertRequest").items()
    }

    own = ["clustermesh-apiserver.cilium.io", "*.mesh.cilium.io", "clustermesh-apiserver.kube-system.svc", "localhost"]
    loopback = ["127.0.0.1", "::1"]
    server = "clustermesh-apiserver-server-cert"
    assert asked[f"west-{server}"] == asked[f"north-{server}"] == (own[0], own, loopback)
    assert asked[f"far-{server}"] == (own[0], [*own, "mesh.example.com"], loopback)
    at = "east-clustermesh-apiserver-peers.example.com"
    assert asked[f"east-{server}"] == (own[0], [*own, at], loopback)
    assert asked["west-clustermesh-apiserver-remote-cert"] == ("remote-west", None, None)
    assert asked["west-clustermesh-apiserver-admin-cert"] == ("admin-west", ["localhost"], None)


def test_each_cluster_costs_the_same_however_many_there_are_and_is_told_of_all_others_in_order(run: Run) -> None:
    numbers = (255, 3, 17, 1, 200, 42, 7, 99, 2, 128, 64, 5)
    there = {f"c{place}": number for place, number in enumerate(numbers)}
    twelve = run(mesh({"hubble": False}, **there))

    two, three = (len(run(config).resources) for config in (TWO, THREE))
    assert len(twelve.resources) == two + 10 * (three - two)
    assert three - two <= 30
    assert {name: each["cluster"]["id"] for name, each in values(twelve).items()} == there
    for name, told in peers(twelve).items():
        assert [each["name"] for each in told] == sorted(there.keys() - {name})


def test_the_order_of_the_stack_file_is_not_that_of_the_values(run: Run) -> None:
    other = {**THREE, "clusters": dict(reversed(THREE["clusters"].items()))}

    assert values(run(other)) == values(run(THREE))


def test_one_cluster_more_changes_nothing_of_the_others_but_their_values(run: Run) -> None:
    before, after = run(TWO), run(THREE)

    assert {each.urn for each in before.monitor.asked} <= {each.urn for each in after.monitor.asked}
    old, new = ({(each.typ, each.name): each.inputs for each in one.resources} for one in (before, after))
    assert {name for kind, name in old if new[kind, name] != old[kind, name]} == {"west-cilium", "east-cilium"}
    for name in ("west-cilium", "east-cilium"):
        ours, theirs = (ciliums(one)[name] for one in (before, after))
        assert {key for key in ours if ours[key] != theirs[key]} == {"values"}


def test_a_load_balancers_service_gives_the_address_before_cilium_is_there(run: Run) -> None:
    found = run(ALL)

    balanced = {
        name: each["metadata"]["annotations"]
        for name, each in found.of("core/v1:Service").items()
        if each["spec"].get("type") == "LoadBalancer"
    }
    assert balanced.keys() == {f"{name}-clustermesh-apiserver-peers" for name in ("east", "north")}
    assert balanced["east-clustermesh-apiserver-peers"]["example.com/internal"] == "true"
    awaited = {name: "pulumi.com/skipAwait" not in annotations for name, annotations in balanced.items()}
    assert awaited == {"east-clustermesh-apiserver-peers": True, "north-clustermesh-apiserver-peers": False}
    assert {each["name"]: each for each in peers(found)["west"]} == {
        "far": {"name": "far", "port": 32379, "address": "mesh.example.com"},
        "east": {"name": "east", "port": 2379, "address": "east-clustermesh-apiserver-peers.example.com"},
        "north": {"name": "north", "port": 443, "ips": ["192.0.2.9"]},
    }
    assert "Service east-clustermesh-apiserver-peers" in found.before("Release", "west-cilium")


def test_the_outputs_say_where_clusters_are_reached_and_until_when_what_is_valid(run: Run) -> None:
    found = run(TWO).outputs

    assert found["clustermesh"] == {
        name: {"addresses": [f"192.0.2.{number}", f"2001:db8::{number}"], "port": 32379}
        for name, number in (("west", 1), ("east", 2))
    }
    assert found["certificateExpiry"]["ciliumAuthority"] == "2030"
    assert found["certificateExpiry"]["cilium"] == {"west": "2030", "east": "2030"}
    assert found["clusters"]["west"] == {
        "context": "west",
        "charts": {"cilium": "1.19.0"},
        "overrides": {},
        "cilium": {"id": 1},
    }


def test_a_global_service_is_wherever_somebody_asks_it(run: Run) -> None:
    found = run(ALL)

    told = {
        name.partition("-")[0]: [
            each["metadata"]["annotations"][f"service.cilium.io/{key}"] for key in ("global", "shared", "affinity")
        ]
        for name, each in found.of("core/v1:Service").items()
        if each["metadata"]["name"] == "userlist-svc"
    }
    assert told == {
        "west": ["true", "true", "local"],
        "east": ["true", "false", "local"],
        "north": ["true", "false", "local"],
    }
    deployments = found.of("Deployment")
    assert sorted(deployments) == ["east-song-userlist", "north-song-userlist-curltest", "west-song-userlist"]
    for name, each in deployments.items():
        assert not each["spec"]["template"]["metadata"]["annotations"], "nothing of Linkerd's"
        assert f"ReleaseDrift {name.partition('-')[0]}-cilium-drift" in found.before("Deployment", name)
