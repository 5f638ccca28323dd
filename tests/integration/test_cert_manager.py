"""A mesh whose issuer cert-manager renews: its real CRDs, and a stand-in that signs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hack import toolchain
from hack.lab.state_dir import StateDir
from mesh.kube import client as kube_client
from mesh.kube.client import Access
from tests.helpers.fake_cert_manager import StandInSigner
from tests.helpers.lab_stack import Deployment, brought_up, comes_true, everything

pytestmark = pytest.mark.lab("east", minutes=1)

CONTEXT = "east"
STACK: dict[str, Any] = {
    "clusters": {"solo": {"context": CONTEXT}},
    # The older release, with what its charts have of their own.
    "linkerd": {
        "version": "2.13.5",
        "cni": True,
        "highAvailability": True,
        "registry": "registry.example.com",
        # Nothing answers webhooks in the lab.
        "values": {"linkerd-control-plane": {"webhookFailurePolicy": "Ignore"}},
    },
    # By its defaults Linkerd's checks would warn that the issuer ends soon.
    "trust": {"certManager": {"duration": 90 * 24, "renewBefore": 30 * 24}},
}


@pytest.fixture(scope="module")
def signer(lab: StateDir) -> Iterator[StandInSigner]:
    """A signer at work in a cluster with cert-manager's CRDs."""
    with StandInSigner(kube_client.api_client(Access(context=CONTEXT, kubeconfig=str(lab.kubeconfig)))) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def mesh(lab: StateDir, signer: StandInSigner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The stack, which is up."""
    folder = tmp_path_factory.mktemp("cert-manager")
    kubectl = partial(Deployment(lab, folder, "renewed", STACK).kubectl, CONTEXT)
    crds = ("-f", str(toolchain.installed("charts") / "cert-manager"))
    kubectl("apply", "--server-side", *crds)
    try:
        kubectl("wait", "--for=condition=Established", *crds)
        with brought_up(lab, folder, "renewed", STACK) as deployment:
            yield deployment
    finally:
        kubectl("delete", *crds)


def issuer(mesh: Deployment) -> dict[str, str]:
    """The Secret by which Linkerd signs identities."""
    found = json.loads(mesh.kubectl(CONTEXT, "-n", "linkerd", "get", "secret", "linkerd-identity-issuer", "-o", "json"))
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def test_every_check_of_the_table_passes(mesh: Deployment) -> None:
    rows = mesh.rows()

    assert [row for row in rows if not row.passed] == []
    assert [row.check for row in rows] == ["linkerd check"], "a single cluster has nobody to be linked to"


def test_the_issuer_is_cert_managers_and_signed_by_the_anchor_of_the_mesh(mesh: Deployment) -> None:
    resources = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    of_issuer = {found["type"].rsplit("/", 1)[-1] for found in resources if "issuer" in found["urn"].rsplit("::", 1)[1]}
    assert of_issuer == {"v1:Issuer", "v1:Certificate"}, "no key and no certificate of this program's own"
    roots = mesh.kubectl(CONTEXT, "-n", "linkerd", "get", "configmap", "linkerd-identity-trust-roots", "-o", "yaml")
    assert "".join(issuer(mesh)["ca.crt"].split()) in "".join(roots.split())


def test_the_older_releases_charts_take_the_same_settings(mesh: Deployment) -> None:
    workloads = mesh.objects(CONTEXT, "deployments,daemonsets", "--all-namespaces")
    pods = {workload["metadata"]["name"]: workload["spec"]["template"]["spec"] for workload in workloads}
    images = {name: [container["image"] for container in spec["containers"]] for name, spec in pods.items()}
    replicas = {workload["metadata"]["name"]: workload["spec"].get("replicas", 1) for workload in workloads}

    assert replicas == {
        **dict.fromkeys(["linkerd-destination", "linkerd-identity", "linkerd-proxy-injector"], 3),
        "linkerd-cni": 1,
    }
    assert all(image.startswith("registry.example.com/") for found in images.values() for image in found), images
    assert not any("linkerd-init" in str(spec.get("initContainers")) for spec in pods.values()), (
        "the CNI plugin does it"
    )


def test_a_renewal_is_no_change_and_all_is_well_after_it(mesh: Deployment, signer: StandInSigner) -> None:
    before = issuer(mesh)
    mesh.up("--expect-no-changes")

    assert signer.renew() == 1
    assert issuer(mesh)["tls.crt"] != before["tls.crt"]
    assert issuer(mesh)["ca.crt"] == before["ca.crt"]
    mesh.up("--expect-no-changes", "--refresh")
    assert [row for row in mesh.rows() if not row.passed] == []


def test_outputs_say_who_renews_the_issuer_and_no_key_is_in_clear(mesh: Deployment) -> None:
    with mesh.engine() as engine:
        outputs = engine.outputs()

    assert outputs["certificateExpiry"]["issuers"] == {"solo": "renewed by cert-manager"}
    keys = [
        base64.b64decode(secret["data"]["tls.key"]).decode()
        for secret in mesh.objects(CONTEXT, "secrets", "-n", "linkerd", "--field-selector=type=kubernetes.io/tls")
    ]
    lines = {line for key in keys for line in key.splitlines() if not line.startswith("-----")}
    assert len(keys) == 5, "the anchor's, the issuer's and three webhooks'"
    for place in (json.dumps(outputs), mesh.state, mesh.output.read_text()):
        assert [line for line in lines if line in place] == []


def test_destroy_leaves_the_crds_that_were_there_and_nothing_else(mesh: Deployment) -> None:
    assert any("certificates.cert-manager.io" in key for key in mesh.before[CONTEXT])

    mesh.destroy()

    comes_true(partial(mesh.is_as_before, CONTEXT))
    assert everything(mesh, CONTEXT) == mesh.before[CONTEXT]
