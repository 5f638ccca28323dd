"""A stack with few defaults, on real API servers."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.sdk.secrets import PULL_SECRET_NAME
from hack.lab.state_dir import StateDir
from mesh.gateway_spec import MULTICLUSTER_NAMESPACE as MULTICLUSTER
from tests.helpers import custom_stack
from tests.helpers.certificates import IssuedCertificate
from tests.helpers.custom_stack import NAMESPACES, REGISTRY
from tests.helpers.link_assertions import assert_matches_linkerd_cli
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, wait_until

pytestmark = pytest.mark.lab("west", "north", "ctx-1", minutes=1.5)

WORKLOADS = ("deployments", "daemonsets", "cronjobs")


@pytest.fixture(scope="module")
def authorities() -> tuple[IssuedCertificate, dict[str, IssuedCertificate]]:
    """Return the anchor and the issuers in the stack file."""
    return custom_stack.create_trust()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the stack file and of one cluster's kubeconfig."""
    return tmp_path_factory.mktemp("odd")


@pytest.fixture(scope="module")
def mesh(
    lab: StateDir, folder: Path, authorities: tuple[IssuedCertificate, dict[str, IssuedCertificate]]
) -> Iterator[StackUnderTest]:
    """Deploy the stack."""
    custom_stack.kubeconfig_path(folder).write_text(
        yaml.safe_dump(custom_stack.single_cluster_kubeconfig(lab, "private-1"))
    )
    config = custom_stack.build_config(lab, folder, *authorities)
    with deploy(lab, folder, "odd", config, custom_stack.build_secrets(lab, authorities[1])) as lab_stack:
        yield lab_stack


@pytest.fixture(scope="module")
def pods(mesh: StackUnderTest) -> dict[str, list[dict[str, Any]]]:
    """Return the pod templates of Linkerd's workloads by cluster."""
    pods_by_cluster: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMESPACES}
    for name, namespace in NAMESPACES.items():
        for workload in mesh.list_objects(mesh.contexts[name], ",".join(WORKLOADS), "--all-namespaces"):
            if workload["metadata"]["namespace"] not in (namespace, MULTICLUSTER, "linkerd-cni"):
                continue
            spec = workload["spec"]
            template = (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]
            pods_by_cluster[name].append(
                {"of": workload["metadata"], "spec": template["spec"], "replicas": spec.get("replicas")}
            )
    return pods_by_cluster


def get_object(mesh: StackUnderTest, cluster: str, namespace: str, kind: str, name: str) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(
        mesh.kubectl(mesh.contexts[cluster], "-n", namespace, "get", kind, name, "-o", "json")
    )
    return item


def read_control_plane_values(mesh: StackUnderTest, cluster: str) -> dict[str, Any]:
    """Return the installed values of a control plane, from the ConfigMap that the Linkerd CLI reads."""
    config_map = get_object(mesh, cluster, NAMESPACES[cluster], "configmap", "linkerd-config")
    return dict(yaml.safe_load(config_map["data"]["values"]))


def test_all_checks_pass(mesh: StackUnderTest) -> None:
    rows = mesh.run_checks()

    assert [row for row in rows if not row.passed] == []
    assert {(row.subject, row.check) for row in rows if row.check in ("gateways", "mirrors")} == {
        ("private-1", "gateways"),
        ("private-1 → edge", "mirrors"),
        ("private-1 → north", "mirrors"),
        ("north → edge", "mirrors"),
    }


