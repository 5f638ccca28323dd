"""Resources of a ClusterMesh, on a mock engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers.mock_engine import SECRET, Recorder, RunProgram, without_secret_marks
from tests.helpers.stack_configs import shipped_config

CLUSTER_NAMES = ("cluster1", "cluster2")
CERTIFICATE_SECRETS = {
    "clustermesh-apiserver-server-cert",
    "clustermesh-apiserver-admin-cert",
    "clustermesh-apiserver-remote-cert",
    "clustermesh-apiserver-local-cert",
    "hubble-server-certs",
}


def build_stack_config(cilium: Any = True, **clusters: dict[str, Any] | int) -> dict[str, Any]:
    """Return a stack configuration of clusters, each given by its ID or by its own configuration."""
    cluster_configs = {
        name: {"cilium": {"id": each}} if isinstance(each, int) else each for name, each in clusters.items()
    }
    return {"clusters": cluster_configs, "cilium": cilium}


# Without Hubble, which would only add certificates.
TWO_CLUSTERS, THREE_CLUSTERS = (
    build_stack_config({"hubble": False}, west=1, east=2),
    build_stack_config({"hubble": False}, north=9, west=1, east=2),
)
# One cluster per kind of exposure, and a sample.
ALL_EXPOSURES = {
    **build_stack_config(
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


def cilium_values(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """Return the values of all Cilium releases by cluster."""
    return {each["values"]["cluster"]["name"]: each["values"] for each in cilium_releases(recorder).values()}


def cilium_releases(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """Return the inputs of all Cilium releases, without those retained for unreachable clusters."""
    return {
        name: without_secret_marks(each)
        for name, each in recorder.inputs_of("Release").items()
        if each.get("chart") == "cilium"
    }


def peers_by_cluster(recorder: Recorder) -> dict[str, list[dict[str, Any]]]:
    return {name: each["clustermesh"]["config"]["clusters"] for name, each in cilium_values(recorder).items()}


def kube_system_secrets(recorder: Recorder, cluster: str) -> dict[str, dict[str, Any]]:
    """Return the Secrets in the kube-system namespace of a cluster by name."""
    inputs = [
        without_secret_marks(each)
        for name, each in recorder.inputs_of("core/v1:Secret").items()
        if name.startswith(f"{cluster}-")
    ]
    return {each["metadata"]["name"]: each for each in inputs if each["metadata"]["namespace"] == "kube-system"}


def test_shipped_stack_has_one_release_per_cluster_without_linkerd(run: RunProgram) -> None:
    recorder = run(shipped_config("clustermesh"))

    assert {
        name: (each["name"], each["chart"], each["version"], each["namespace"], each["createNamespace"])
        for name, each in recorder.inputs_of("Release").items()
    } == {f"{name}-cilium": ("cilium", "cilium", "1.14.1", "kube-system", False) for name in CLUSTER_NAMES}
    assert {each["metadata"]["name"] for each in recorder.inputs_of("core/v1:Namespace").values()} == {"song"}
    for each in recorder.monitor.registrations:
        assert "inkerd" not in each.type + each.name, each.name
    assert "linkerd" not in json.dumps([each.inputs for each in recorder.resources], default=str)
    assert {"clusters", "links", "certificateExpiry", "topology", "clustermesh"} <= recorder.outputs.keys()
    assert "linkerd" not in json.dumps(recorder.outputs).lower()


def test_shipped_stack_configures_clusters_as_peers(run: RunProgram) -> None:
    values_by_cluster = cilium_values(run(shipped_config("clustermesh")))

    assert {name: each["cluster"] for name, each in values_by_cluster.items()} == {
        name: {"id": number, "name": name} for number, name in enumerate(CLUSTER_NAMES, 1)
    }
    assert {name: each["clustermesh"]["config"] for name, each in values_by_cluster.items()} == {
        f"cluster{number}": {
            "enabled": True,
            "clusters": [{"name": f"cluster{other}", "port": 32379, "ips": [f"192.0.2.{other}", f"2001:db8::{other}"]}],
        }
        for number, other in ((1, 2), (2, 1))
    }


@pytest.mark.parametrize("cluster", CLUSTER_NAMES)
def test_mounted_secrets_precede_cilium_and_omit_authority_key(run: RunProgram, cluster: str) -> None:
    recorder = run(shipped_config("clustermesh"))

    cluster_secrets = kube_system_secrets(recorder, cluster)
    assert cluster_secrets.keys() == {"cilium-ca", *CERTIFICATE_SECRETS}
    assert cluster_secrets["cilium-ca"]["stringData"].keys() == {"ca.crt"}
    for name in CERTIFICATE_SECRETS:
        assert cluster_secrets[name]["type"] == "kubernetes.io/tls"
        assert cluster_secrets[name]["stringData"].keys() == {"tls.crt", "tls.key", "ca.crt"}
        assert cluster_secrets[name]["stringData"]["ca.crt"] == "certificate of cilium-ca-certificate"
    before = recorder.dependencies_of("Release", f"{cluster}-cilium")
    assert {
        f"Secret {cluster}-cilium-ca",
        *(f"Secret {cluster}-{name}-secret" for name in CERTIFICATE_SECRETS),
    } <= before
    for name in CERTIFICATE_SECRETS:
        secret_data = recorder.inputs_of("core/v1:Secret")[f"{cluster}-{name}-secret"]["stringData"]
        assert secret_data != without_secret_marks(secret_data), "the key must be marked as a secret"


def test_values_and_outputs_contain_no_key_or_certificate(run: RunProgram) -> None:
    recorder = run(ALL_EXPOSURES)

    text = json.dumps([cilium_values(recorder), recorder.outputs])
    assert SECRET not in text
    assert "certificate of" not in text
    assert "hubble-relay-client-certs" in kube_system_secrets(recorder, "west")


def test_certificates_cover_names_that_peers_use(run: RunProgram) -> None:
    certificates = {
        name.removesuffix("-request"): (each["subject"]["commonName"], each.get("dnsNames"), each.get("ipAddresses"))
        for name, each in run(ALL_EXPOSURES).inputs_of("CertRequest").items()
    }

    own_names = [
        "clustermesh-apiserver.cilium.io",
        "*.mesh.cilium.io",
        "clustermesh-apiserver.kube-system.svc",
        "localhost",
    ]
    loopback = ["127.0.0.1", "::1"]
    server = "clustermesh-apiserver-server-cert"
    assert certificates[f"west-{server}"] == certificates[f"north-{server}"] == (own_names[0], own_names, loopback)
    assert certificates[f"far-{server}"] == (own_names[0], [*own_names, "mesh.example.com"], loopback)
    load_balancer_name = "east-clustermesh-apiserver-peers.example.com"
    assert certificates[f"east-{server}"] == (own_names[0], [*own_names, load_balancer_name], loopback)
    assert certificates["west-clustermesh-apiserver-remote-cert"] == ("remote-west", None, None)
    assert certificates["west-clustermesh-apiserver-admin-cert"] == ("admin-west", ["localhost"], None)


def test_resources_grow_linearly_and_peers_are_sorted(run: RunProgram) -> None:
    numbers = (255, 3, 17, 1, 200, 42, 7, 99, 2, 128, 64, 5)
    ids = {f"c{position}": number for position, number in enumerate(numbers)}
    twelve = run(build_stack_config({"hubble": False}, **ids))

    two, three = (len(run(config).resources) for config in (TWO_CLUSTERS, THREE_CLUSTERS))
    assert len(twelve.resources) == two + 10 * (three - two)
    assert three - two <= 30
    assert {name: each["cluster"]["id"] for name, each in cilium_values(twelve).items()} == ids
    for name, cluster_peers in peers_by_cluster(twelve).items():
        assert [each["name"] for each in cluster_peers] == sorted(ids.keys() - {name})


def test_values_are_independent_of_stack_file_order(run: RunProgram) -> None:
    reordered = {**THREE_CLUSTERS, "clusters": dict(reversed(THREE_CLUSTERS["clusters"].items()))}

    assert cilium_values(run(reordered)) == cilium_values(run(THREE_CLUSTERS))


def test_additional_cluster_changes_only_values_of_others(run: RunProgram) -> None:
    before, after = run(TWO_CLUSTERS), run(THREE_CLUSTERS)

    assert {each.urn for each in before.monitor.registrations} <= {each.urn for each in after.monitor.registrations}
    old, new = ({(each.typ, each.name): each.inputs for each in recorder.resources} for recorder in (before, after))
    changed = {name for kind, name in old if new[kind, name] != old[kind, name]}
    assert changed == {"west-cilium", "east-cilium"}
    for name in ("west-cilium", "east-cilium"):
        old_release, new_release = (cilium_releases(recorder)[name] for recorder in (before, after))
        assert {key for key in old_release if old_release[key] != new_release[key]} == {"values"}


def test_load_balancer_address_precedes_cilium_release(run: RunProgram) -> None:
    recorder = run(ALL_EXPOSURES)

    annotations_by_name = {
        name: each["metadata"]["annotations"]
        for name, each in recorder.inputs_of("core/v1:Service").items()
        if each["spec"].get("type") == "LoadBalancer"
    }
    assert annotations_by_name.keys() == {f"{name}-clustermesh-apiserver-peers" for name in ("east", "north")}
    assert annotations_by_name["east-clustermesh-apiserver-peers"]["example.com/internal"] == "true"
    waits_for_address = {
        name: "pulumi.com/skipAwait" not in service_annotations
        for name, service_annotations in annotations_by_name.items()
    }
    assert waits_for_address == {"east-clustermesh-apiserver-peers": True, "north-clustermesh-apiserver-peers": False}
    assert {each["name"]: each for each in peers_by_cluster(recorder)["west"]} == {
        "far": {"name": "far", "port": 32379, "address": "mesh.example.com"},
        "east": {"name": "east", "port": 2379, "address": "east-clustermesh-apiserver-peers.example.com"},
        "north": {"name": "north", "port": 443, "ips": ["192.0.2.9"]},
    }
    assert "Service east-clustermesh-apiserver-peers" in recorder.dependencies_of("Release", "west-cilium")


def test_outputs_contain_addresses_and_certificate_expiry(run: RunProgram) -> None:
    outputs = run(TWO_CLUSTERS).outputs

    assert outputs["clustermesh"] == {
        name: {"addresses": [f"192.0.2.{number}", f"2001:db8::{number}"], "port": 32379}
        for name, number in (("west", 1), ("east", 2))
    }
    assert outputs["certificateExpiry"]["ciliumAuthority"] == "2030"
    assert outputs["certificateExpiry"]["cilium"] == {"west": "2030", "east": "2030"}
    assert outputs["clusters"]["west"] == {
        "context": "west",
        "charts": {"cilium": "1.19.0"},
        "overrides": {},
        "cilium": {"id": 1},
    }


def test_global_service_exists_in_each_client_cluster(run: RunProgram) -> None:
    recorder = run(ALL_EXPOSURES)

    annotations = {
        name.partition("-")[0]: [
            each["metadata"]["annotations"][f"service.cilium.io/{key}"] for key in ("global", "shared", "affinity")
        ]
        for name, each in recorder.inputs_of("core/v1:Service").items()
        if each["metadata"]["name"] == "userlist-svc"
    }
    assert annotations == {
        "west": ["true", "true", "local"],
        "east": ["true", "false", "local"],
        "north": ["true", "false", "local"],
    }
    deployments = recorder.inputs_of("Deployment")
    assert sorted(deployments) == ["east-song-userlist", "north-song-userlist-curltest", "west-song-userlist"]
    for name, each in deployments.items():
        assert not each["spec"]["template"]["metadata"]["annotations"], "Linkerd must not inject its proxy"
        assert f"ReleaseDrift {name.partition('-')[0]}-cilium-drift" in recorder.dependencies_of("Deployment", name)


@pytest.mark.parametrize(
    ("memory", "resources"),
    [
        ({}, {"requests": "128Mi", "limits": "512Mi"}),
        ({"request": "256Mi", "limit": "768Mi"}, {"requests": "256Mi", "limits": "768Mi"}),
        ({"request": "1Gi"}, {"requests": "1Gi", "limits": "1Gi"}),
        ({"limit": "100M"}, {"requests": "100M", "limits": "100M"}),
        ({"limit": "2Gi"}, {"requests": "128Mi", "limits": "2Gi"}),
    ],
)
def test_userlist_has_memory_of_stack_file(run: RunProgram, memory: dict[str, str], resources: dict[str, str]) -> None:
    recorder = run({**build_stack_config(west=1), "workloads": [{"userlist": {"memory": memory}}]})

    (container,) = recorder.inputs_of("Deployment")["west-song-userlist"]["spec"]["template"]["spec"]["containers"]
    assert {key: container["resources"][key]["memory"] for key in resources} == resources


def test_shipped_stack_has_one_operator_for_one_node(run: RunProgram) -> None:
    values = cilium_values(run(shipped_config("clustermesh")))

    assert {name: each["operator"]["replicas"] for name, each in values.items()} == dict.fromkeys(CLUSTER_NAMES, 1)
