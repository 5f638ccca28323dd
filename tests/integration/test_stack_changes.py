"""A mesh that is changed, disturbed and interrupted: what follows, and what is left alone."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import psutil
import pytest

from hack.lab.state_dir import StateDir
from tests.helpers.certificates import DAY, IssuedCertificate
from tests.helpers.lab_stack import LabStack, deploy, list_all_objects, wait_until
from tests.helpers.stack_configs import TWO_WAY

pytestmark = pytest.mark.lab("west", "east", minutes=4)


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """A mesh that is up, each cluster the source and the target of the other."""
    with deploy(lab, tmp_path_factory.mktemp("changes"), "changes", TWO_WAY) as lab_stack:
        yield lab_stack


def test_unavailable_gateway_fails_its_check(mesh: LabStack, monkeypatch: pytest.MonkeyPatch) -> None:
    target = next(cluster for cluster in mesh.stack.clusters if cluster.name == mesh.link_pairs[0][1])
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 10)
    scale = ("-n", "linkerd-multicluster", "scale", "deployment/linkerd-gateway")
    mesh.kubectl(target.context, *scale, "--replicas=0")
    try:
        # The mirrors find it out by their next probes.
        time.sleep(10)
        failed = {(row.subject, row.check): row.detail for row in mesh.run_checks() if not row.passed}
    finally:
        mesh.kubectl(target.context, *scale, "--replicas=1")

    assert f"{target.name} not alive" in failed[mesh.link_pairs[0][0], "gateways"]


def test_service_is_mirrored_while_it_has_the_label(mesh: LabStack) -> None:
    source, target = mesh.link_pairs[0]
    contexts = mesh.contexts
    service = ("-n", "default", "service", "tea")
    mesh.kubectl(contexts[target], "-n", "default", "create", "service", "clusterip", "tea", "--tcp=80")
    try:
        mesh.kubectl(contexts[target], "label", *service, "mirror.linkerd.io/exported=true")
        assert wait_until(lambda: mesh.has_object(contexts[source], "service", f"tea-{target}"))
        mesh.kubectl(contexts[target], "label", *service, "mirror.linkerd.io/exported-")
        assert wait_until(lambda: not mesh.has_object(contexts[source], "service", f"tea-{target}"))
    finally:
        mesh.kubectl(contexts[target], "delete", *service)


def test_up_recovers_from_kill_during_helm_install(mesh: LabStack) -> None:
    mesh.destroy()
    context = mesh.stack.clusters[0].context
    pending = ("secrets", "-n", "linkerd", "-l", "owner=helm,status=pending-install,name=linkerd-control-plane")
    with _suspend_controllers(mesh, context), mesh.interrupted_up():
        assert wait_until(lambda: bool(mesh.list_objects(context, *pending)), 60), "no release was ever pending"
    assert mesh.list_objects(context, *pending)

    mesh.up()

    assert "of release linkerd-control-plane, left by an interrupted update" in mesh.output.read_text()
    assert [row for row in mesh.run_checks() if not row.passed] == []
    mesh.up("--expect-no-changes")


@contextmanager
def _suspend_controllers(mesh: LabStack, context: str) -> Iterator[None]:
    """Hold a cluster's controllers, so that Helm waits for Deployments as long as this lasts."""
    processes = mesh.lab.read_status()["clusters"][context]["processes"]
    (controllers,) = (psutil.Process(found["pid"]) for found in processes if found["name"] == "kube-controller-manager")
    controllers.suspend()
    try:
        yield
    finally:
        controllers.resume()


def test_up_waits_for_deletion_of_terminating_crds(mesh: LabStack) -> None:
    context, crd = mesh.stack.clusters[0].context, "crd/serviceprofiles.linkerd.io"
    identity = ("get", crd, "-o", "jsonpath={.metadata.uid}")
    with ThreadPoolExecutor() as pool:
        # As by an API server that has forgotten it.
        with _hold_deletion(mesh, context, crd):
            mesh.destroy()
            deleted = mesh.kubectl(context, *identity)
            up = pool.submit(mesh.up)
            assert wait_until(lambda: "CRDs are gone: serviceprofiles.linkerd.io" in mesh.output.read_text())
        up.result()

    assert mesh.kubectl(context, *identity) != deleted
    assert [row for row in mesh.run_checks() if not row.passed] == []


@contextmanager
def _hold_deletion(mesh: LabStack, context: str, held: str) -> Iterator[None]:
    """Let an object that is deleted stay as long as this lasts."""

    def patch(finalizers: list[str]) -> None:
        said = json.dumps({"metadata": {"finalizers": finalizers}})
        mesh.kubectl(context, "patch", held, "--type=merge", "--patch", said)

    patch(["example.com/hold"])
    try:
        yield
    finally:
        patch([])


def test_release_missing_in_stack_state_is_taken_over(mesh: LabStack) -> None:
    state = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    name = f"{mesh.stack.clusters[0].name}-linkerd-control-plane"
    (lost,) = (resource["urn"] for resource in state if resource["urn"].endswith(f"Release::{name}"))
    mesh.run("pulumi", "state", "delete", "--yes", "--target-dependents", "--stack", mesh.name, lost)

    mesh.up()

    assert "deleted revision 1 of release linkerd-control-plane, left by" in mesh.output.read_text()
    assert [row for row in mesh.run_checks() if not row.passed] == []