def test_gateway_is_exposed_as_each_cluster_configures(mesh: StackUnderTest) -> None:
    service = get_object(mesh, "edge", MULTICLUSTER, "service", "linkerd-gateway")["spec"]
    assert service["type"] == "NodePort"
    assert {port["name"]: port["nodePort"] for port in service["ports"]} == {"mc-gateway": 30143, "mc-probe": 30191}
    link = get_object(mesh, "private-1", MULTICLUSTER, "links.multicluster.linkerd.io", "edge")["spec"]
    assert link["gatewayAddress"].split(",") == list(custom_stack.read_allocation(mesh.lab, "edge").node_addresses[:2])
    assert (link["gatewayPort"], link["probeSpec"]["port"]) == ("443", "30191")
    (subset,) = get_object(mesh, "private-1", "shop", "endpoints", "podinfo-edge")["subsets"]
    assert {port["port"] for port in subset["ports"]} == {443}

    load_balancer = get_object(mesh, "north", MULTICLUSTER, "service", "linkerd-gateway")
    assert load_balancer["metadata"]["annotations"]["lb.example.com/internal"] == "true"
    assert load_balancer["spec"]["loadBalancerSourceRanges"] == ["203.0.113.0/24", "198.51.100.0/24"]

    assert not mesh.has_object(mesh.contexts["private-1"], "service", "linkerd-gateway", MULTICLUSTER)
    assert not mesh.has_object(mesh.contexts["private-1"], "deployment", "linkerd-gateway", MULTICLUSTER)


@pytest.mark.parametrize(
    ("source", "target", "flags"),
    [
        ("private-1", "edge", ["--ha", "--gateway-port=443", "--gateway-addresses={addresses}"]),
        ("private-1", "north", ["--ha"]),
        ("north", "edge", ["--gateway=false"]),
    ],
    ids=["node-ports", "load-balancer", "flat"],
)
def test_link_objects_equal_output_of_linkerd_cli(
    mesh: StackUnderTest, source: str, target: str, flags: list[str]
) -> None:
    addresses = ",".join(custom_stack.read_allocation(mesh.lab, target).node_addresses[:2])
    formatted_flags = [flag.format(addresses=addresses) for flag in flags]

    assert_matches_linkerd_cli(mesh, source, target, f"--registry={REGISTRY}", *formatted_flags)


def test_flat_link_has_no_probe_and_mirrors_remote_discovery(mesh: StackUnderTest) -> None:
    assert not mesh.has_object(mesh.contexts["north"], "service", "probe-gateway-edge", MULTICLUSTER)
    source, target = mesh.contexts["north"], mesh.contexts["edge"]
    mesh.kubectl(target, "-n", "default", "create", "service", "clusterip", "tea", "--tcp=80")
    try:
        mesh.kubectl(target, "label", "service", "tea", "mirror.linkerd.io/exported=remote-discovery")
        assert wait_until(lambda: mesh.has_object(source, "service", "tea-edge"))
        labels = get_object(mesh, "north", "default", "service", "tea-edge")["metadata"]["labels"]
        assert labels["multicluster.linkerd.io/remote-discovery"] == "edge"
        assert not mesh.has_object(source, "service", "podinfo-edge", "shop"), "podinfo is exported for gateways only"
    finally:
        mesh.kubectl(target, "delete", "service", "tea")
    assert wait_until(lambda: not mesh.has_object(source, "service", "tea-edge"))


def test_control_plane_has_settings_of_its_cluster(mesh: StackUnderTest) -> None:
    edge, north = read_control_plane_values(mesh, "edge"), read_control_plane_values(mesh, "north")
    assert (edge["clusterDomain"], edge["identityTrustDomain"]) == ("edge.local", "edge.example")
    assert (north["clusterDomain"], north["identityTrustDomain"]) == ("cluster.local", "mesh.example")
    assert edge["proxy"]["defaultInboundPolicy"] == "cluster-authenticated"
    assert north["proxy"]["defaultInboundPolicy"] == "deny"
    assert not mesh.kubectl(mesh.contexts["edge"], "get", "namespace", "linkerd", "--ignore-not-found")


def test_cni_plugin_runs_only_in_cluster_with_cni(mesh: StackUnderTest) -> None:
    status = get_object(mesh, "edge", "linkerd-cni", "daemonset", "linkerd-cni")["status"]
    assert status["numberReady"] == status["desiredNumberScheduled"] == 3
    assert {name: read_control_plane_values(mesh, name)["cniEnabled"] for name in NAMESPACES} == {
        "private-1": False,
        "edge": True,
        "north": False,
    }
    assert not mesh.kubectl(mesh.contexts["north"], "get", "namespace", "linkerd-cni", "--ignore-not-found")


