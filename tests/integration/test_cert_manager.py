"""A mesh whose issuer is renewed by cert-manager: real CRDs, and a fake that signs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hack import toolchain
from hack.lab.state_dir import StateDir
from mesh.kube.connection import Access, build_api_client
from tests.helpers.fake_cert_manager import FakeCertManager
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, wait_until

pytestmark = pytest.mark.lab("east", minutes=1)

CONTEXT = "east"
STACK: dict[str, Any] = {
    "clusters": {"solo": {"context": CONTEXT}},
    # The older release has different charts.
    "linkerd": {
        "version": "2.13.5",
        "cni": True,
        "highAvailability": True,
        "registry": "registry.example.com",
        # The lab has no webhook servers.
        "values": {"linkerd-control-plane": {"webhookFailurePolicy": "Ignore"}},
    },
    # With the default durations, `linkerd check` warns that the issuer expires soon.
    "trust": {"certManager": {"duration": 90 * 24, "renewBefore": 30 * 24}},
}


@pytest.fixture(scope="module")
def cert_manager(lab: StateDir) -> Iterator[FakeCertManager]:
    """Run a fake cert-manager for the cluster."""
    client = build_api_client(Access(context=CONTEXT, kubeconfig=str(lab.kubeconfig)))
    with FakeCertManager(client) as fake_cert_manager:
        yield fake_cert_manager


@pytest.fixture(scope="module")
def mesh(
    lab: StateDir, cert_manager: FakeCertManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackUnderTest]:
    """Deploy the stack in a cluster with the CRDs of cert-manager."""
    folder = tmp_path_factory.mktemp("cert-manager")
    kubectl = partial(StackUnderTest(lab, folder, "renewed", STACK).kubectl, CONTEXT)
    crds = ("-f", str(toolchain.installed("charts") / "cert-manager"))
    kubectl("apply", "--server-side", *crds)
    try:
        kubectl("wait", "--for=condition=Established", *crds)
        with deploy(lab, folder, "renewed", STACK) as lab_stack:
            yield lab_stack
    finally:
        kubectl("delete", *crds)


def read_issuer_secret(mesh: StackUnderTest) -> dict[str, str]:
    """Return the decoded Secret of the identity issuer."""
    secret = json.loads(
        mesh.kubectl(CONTEXT, "-n", "linkerd", "get", "secret", "linkerd-identity-issuer", "-o", "json")
    )
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def test_all_checks_pass(mesh: StackUnderTest) -> None:
    rows = mesh.run_checks()

    assert [row for row in rows if not row.passed] == []
    assert [row.check for row in rows] == ["linkerd check"], "a single cluster has no links"


def test_issuer_of_cert_manager_is_signed_by_anchor(mesh: StackUnderTest) -> None:
    resources = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    issuer_types = {
        resource["type"].rsplit("/", 1)[-1] for resource in resources if "issuer" in resource["urn"].rsplit("::", 1)[1]
    }
    assert issuer_types == {"v1:Issuer", "v1:Certificate"}, "the program creates neither key nor certificate"
    roots = mesh.kubectl(CONTEXT, "-n", "linkerd", "get", "configmap", "linkerd-identity-trust-roots", "-o", "yaml")
    assert "".join(read_issuer_secret(mesh)["ca.crt"].split()) in "".join(roots.split())


def test_charts_of_older_release_accept_same_settings(mesh: StackUnderTest) -> None:
    workloads = mesh.list_objects(CONTEXT, "deployments,daemonsets", "--all-namespaces")
    pods = {workload["metadata"]["name"]: workload["spec"]["template"]["spec"] for workload in workloads}
    images = {name: [container["image"] for container in spec["containers"]] for name, spec in pods.items()}
    replicas = {workload["metadata"]["name"]: workload["spec"].get("replicas", 1) for workload in workloads}

    assert replicas == {
        **dict.fromkeys(["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector"], 3),
        "linkerd-cni": 1,
    }
    assert all(image.startswith("registry.example.com/") for pod_images in images.values() for image in pod_images), (
        images
    )
    assert not any("linkerd-init" in str(spec.get("initContainers")) for spec in pods.values()), (
        "the CNI plugin replaces the init container"
    )


def test_renewal_is_no_change_and_checks_pass(mesh: StackUnderTest, cert_manager: FakeCertManager) -> None:
    before = read_issuer_secret(mesh)
    mesh.up("--expect-no-changes")

    assert cert_manager.renew() == 1
    assert read_issuer_secret(mesh)["tls.crt"] != before["tls.crt"]
    assert read_issuer_secret(mesh)["ca.crt"] == before["ca.crt"]
    mesh.up("--expect-no-changes", "--refresh")
    assert [row for row in mesh.run_checks() if not row.passed] == []


def test_outputs_report_issuer_renewal_without_keys_in_clear(mesh: StackUnderTest) -> None:
    with mesh.engine() as engine:
        outputs = engine.outputs()

    assert outputs["certificateExpiry"]["issuers"] == {"solo": "renewed by cert-manager"}
    keys = [
        base64.b64decode(secret["data"]["tls.key"]).decode()
        for secret in mesh.list_objects(CONTEXT, "secrets", "-n", "linkerd", "--field-selector=type=kubernetes.io/tls")
    ]
    lines = {line for key in keys for line in key.splitlines() if not line.startswith("-----")}
    assert len(keys) == 5, "one of the anchor, one of the issuer and three of webhooks"
    for text in (json.dumps(outputs), mesh.state, mesh.output.read_text()):
        assert [line for line in lines if line in text] == []


def test_destroy_leaves_only_preexisting_crds(mesh: StackUnderTest) -> None:
    assert any("certificates.cert-manager.io" in key for key in mesh.objects_before[CONTEXT])

    mesh.destroy()

    wait_until(partial(mesh.is_restored, CONTEXT))
    assert list_all_objects(mesh, CONTEXT) == mesh.objects_before[CONTEXT]
