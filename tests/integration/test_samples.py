"""Every sample in every form on one cluster, validated against the real CRDs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.services.backends import RequestDistribution, request_backends
from components.services.http_route import route_spec
from components.services.service_profile import http_routes
from components.services.traffic_split import weighted_route_spec
from components.workloads import booksapp
from hack import toolchain
from hack.lab.state_dir import StateDir
from mesh import config
from mesh.config.models.services import FailoverConfig
from tests.helpers.custom_objects import dry_run_error, list_custom_objects
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects

pytestmark = pytest.mark.lab("north", minutes=1.5)

CONTEXT = "north"
# Replaces the manifest of a Buoyant Cloud account.
AGENT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: agent, namespace: buoyant-cloud}
---
apiVersion: v1
kind: Namespace
metadata: {name: buoyant-cloud}
"""
IDENTITY_SUFFIX = "serviceaccount.identity.linkerd.cluster.local"
OWN_IMAGE = "registry.example.com/samples/podinfo:1.0"


def build_config(agent: Path) -> dict[str, Any]:
    crds = toolchain.installed("charts") / "gateway-api/standard-install.yaml"
    return {
        "clusters": {CONTEXT: {"gateway": False}},
        "extensions": {
            "smi": True,
            "jaeger": True,
            "gatewayApi": {"manifest": str(crds)},
            "ingressNginx": {"values": {"controller": {"service": {"type": "NodePort"}}}},
        },
        "buoyantCloud": {CONTEXT: str(agent)},
        "workloads": [
            {
                "podinfo": {
                    "namespace": "one",
                    "policy": "server-authorization",
                    "profile": {"routes": [{"method": "GET", "pathRegex": "/slow/[^/]+", "timeout": "1m30s"}]},
                    "frontend": [CONTEXT],
                }
            },
            {
                "podinfo": {
                    "namespace": "two",
                    "policy": "authorization-policy",
                    "images": {"podinfo": OWN_IMAGE},
                    "splits": [{"cluster": CONTEXT, "weights": {CONTEXT: 7}, "form": "gateway-api"}],
                }
            },
            {
                "helloworld": {
                    "meshed": False,
                    "sleep": [CONTEXT],
                    "splits": [{"cluster": CONTEXT, "weights": {CONTEXT: 7}, "smiVersion": "v1alpha2"}],
                }
            },
            {"booksapp": {"profile": True, "faultInjection": {"percent": 10, "form": "gateway-api"}}},
            {"booksapp": {"namespace": "two", "faultInjection": {"form": "smi"}}},
            {
                "emojivoto": {
                    "policy": "server-authorization",
                    "policyClients": {"unauthenticatedTLS": True},
                    "defaultInboundPolicy": "deny",
                }
            },
            {
                "emojivoto": {
                    "namespace": "two",
                    "policy": "authorization-policy",
                    "policyClients": {"identities": [f"web.two.{IDENTITY_SUFFIX}", f"*.one.{IDENTITY_SUFFIX}"]},
                }
            },
        ],
    }


