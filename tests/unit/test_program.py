"""Resources that the whole program registers, on a mock engine."""

from __future__ import annotations

import json
from functools import cache

import pulumi
import pytest

from tests.helpers.mock_engine import SECRET, RunProgram, mesh_config, without_secret_marks


def test_default_stack_has_complete_plan(run: RunProgram) -> None:
    config = mesh_config("west", "east", links=[("west", "east"), ("east", "west")])
    split = {"cluster": "west", "weights": {"west": 1, "east": 1}}
    config["workloads"] = [{"podinfo": {"exported": ["west", "east"], "splits": [split]}}]

    recorder = run(config)

    releases = without_secret_marks(recorder.inputs_of("helm.sh/v3:Release"))
    assert {name: (release["chart"], release["version"]) for name, release in releases.items()} == {
        f"{cluster}-{role}": (chart, "2026.6.3")
        for cluster in ("west", "east")
        for role, chart in (
            ("linkerd-crds", "linkerd-crds"),
            ("linkerd-control-plane", "linkerd-control-plane"),
            ("multicluster", "linkerd-multicluster"),
        )
    }
    repositories = {release["repositoryOpts"]["repo"] for release in releases.values()}
    assert repositories == {"https://helm.linkerd.io/edge"}
    for cluster, peer in (("west", "east"), ("east", "west")):
        # The CRDs of the Gateway API, which this release's charts install only on request.
        assert releases[f"{cluster}-linkerd-crds"]["values"]["installGatewayAPI"] is True
        (controller,) = releases[f"{cluster}-multicluster"]["values"]["controllers"]
        assert controller["link"] == {"ref": {"name": peer}}
        link = recorder.registration(":Link", f"link-{cluster}-to-{peer}-link")
        assert link.type == "kubernetes:multicluster.linkerd.io/v1alpha3:Link"
    links = recorder.inputs_of(":Link").values()
    assert {link["spec"]["gatewayAddress"] for link in links} == {"gateway.example.com"}
    secrets = [name for name in recorder.inputs_of("core/v1:Secret") if name.startswith("link-west-to-east-")]
    assert secrets == [f"link-west-to-east-{role}" for role in ("token", "credentials", "discovery-credentials")]
    (route,) = [each.type for each in recorder.monitor.registrations if each.type.endswith(":HTTPRoute")]
    assert route == "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"


def test_clusters_have_three_releases_and_links_one(run: RunProgram) -> None:
    config = {**mesh_config("west", "east", links=[("west", "east")]), "linkerd": {"version": "2.14.10"}}
    releases = run(config).inputs_of("helm.sh/v3:Release")

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


def test_older_linkerd_release_uses_its_own_charts(run: RunProgram) -> None:
    config = {**mesh_config("west", "east", links=[]), "linkerd": {"version": "2.13.5"}}

    versions = {release["chart"]: release["version"] for release in run(config).inputs_of("Release").values()}

    assert versions == {"linkerd-crds": "1.6.1", "linkerd-control-plane": "1.12.5", "linkerd-multicluster": "30.7.5"}


def test_helm_values_contain_no_key(run: RunProgram) -> None:
    releases = run(mesh_config("west", "east", links=[("west", "east"), ("east", "west")])).inputs_of("Release")

    assert SECRET not in json.dumps(releases)
    assert "token" not in json.dumps([release["values"] for release in releases.values()])


def test_issuer_and_webhook_keys_are_in_tls_secrets(run: RunProgram) -> None:
    secrets = run(mesh_config("west", links=[])).inputs_of("core/v1:Secret")

    assert {secret["metadata"]["name"] for secret in secrets.values()} == {
        "linkerd-identity-issuer",
        "linkerd-proxy-injector-k8s-tls",
        "linkerd-sp-validator-k8s-tls",
        "linkerd-policy-validator-k8s-tls",
    }
    assert {secret["type"] for secret in secrets.values()} == {"kubernetes.io/tls"}
    issuer = secrets["west-linkerd-issuer-secret"]["stringData"]["value"]  # the other keys mark it as a secret
    assert issuer["ca.crt"] == "certificate of trust-anchor-certificate"


def test_cluster_issuers_share_one_trust_anchor(run: RunProgram) -> None:
    signed = run(mesh_config("west", "east", links=[])).inputs_of("LocallySignedCert")

    issuers = [inputs for name, inputs in signed.items() if "-issuer-" in name]
    assert len(issuers) == 2
    assert {issuer["caCertPem"] for issuer in issuers} == {"certificate of trust-anchor-certificate"}
    assert all(issuer["isCaCertificate"] for issuer in issuers)


def test_only_awaited_gateway_address_is_read(run: RunProgram) -> None:
    config = mesh_config("west", "north", "east", links=[("west", "east"), ("north", "east")])
    config["clusters"]["west"] = {"gateway": {"loadBalancer": {"enabled": True, "await": False}}}
    config["clusters"]["north"] = {"gateway": {"loadBalancer": False}}

    recorder = run(config)

    links = recorder.inputs_of("multicluster.linkerd.io/v1alpha3:Link").values()
    assert {link["spec"]["gatewayAddress"] for link in links} == {"gateway.example.com"}
    assert list(recorder.inputs_of("core/v1:Service")) == ["east-multicluster-gateway"], (
        "a source's gateway is never read"
    )


