"""Preflight check of platform software that exists already: the remedy names the setting that uses it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.kube.ownership import helm_ownership_metadata
from mesh.preflight import Severity
from mesh.preflight.target import PlatformSoftware
from tests.helpers.fake_api_server import OWNER, FakeApiServer, healthy_server, only_finding, run_checks_against

METALLB = PlatformSoftware(
    name="MetalLB",
    namespace="metallb-system",
    release="metallb",
    crd_group="metallb.io",
    remedy="remove extensions.metallb",
)
INGRESS = PlatformSoftware(
    name="ingress-nginx",
    namespace="ingress-nginx",
    release="ingress-nginx",
    ingress_controller="k8s.io/ingress-nginx",
    ingress_class="public",
    remedy="set extensions.ingressNginx.install: false",
)
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"


def check_arguments(software: PlatformSoftware, *, adopt: bool = False) -> dict[str, Any]:
    return {"platform": (software,), "namespaces": (software.namespace,), "adopt": adopt}


def server_with_crd(**metadata: Any) -> FakeApiServer:
    server = healthy_server()
    server.objects[CRDS] = {"items": [{"metadata": {"name": "ipaddresspools.metallb.io", **metadata}}]}
    return server


def server_with_class(controller: str, **metadata: Any) -> FakeApiServer:
    server = healthy_server()
    ingress_class = {"metadata": {"name": "public", **metadata}, "spec": {"controller": controller}}
    server.objects[CLASSES] = {"items": [ingress_class]}
    return server


@pytest.mark.parametrize("adopt", [True, False])
@pytest.mark.parametrize("software", [METALLB, INGRESS], ids=lambda software: software.name)
def test_existing_namespace_is_never_offered_for_adoption(software: PlatformSoftware, adopt: bool) -> None:
    server = healthy_server()
    server.add_namespace(software.namespace)

    finding = only_finding(server, **check_arguments(software, adopt=adopt))

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        f"clusters.west: namespace {software.namespace}: {software.name} exists on the cluster already, and does not "
        f"belong to this stack; {software.remedy}"
    )


@pytest.mark.parametrize("adopt", [True, False])
def test_software_in_another_namespace_is_found(adopt: bool) -> None:
    metallb = only_finding(server_with_crd(), **check_arguments(METALLB, adopt=adopt))
    ingress = only_finding(server_with_class("k8s.io/ingress-nginx"), **check_arguments(INGRESS, adopt=adopt))

    assert (metallb.value, metallb.remedy) == (
        "CustomResourceDefinition ipaddresspools.metallb.io",
        "remove extensions.metallb",
    )
    assert (ingress.value, ingress.remedy) == ("IngressClass public", "set extensions.ingressNginx.install: false")


def test_ingress_class_of_another_controller_is_error() -> None:
    server = server_with_class("example.com/ingress")

    finding = only_finding(server, **check_arguments(INGRESS))

    assert (finding.value, finding.severity) == ("IngressClass public", Severity.ERROR)
    assert finding.remedy == "set extensions.viz.dashboard.ingressClass to another name"
    software = replace(INGRESS, ingress_class="mesh")
    assert run_checks_against(server, **check_arguments(software)) == []


def test_second_controller_next_to_own_one_is_no_finding() -> None:
    server = server_with_class("k8s.io/ingress-nginx")
    server.add_namespace("ingress-nginx", OWNER)

    assert run_checks_against(server, **check_arguments(INGRESS)) == []


def test_own_software_has_no_findings() -> None:
    metallb = server_with_crd(**helm_ownership_metadata("metallb", "metallb-system"))
    metallb.add_namespace("metallb-system", OWNER)
    ingress = server_with_class("k8s.io/ingress-nginx", **helm_ownership_metadata("ingress-nginx", "ingress-nginx"))

    assert run_checks_against(metallb, **check_arguments(METALLB)) == []
    assert run_checks_against(ingress, **check_arguments(INGRESS)) == []


def test_software_of_another_stack_is_reported_as_such() -> None:
    server = server_with_crd(**helm_ownership_metadata("metallb", "metallb-system"))
    server.add_namespace("metallb-system", "multicluster-mesh-other")

    assert "adopt: true" in only_finding(server, **check_arguments(METALLB)).remedy