@pytest.fixture(scope="module")
def samples(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy the stack."""
    folder = tmp_path_factory.mktemp("samples")
    agent = folder / "agent.yaml"
    agent.write_text(AGENT)
    with deploy(lab, folder, "samples", build_config(agent)) as lab_stack:
        yield lab_stack


def test_all_checks_pass(samples: StackUnderTest) -> None:
    rows = samples.run_checks()

    assert [row for row in rows if not row.passed] == []
    assert {row.check for row in rows} == {"linkerd check", "linkerd jaeger check", "linkerd smi check"}


def test_api_server_accepts_every_object_strictly(samples: StackUnderTest) -> None:
    objects = list_custom_objects(samples)

    kinds = {(item["apiVersion"], item["kind"]) for item in objects}
    assert kinds == {
        ("split.smi-spec.io/v1alpha1", "TrafficSplit"),
        ("split.smi-spec.io/v1alpha2", "TrafficSplit"),
        ("gateway.networking.k8s.io/v1beta1", "HTTPRoute"),
        ("linkerd.io/v1alpha2", "ServiceProfile"),
        ("policy.linkerd.io/v1beta1", "Server"),
        ("policy.linkerd.io/v1beta1", "ServerAuthorization"),
        ("policy.linkerd.io/v1alpha1", "AuthorizationPolicy"),
        ("policy.linkerd.io/v1alpha1", "MeshTLSAuthentication"),
    }
    assert [error for error in (dry_run_error(samples, item) for item in objects) if error] == []


def test_policies_allow_clients_of_stack_file(samples: StackUnderTest) -> None:
    clients = {
        (item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]): item["spec"]
        for item in list_custom_objects(samples)
    }

    for backend in ("emoji", "voting"):
        any_tls = clients["ServerAuthorization", "emojivoto", f"{backend}-grpc"]["client"]
        assert any_tls == {"meshTLS": {"unauthenticatedTLS": True}}
        by_identity = clients["MeshTLSAuthentication", "two", f"{backend}-grpc"]
        assert by_identity == {"identities": [f"web.two.{IDENTITY_SUFFIX}", f"*.one.{IDENTITY_SUFFIX}"]}


def test_object_with_unknown_field_is_refused(samples: StackUnderTest) -> None:
    (profile, *_) = [item for item in list_custom_objects(samples) if item["kind"] == "ServiceProfile"]

    assert "not declared in schema" in dry_run_error(samples, {**profile, "spec": {**profile["spec"], "rotues": []}})


def test_api_server_accepts_routes_of_later_releases(samples: StackUnderTest) -> None:
    failover = FailoverConfig.model_validate({"cluster": CONTEXT, "backups": ["east"]})
    profile = config.Profile(form="gateway-api")
    specs = [
        (
            kind,
            "podinfo-failover",
            weighted_route_spec("podinfo", port, request_backends("podinfo", RequestDistribution(failover=failover))),
        )
        for kind, port in (("HTTPRoute", 9898), ("GRPCRoute", 9999))
    ]
    specs += [
        ("HTTPRoute", f"webapp-{each.name}", route_spec("webapp", 7000, each.rule))
        for each in http_routes(profile, booksapp.ROUTES)
    ]
    metadata = {"namespace": "two"}
    routes = [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": kind,
            "metadata": {**metadata, "name": name},
            "spec": spec,
        }
        for kind, name, spec in specs
    ]

    assert [
        error for error in (dry_run_error(samples, {**route, "context": CONTEXT}) for route in routes) if error
    ] == []
    invalid_route = json.loads(json.dumps(routes[0]).replace("1000000", "1000001"))
    assert "less than or equal to 1000000" in dry_run_error(samples, {**invalid_route, "context": CONTEXT})


def test_ingress_nginx_has_node_ports_by_its_values(samples: StackUnderTest) -> None:
    service = samples.get_object(CONTEXT, "service", "ingress-nginx-controller", "ingress-nginx")

    assert service["spec"]["type"] == "NodePort"


def test_external_manifest_is_applied_in_dependency_order(samples: StackUnderTest) -> None:
    assert samples.has_object(CONTEXT, "configmap", "agent", "buoyant-cloud")


def test_samples_are_ready_and_meshed_as_configured(samples: StackUnderTest) -> None:
    deployments = samples.list_objects(CONTEXT, "deployments", "--all-namespaces", "-l", "!linkerd.io/control-plane-ns")
    pods = {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}": item
        for item in deployments
        if item["metadata"]["namespace"] in ("one", "two", "default", "booksapp", "emojivoto")
    }
    inject = {
        name: item["spec"]["template"]["metadata"]["annotations"]["linkerd.io/inject"] for name, item in pods.items()
    }
    books = ("webapp", "authors", "books", "traffic", "error-injector")
    votes = ("web", "emoji", "voting", "vote-bot")
    assert inject == {
        **dict.fromkeys(("one/podinfo", "one/frontend", "two/podinfo"), "enabled"),
        **dict.fromkeys(("default/helloworld-v1", "default/sleep"), "disabled"),
        **{f"{namespace}/{name}": "enabled" for namespace in ("booksapp", "two") for name in books},
        **{f"{namespace}/{name}": "enabled" for namespace in ("emojivoto", "two") for name in votes},
    }
    assert all(item["status"]["readyReplicas"] == item["spec"]["replicas"] for item in pods.values())
    images = {
        name: [container["image"] for container in item["spec"]["template"]["spec"]["containers"]]
        for name, item in pods.items()
    }
    assert images["two/podinfo"] == [OWN_IMAGE]
    assert images["default/helloworld-v1"] == ["docker.io/istio/examples-helloworld-v1:1.0"]
    denied = pods["emojivoto/web"]["spec"]["template"]["metadata"]["annotations"]
    assert denied["config.linkerd.io/default-inbound-policy"] == "deny"


def test_shared_namespace_outlives_one_of_its_samples(samples: StackUnderTest) -> None:
    config = samples.config
    workloads = [entry for entry in config["workloads"] if entry != config["workloads"][-1]]
    uid = samples.get_object(CONTEXT, "namespace", "two")["metadata"]["uid"]

    samples.configure({**config, "workloads": workloads})
    samples.up()

    assert samples.get_object(CONTEXT, "namespace", "two")["metadata"]["uid"] == uid
    assert not samples.has_object(CONTEXT, "deployment", "web", "two")
    assert samples.has_object(CONTEXT, "deployment", "webapp", "two")
    samples.up("--expect-no-changes", "--refresh")


def test_destroy_leaves_only_default_namespace(samples: StackUnderTest) -> None:
    samples.destroy()

    remaining = list_all_objects(samples, CONTEXT).keys() - samples.objects_before[CONTEXT].keys()
    assert remaining == set(), "objects remain in `default`"
    assert samples.has_object(CONTEXT, "namespace", "default")
