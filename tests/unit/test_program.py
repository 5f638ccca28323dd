"""The whole program on a recording engine: which resources it asks for, and what is in them."""

from __future__ import annotations

import json
from functools import cache

import pulumi
import pytest

from tests.helpers.mock_engine import SECRET, RunProgram, mesh_config


def test_every_cluster_gets_its_three_releases_and_every_link_one_in_its_source(run: RunProgram) -> None:
    releases = run(mesh_config("west", "east", links=[("west", "east")])).inputs_of("helm.sh/v3:Release")

    assert {name: (release["chart"], release.get("version")) for name, release in releases.items()} == {
        "west-linkerd-crds": ("linkerd-crds", "1.8.0"),
        "west-linkerd-control-plane": ("linkerd-control-plane", "1.16.11"),
        "west-multicluster": ("linkerd-multicluster", "30.11.11"),
        "east-linkerd-crds": ("linkerd-crds", "1.8.0"),
        "east-linkerd-control-plane": ("linkerd-control-plane", "1.16.11"),
        "east-multicluster": ("linkerd-multicluster", "30.11.11"),
        "link-west-to-east-controller": ("./charts/service-mirror", None),
    }
    assert not any(release["createNamespace"] for release in releases.values()), "the program owns every namespace"


def test_the_older_release_has_its_own_charts(run: RunProgram) -> None:
    config = {**mesh_config("west", "east", links=[]), "linkerd": {"version": "2.13.5"}}

    versions = {release["chart"]: release["version"] for release in run(config).inputs_of("Release").values()}

    assert versions == {"linkerd-crds": "1.6.1", "linkerd-control-plane": "1.12.5", "linkerd-multicluster": "30.7.5"}


def test_no_key_is_in_a_helm_value(run: RunProgram) -> None:
    releases = run(mesh_config("west", "east", links=[("west", "east"), ("east", "west")])).inputs_of("Release")

    assert SECRET not in json.dumps(releases)
    assert "token" not in json.dumps([release["values"] for release in releases.values()])


def test_issuer_and_webhooks_have_their_keys_in_tls_secrets(run: RunProgram) -> None:
    secrets = run(mesh_config("west", links=[])).inputs_of("core/v1:Secret")

    assert {secret["metadata"]["name"] for secret in secrets.values()} == {
        "linkerd-identity-issuer",
        "linkerd-proxy-injector-k8s-tls",
        "linkerd-sp-validator-k8s-tls",
        "linkerd-policy-validator-k8s-tls",
    }
    assert {secret["type"] for secret in secrets.values()} == {"kubernetes.io/tls"}
    issuer = secrets["west-linkerd-issuer-secret"]["stringData"]["value"]  # the rest marks it as a secret
    assert issuer["ca.crt"] == "certificate of trust-anchor-certificate"


def test_all_clusters_have_issuers_of_one_trust_anchor(run: RunProgram) -> None:
    signed = run(mesh_config("west", "east", links=[])).inputs_of("LocallySignedCert")

    issuers = [inputs for name, inputs in signed.items() if "-issuer-" in name]
    assert len(issuers) == 2
    assert {issuer["caCertPem"] for issuer in issuers} == {"certificate of trust-anchor-certificate"}
    assert all(issuer["isCaCertificate"] for issuer in issuers)


def test_a_gateways_address_flows_into_the_link_and_nothing_waits_where_there_is_none(run: RunProgram) -> None:
    config = mesh_config("west", "east", links=[("west", "east")])
    config["clusters"]["west"] = {"gateway": {"loadBalancer": False}}

    recorder = run(config)

    (link,) = recorder.inputs_of("multicluster.linkerd.io/v1alpha1:Link").values()
    assert link["spec"]["gatewayAddress"] == "gateway.example.com"
    releases = recorder.inputs_of("Release")
    assert releases["west-multicluster"]["skipAwait"] is True
    assert releases["east-multicluster"]["skipAwait"] is False
    assert list(recorder.inputs_of("core/v1:Service")) == ["east-multicluster-gateway"], (
        "a source's gateway is never read"
    )


def test_a_changed_kubeconfig_is_still_the_same_cluster(run: RunProgram) -> None:
    providers = run(mesh_config("west", links=[])).inputs_of("pulumi:providers:kubernetes")

    assert providers["west"]["clusterIdentifier"] == "west"
    assert not providers["west"].get("kubeconfig"), "no path of this machine in the state"