def test_changed_kubeconfig_keeps_cluster_identity(run: RunProgram) -> None:
    providers = run(mesh_config("west", links=[])).inputs_of("pulumi:providers:kubernetes")

    assert providers["west"]["clusterIdentifier"] == "west"
    assert not providers["west"].get("kubeconfig"), "the state contains no path of this machine"


def test_resource_count_is_linear_in_clusters_and_links(run: RunProgram) -> None:
    @cache
    def count(clusters: int, links: int) -> int:
        names = [f"c{number}" for number in range(clusters)]
        chain = [(names[number], names[(number + 1) % clusters]) for number in range(links)]
        return len(run(mesh_config(*names, links=chain)).resources)

    two, per_cluster = count(2, 0), count(3, 0) - count(2, 0)
    assert count(4, 0) == two + 2 * per_cluster
    per_link = count(4, 1) - count(4, 0) - 1  # minus one for the target's gateway Service, which is only read
    assert count(4, 4) == count(4, 0) + 4 * (per_link + 1)
    assert per_cluster <= 28  # three of them report on the deletion of a namespace
    assert per_link <= 8


def test_namespaces_have_labels_that_linkerd_requires(run: RunProgram) -> None:
    namespaces = run(mesh_config("west", "east", links=[])).inputs_of("core/v1:Namespace")

    labels = {namespace["metadata"]["name"]: namespace["metadata"]["labels"] for namespace in namespaces.values()}
    assert labels["linkerd"]["linkerd.io/is-control-plane"] == "true"
    assert labels["linkerd"]["config.linkerd.io/admission-webhooks"] == "disabled"
    assert labels["linkerd-multicluster"]["linkerd.io/extension"] == "multicluster"


def test_every_namespace_has_part_of_label(run: RunProgram) -> None:
    namespaces = run({**mesh_config("west", "east", links=[]), "workloads": [{"podinfo": {}}]}).inputs_of(
        "core/v1:Namespace"
    )

    labels = [namespace["metadata"]["labels"]["app.kubernetes.io/part-of"] for namespace in namespaces.values()]
    assert labels == ["multicluster-mesh"] * 6


def test_only_exported_podinfo_has_export_label(run: RunProgram) -> None:
    config = {**mesh_config("west", "east", links=[]), "workloads": [{"podinfo": {"exported": ["east"]}}]}

    assert run(config).export_labels() == {("east", "test", "podinfo"): {"mirror.linkerd.io/exported": "true"}}


def test_pull_secrets_are_in_linkerd_namespaces_not_helm_values(run: RunProgram) -> None:
    login = {"auths": {"registry.example.com": {"auth": "bG9naW4="}}}
    config = {**mesh_config("west", "east", links=[]), "imagePullSecret": login, "linkerd": {"cni": True}}

    recorder = run(config, secret=["imagePullSecret"])

    pull_secrets = [
        secret for secret in recorder.inputs_of("core/v1:Secret").values() if "dockerconfigjson" in secret["type"]
    ]
    assert len(pull_secrets) == 2 * 3, "linkerd, linkerd-cni and linkerd-multicluster in two clusters"
    releases = recorder.inputs_of("Release")
    assert "bG9naW4=" not in json.dumps(releases)
    for chart in ("west-linkerd-control-plane", "west-cni", "west-multicluster"):
        assert releases[chart]["values"]["imagePullSecrets"] == [{"name": "multicluster-mesh-registry"}]


def test_cert_manager_replaces_issuer_key(run: RunProgram) -> None:
    recorder = run({**mesh_config("west", links=[]), "trust": {"certManager": True}})

    assert "west-linkerd-issuer-secret" not in recorder.inputs_of("core/v1:Secret")
    assert not [name for name in recorder.inputs_of("LocallySignedCert") if "issuer" in name]
    (certificate,) = recorder.inputs_of("cert-manager.io/v1:Certificate").values()
    (issuer,) = recorder.inputs_of("cert-manager.io/v1:Issuer").values()
    assert certificate["spec"]["issuerRef"] == {"name": issuer["metadata"]["name"], "kind": "Issuer"}
    assert certificate["spec"]["secretName"] == "linkerd-identity-issuer"


def test_certificate_lifetimes_come_from_stack_file(run: RunProgram) -> None:
    (anchor,) = (
        inputs
        for name, inputs in run({**mesh_config("west", links=[]), "trust": {"lifetimes": {"anchor": 9000}}})
        .inputs_of("SelfSignedCert")
        .items()
        if "anchor" in name
    )

    assert anchor["validityPeriodHours"] == 9000


def test_invalid_stack_file_registers_no_resource(run: RunProgram) -> None:
    with pytest.raises(pulumi.RunError, match="2 errors in the configuration; nothing was changed"):
        run({**mesh_config("west", links=[]), "linkerd": {"version": "9"}, "worklods": []})