def test_high_availability_has_replicas_and_disruption_budgets(
    mesh: StackUnderTest, pods: dict[str, list[dict[str, Any]]]
) -> None:
    replicas = {pod["of"]["name"]: pod["replicas"] for pod in pods["private-1"] if pod["replicas"]}
    mirrored = ["linkerd-service-mirror-edge", "linkerd-service-mirror-north"]
    assert replicas == dict.fromkeys(
        ["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector", *mirrored], 3
    )
    budgets = mesh.list_objects(mesh.contexts["private-1"], "poddisruptionbudgets", "--all-namespaces")
    assert {budget["metadata"]["name"] for budget in budgets} == {
        *("linkerd-dst", "linkerd-identity", "linkerd-proxy-injector"),
        *mirrored,
    }
    assert {pod["replicas"] for pod in pods["north"] if pod["replicas"]} == {1}

    mirrors = mesh.lab.read_status()["clusters"][mesh.contexts["private-1"]]["mirrors"]
    assert (
        sorted(mirror["target"] for mirror in mirrors if mirror["state"] == "running") == ["edge"] * 3 + ["north"] * 3
    )
    holders = {
        get_object(mesh, "private-1", MULTICLUSTER, "lease", f"service-mirror-write-{target}")["spec"]["holderIdentity"]
        for target in ("edge", "north")
    }
    assert holders <= {mirror["pod"].partition("/")[2] for mirror in mirrors}