def test_resources_grow_with_clusters_and_links_and_not_with_pairs(run: RunProgram) -> None:
    @cache
    def count(clusters: int, links: int) -> int:
        names = [f"c{number}" for number in range(clusters)]
        chain = [(names[number], names[(number + 1) % clusters]) for number in range(links)]
        return len(run(mesh_config(*names, links=chain)).resources)

    two, per_cluster = count(2, 0), count(3, 0) - count(2, 0)
    assert count(4, 0) == two + 2 * per_cluster
    per_link = count(4, 1) - count(4, 0) - 1  # one: the target's gateway, which is read
    assert count(4, 4) == count(4, 0) + 4 * (per_link + 1)
    assert per_cluster <= 25
    assert per_link <= 8


def test_a_namespace_of_the_program_carries_the_labels_that_linkerd_looks_for(run: RunProgram) -> None:
    namespaces = run(mesh_config("west", "east", links=[])).inputs_of("core/v1:Namespace")

    labels = {namespace["metadata"]["name"]: namespace["metadata"]["labels"] for namespace in namespaces.values()}
    assert labels["linkerd"]["linkerd.io/is-control-plane"] == "true"
    assert labels["linkerd"]["config.linkerd.io/admission-webhooks"] == "disabled"
    assert labels["linkerd-multicluster"]["linkerd.io/extension"] == "multicluster"


def test_every_namespace_says_by_a_label_what_has_made_it(run: RunProgram) -> None:
    namespaces = run({**mesh_config("west", "east", links=[]), "workloads": [{"podinfo": {}}]}).inputs_of(
        "core/v1:Namespace"
    )

    labels = [namespace["metadata"]["labels"]["app.kubernetes.io/part-of"] for namespace in namespaces.values()]
    assert labels == ["multicluster-mesh"] * 6


def test_only_an_exported_podinfo_has_the_label(run: RunProgram) -> None:
    config = {**mesh_config("west", "east", links=[]), "workloads": [{"podinfo": {"exported": ["east"]}}]}

    services = run(config).inputs_of("core/v1:Service")

    exported = {name: "mirror.linkerd.io/exported" in found["metadata"]["labels"] for name, found in services.items()}
    assert exported == {"west-test-podinfo-service": False, "east-test-podinfo-service": True}


def test_credentials_for_images_are_in_each_namespace_of_linkerd_and_in_no_helm_value(run: RunProgram) -> None:
    login = {"auths": {"registry.example.com": {"auth": "bG9naW4="}}}
    config = {**mesh_config("west", "east", links=[]), "imagePullSecret": login, "linkerd": {"cni": True}}

    recorder = run(config, secret=["imagePullSecret"])

    found = [secret for secret in recorder.inputs_of("core/v1:Secret").values() if "dockerconfigjson" in secret["type"]]
    assert len(found) == 2 * 3, "in linkerd, linkerd-cni and linkerd-multicluster of both"
    releases = recorder.inputs_of("Release")
    assert "bG9naW4=" not in json.dumps(releases)
    for chart in ("west-linkerd-control-plane", "west-cni", "west-multicluster"):
        assert releases[chart]["values"]["imagePullSecrets"] == [{"name": "multicluster-mesh-registry"}]


def test_cert_manager_takes_the_place_of_the_issuers_key(run: RunProgram) -> None:
    recorder = run({**mesh_config("west", links=[]), "trust": {"certManager": True}})

    assert "west-linkerd-issuer-secret" not in recorder.inputs_of("core/v1:Secret")
    assert not [name for name in recorder.inputs_of("LocallySignedCert") if "issuer" in name]
    (certificate,) = recorder.inputs_of("cert-manager.io/v1:Certificate").values()
    (issuer,) = recorder.inputs_of("cert-manager.io/v1:Issuer").values()
    assert certificate["spec"]["issuerRef"] == {"name": issuer["metadata"]["name"], "kind": "Issuer"}
    assert certificate["spec"]["secretName"] == "linkerd-identity-issuer"


def test_lifetimes_are_the_stack_files(run: RunProgram) -> None:
    (anchor,) = (
        inputs
        for name, inputs in run({**mesh_config("west", links=[]), "trust": {"lifetimes": {"anchor": 9000}}})
        .inputs_of("SelfSignedCert")
        .items()
        if "anchor" in name
    )

    assert anchor["validityPeriodHours"] == 9000


def test_a_wrong_stack_file_stops_the_program_before_it_asks_for_anything(run: RunProgram) -> None:
    with pytest.raises(pulumi.RunError, match="2 faults in the configuration; nothing was touched"):
        run({**mesh_config("west", links=[]), "linkerd": {"version": "9"}, "worklods": []})