def test_release_without_stored_revisions_is_updated(mesh: LabStack) -> None:
    whole, context = mesh.config, mesh.stack.clusters[0].context
    records = ("-n", "linkerd", "secrets", "-l", "owner=helm,name=linkerd-control-plane")
    mesh.kubectl(context, "delete", *records)

    values = {"linkerd-control-plane": {"controllerLogLevel": "debug"}}
    mesh.configure({**whole, "linkerd": {**whole["linkerd"], "values": values}})
    mesh.up()

    found = json.loads(mesh.kubectl(context, "get", *records, "-o", "json"))["items"]
    assert [record["metadata"]["labels"]["status"] for record in found][-1] == "deployed"
    assert [row for row in mesh.run_checks() if not row.passed] == []
    mesh.configure(whole)
    mesh.up()


def test_mesh_of_another_stack_is_left_unchanged(mesh: LabStack) -> None:
    context = mesh.stack.clusters[0].context
    records = ("secrets", "-n", "linkerd", "-l", "owner=helm,name=linkerd-control-plane")
    other = LabStack(mesh.lab, mesh.output.parent, f"{mesh.name}-other", {"clusters": mesh.config["clusters"]})
    before = [(record["metadata"]["uid"], record["data"]) for record in mesh.list_objects(context, *records)]

    printed = other.up_expecting_failure()

    assert f"clusters.{mesh.stack.clusters[0].name}" in printed
    assert "before anything was changed" in printed
    assert "adopt: true" in printed
    assert f"multicluster-mesh-{mesh.name}" in printed, "whose it is"
    assert [(record["metadata"]["uid"], record["data"]) for record in mesh.list_objects(context, *records)] == before


def test_changed_api_server_address_updates_credentials_and_restarts_mirror(
    mesh: LabStack,
) -> None:
    source, target = mesh.link_pairs[0]
    contexts = mesh.contexts
    whole = mesh.config
    address = mesh.lab.read_status()["clusters"][contexts[target]]["apiServer"].replace("127.0.0.1", "localhost")

    def credentials() -> tuple[str, str]:
        secret = ("-n", "linkerd-multicluster", "get", "secret", f"cluster-credentials-{target}", "-o", "json")
        found = json.loads(mesh.kubectl(contexts[source], *secret))
        return found["metadata"]["uid"], base64.b64decode(found["data"]["kubeconfig"]).decode()

    def pods() -> set[str]:
        selector = f"component=linkerd-service-mirror,mirror.linkerd.io/cluster-name={target}"
        found = mesh.list_objects(contexts[source], "pods", "--all-namespaces", "-l", selector)
        return {pod["metadata"]["name"] for pod in found}

    uid, _ = credentials()
    pods_before = pods()
    mesh.configure(
        {**whole, "clusters": {**whole["clusters"], target: {**whole["clusters"][target], "apiServer": address}}}
    )
    mesh.up()

    assert credentials()[0] == uid, "the Secret was replaced"
    assert address in credentials()[1]
    assert wait_until(lambda: not pods() & pods_before), "the mirror reads its credentials only when it starts"
    assert [row for row in mesh.run_checks() if not row.passed] == []
    mesh.configure(whole)
    mesh.up()


def test_removed_link_deletes_its_mirrors(mesh: LabStack) -> None:
    source, target = mesh.link_pairs[-1]
    context = next(cluster.context for cluster in mesh.stack.clusters if cluster.name == source)
    whole = mesh.config

    mesh.configure({**whole, "links": whole["links"][:-1]})
    mesh.up()

    of_target = f"mirror.linkerd.io/cluster-name={target}"
    for kind in ("services", "endpoints", "deployments", "clusterroles"):
        assert mesh.list_objects(context, kind, "--all-namespaces", "-l", of_target) == [], kind
    assert (
        mesh.list_objects(
            context, "links.multicluster.linkerd.io", "--all-namespaces", "--field-selector", f"metadata.name={target}"
        )
        == []
    )

    mesh.configure(whole)
    mesh.up()
    assert [row for row in mesh.run_checks() if not row.passed] == []


def test_mesh_with_lost_state_is_adopted_with_its_anchor(
    mesh: LabStack,
) -> None:
    before, issuers = mesh.objects_before, {}
    for cluster in mesh.stack.clusters:
        secret = json.loads(
            mesh.kubectl(cluster.context, "-n", "linkerd", "get", "secret", "linkerd-identity-issuer", "-o", "json")
        )
        issuers[cluster.name] = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    anchor = issuers["west"]["ca.crt"]
    mesh.run("pulumi", "stack", "rm", "--force", "--yes", "--preserve-config", "--stack", mesh.name)
    config = {
        **mesh.config,
        "clusters": {name: {"adopt": True} for name in issuers},
        "trust": {
            "anchor": {"certificate": anchor},
            "issuers": {name: {"certificate": issuer["tls.crt"]} for name, issuer in issuers.items()},
        },
    }
    keys = {f"trust.issuers.{name}.key": issuer["tls.key"] for name, issuer in issuers.items()}
    there = mesh.kubectl("west", "get", "namespace", "linkerd", "-o", "jsonpath={.metadata.uid}")
    adopting = LabStack(mesh.lab, mesh.output.parent, "adopting", config, keys)
    try:
        adopting.up()

        assert mesh.kubectl("west", "get", "namespace", "linkerd", "-o", "jsonpath={.metadata.uid}") == there
        assert [row for row in adopting.run_checks() if not row.passed] == []
        adopting.up("--expect-no-changes")
        now = datetime.now(UTC)
        other = IssuedCertificate(begin=now - DAY, end=now + 1000 * DAY)
        trust = {"anchor": {"certificate": other.pem}}
        adopting.configure({**config, "trust": trust}, {"trust.anchor.key": other.private_key})
        refused = " ".join(adopting.up_expecting_failure().split())
        assert all(f"the proxies of clusters.{name} trust another anchor" in refused for name in issuers)
    finally:
        adopting.destroy()
    for context, objects in before.items():
        wait_until(partial(mesh.is_restored, context))
        assert list_all_objects(mesh, context) == objects