def test_override_is_merged_deeply_and_shown(mesh: StackUnderTest) -> None:
    private, north = read_control_plane_values(mesh, "private-1"), read_control_plane_values(mesh, "north")
    proxy = private["proxy"]
    assert proxy["resources"]["memory"]["limit"] == "300Mi", "value of the cluster"
    assert (proxy["resources"]["cpu"]["request"], private["controllerReplicas"]) == ("100m", 3), (
        "values of high availability"
    )
    assert proxy["logLevel"] == north["proxy"]["logLevel"] == "warn", "value of the mesh"
    assert proxy["image"]["name"] == f"{REGISTRY}/proxy", "value of the registry"
    assert private["webhookFailurePolicy"] == "Ignore", "precedes high availability"
    mirror = get_object(mesh, "private-1", MULTICLUSTER, "deployment", "linkerd-service-mirror-edge")
    assert mirror["spec"]["template"]["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "10m"}}
    link = get_object(mesh, "private-1", MULTICLUSTER, "links.multicluster.linkerd.io", "north")["spec"]
    assert link["probeSpec"]["period"] == "5s", "values of a gateway also apply to its links"

    with mesh.engine() as engine:
        overrides = {name: cluster["overrides"] for name, cluster in engine.outputs()["clusters"].items()}
    common = ["proxy.logLevel"]
    assert overrides["edge"] == {"linkerd-control-plane": common}
    assert overrides["north"] == {
        "linkerd-control-plane": common,
        "linkerd-multicluster": ["gateway.probe.seconds"],
    }
    assert {chart: sorted(keys) for chart, keys in overrides["private-1"].items()} == {
        "linkerd-control-plane": ["proxy.logLevel", "proxy.resources.memory.limit", "webhookFailurePolicy"],
        "service-mirror": ["resources.requests.cpu"],
    }


def test_images_come_from_registry_with_pull_secret(
    mesh: StackUnderTest, pods: dict[str, list[dict[str, Any]]]
) -> None:
    for cluster, cluster_pods in pods.items():
        pull_secrets = [{"name": PULL_SECRET_NAME}] + ([{"name": "of-the-company"}] if cluster == "north" else [])
        for pod in cluster_pods:
            spec, owner = pod["spec"], (cluster, pod["of"]["name"])
            containers = spec["containers"] + spec.get("initContainers", [])
            assert [c["image"] for c in containers if not c["image"].startswith(f"{REGISTRY}/")] == [], owner
            account = get_object(mesh, cluster, pod["of"]["namespace"], "serviceaccount", spec["serviceAccountName"])
            assert spec.get("imagePullSecrets", account.get("imagePullSecrets")) == pull_secrets, owner
        for namespace in {*(pod["of"]["namespace"] for pod in cluster_pods), "shop"}:
            secret = get_object(mesh, cluster, namespace, "secret", PULL_SECRET_NAME)
            assert base64.b64decode(secret["data"][".dockerconfigjson"]).decode() == custom_stack.PULL_SECRET
        sample_pod = get_object(mesh, cluster, "shop", "deployment", "podinfo")["spec"]["template"]["spec"]
        assert sample_pod["imagePullSecrets"] == pull_secrets, "the injected proxy image is in the registry"


def test_linkerd_pods_have_node_selector_and_tolerations(pods: dict[str, list[dict[str, Any]]]) -> None:
    for cluster, cluster_pods in pods.items():
        assert len(cluster_pods) >= 5
        for pod in cluster_pods:
            if pod["of"]["name"] == "linkerd-cni":
                assert {"operator": "Exists"} in pod["spec"]["tolerations"], "the CNI plugin must run on all nodes"
                continue
            owner = (cluster, pod["of"]["name"])
            assert custom_stack.NODES.items() <= pod["spec"].get("nodeSelector", {}).items(), owner
            assert custom_stack.TOLERATION in pod["spec"].get("tolerations", []), owner


def test_trust_consists_of_configured_anchor_and_issuers(
    mesh: StackUnderTest, authorities: tuple[IssuedCertificate, dict[str, IssuedCertificate]]
) -> None:
    anchor, issuers = authorities
    for cluster, namespace in NAMESPACES.items():
        data = get_object(mesh, cluster, namespace, "secret", "linkerd-identity-issuer")["data"]
        issuer_secret = {key: base64.b64decode(value).decode() for key, value in data.items()}
        issuer = issuers[cluster]
        assert issuer_secret == {"tls.crt": issuer.pem, "tls.key": issuer.private_key, "ca.crt": anchor.pem}
        roots = get_object(mesh, cluster, namespace, "configmap", "linkerd-identity-trust-roots")["data"]
        assert roots["ca-bundle.crt"].strip() == anchor.pem.strip()
    issuer_types = {resource["type"] for resource in list_resources(mesh) if "issuer" in resource["urn"]}
    assert issuer_types == {"kubernetes:core/v1:Secret"}, "no key is generated for a configured issuer"


def list_resources(mesh: StackUnderTest) -> list[dict[str, Any]]:
    resources: list[dict[str, Any]] = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    return resources


def test_second_up_changes_nothing(mesh: StackUnderTest) -> None:
    mesh.up("--expect-no-changes")


def test_different_kubeconfig_of_same_clusters_replaces_nothing(
    mesh: StackUnderTest, folder: Path, authorities: tuple[IssuedCertificate, dict[str, IssuedCertificate]]
) -> None:
    marker = folder / "asked"
    path_kubeconfig = rename_entries(custom_stack.single_cluster_kubeconfig(mesh.lab, "private-1"))
    path_kubeconfig["users"][0]["user"] = {
        "exec": write_credential_plugin(folder, marker, path_kubeconfig["users"][0]["user"])
    }
    custom_stack.kubeconfig_path(folder).write_text(yaml.safe_dump(path_kubeconfig))
    secret_kubeconfig = yaml.safe_dump(rename_entries(custom_stack.single_cluster_kubeconfig(mesh.lab, "north")))

    mesh.configure(mesh.config, {**mesh.secrets, "kubeconfigs.north": secret_kubeconfig})

    changes = mesh.preview_changes()
    # The export and its cleanup use the same credentials.
    exports = (
        "ServiceExport north-shop-podinfo-service-exported",
        "ExportCleanup north-shop-podinfo-service-export-private-1",
    )
    # The drift resources of the Helm releases use them too.
    releases = (
        "link-north-to-edge-controller",
        "north-linkerd-control-plane",
        "north-linkerd-crds",
        "north-multicluster",
    )
    drift_resources = [f"ReleaseDrift {release}-drift" for release in releases]
    deletions = [f"NamespaceDeletion north-{name}-namespace-deletion" for name in ("linkerd", "multicluster", "shop")]
    cleanup = ("MirrorCleanup link-north-to-edge-mirrors", *exports)
    check = "ClusterIdentities cluster-identities"
    expected = ("kubernetes north", *cleanup, *drift_resources, *deletions, check)
    assert changes == dict.fromkeys(expected, "update")
    assert marker.exists(), "the credential plugin was not called"
    mesh.up()
    mesh.up("--expect-no-changes", "--refresh")


def rename_entries(kubeconfig: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with other names for the cluster and the user."""
    renamed = json.loads(json.dumps(kubeconfig))
    renamed["clusters"][0]["name"] = "another-name"
    renamed["users"][0]["name"] = "another-user"
    renamed["contexts"][0]["context"] = {"cluster": "another-name", "user": "another-user"}
    return dict(renamed)


def write_credential_plugin(folder: Path, marker: Path, user: dict[str, str]) -> dict[str, Any]:
    """Write a credential plugin that returns the credentials of a user's entry."""
    version = "client.authentication.k8s.io/v1"
    certificate, key = (base64.b64decode(user[f"client-{part}-data"]).decode() for part in ("certificate", "key"))
    status = {"clientCertificateData": certificate, "clientKeyData": key}
    (folder / "credential.json").write_text(
        json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    )
    plugin = folder / "plugin"
    plugin.write_text(f"#!/bin/sh\ntouch '{marker}'\ncat '{folder}/credential.json'\n")
    plugin.chmod(0o755)
    return {"apiVersion": version, "command": str(plugin), "interactiveMode": "Never"}


def test_secrets_are_neither_printed_nor_stored_in_clear(mesh: StackUnderTest) -> None:
    with mesh.engine() as engine:
        outputs = json.dumps(engine.outputs())
    texts = {
        "output of preview and up": mesh.output.read_text(),
        "stack outputs": outputs,
        "state files": read_state_files(mesh),
        "Helm releases": read_helm_releases(mesh),
    }

    for origin, text in texts.items():
        assert [line for line in list_secret_lines(mesh) if line in text] == [], origin
    assert REGISTRY in texts["Helm releases"], "the revisions were read"


def test_destroy_restores_each_api_server(mesh: StackUnderTest) -> None:
    mesh.destroy()

    for context in mesh.contexts.values():
        wait_until(partial(mesh.is_restored, context))
        assert list_all_objects(mesh, context) == mesh.objects_before[context]
    output = mesh.output.read_text()
    assert [line for line in list_secret_lines(mesh) if line in output] == []


def list_secret_lines(mesh: StackUnderTest) -> set[str]:
    """Return the lines of all keys, and the secret texts of kubeconfigs and registry credentials."""
    kubeconfig = yaml.safe_load(mesh.secrets["kubeconfigs.north"])
    keys = [text for path, text in mesh.secrets.items() if path.endswith(".key")]
    lines = {line for key in keys for line in key.splitlines() if not line.startswith("-----")}
    secret_texts = {*lines, *kubeconfig["users"][0]["user"].values(), custom_stack.REGISTRY_PASSWORD}
    assert len(secret_texts) >= 3 * 2 + 3
    return secret_texts


def read_state_files(mesh: StackUnderTest) -> str:
    """Return the content of all state files of the stack, including former ones."""
    files = [file for file in (mesh.lab.folder / "state").rglob(f"{mesh.name}[-.]*") if file.is_file()]
    assert len(files) > 2
    return "\n".join(file.read_text() for file in files)


def read_helm_releases(mesh: StackUnderTest) -> str:
    """Return all Helm revisions of all clusters, decoded."""
    releases = []
    for context in mesh.contexts.values():
        for secret in mesh.list_objects(context, "secrets", "--all-namespaces", "-l", "owner=helm"):
            releases.append(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))).decode())
    return "\n".join(releases)
