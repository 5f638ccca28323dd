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
from tests.helpers.certificate_authority import DAY, LocalAuthority
from tests.helpers.lab_stack import Deployment, brought_up, comes_true, everything
from tests.helpers.lab_stacks import TWO_WAY

pytestmark = pytest.mark.lab("west", "east", minutes=4)


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A mesh that is up, each cluster the source and the target of the other."""
    with brought_up(lab, tmp_path_factory.mktemp("changes"), "changes", TWO_WAY) as deployment:
        yield deployment


def test_the_table_shows_a_gateway_that_is_down(mesh: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    target = next(cluster for cluster in mesh.stack.clusters if cluster.name == mesh.pairs[0][1])
    monkeypatch.setattr("hack.make.check.PATIENCE", 10)
    scale = ("-n", "linkerd-multicluster", "scale", "deployment/linkerd-gateway")
    mesh.kubectl(target.context, *scale, "--replicas=0")
    try:
        # The mirrors find it out by their next probes.
        time.sleep(10)
        failed = {(row.subject, row.check): row.detail for row in mesh.rows() if not row.passed}
    finally:
        mesh.kubectl(target.context, *scale, "--replicas=1")

    assert f"{target.name} not alive" in failed[mesh.pairs[0][0], "gateways"]


def test_a_service_is_mirrored_as_long_as_it_carries_the_label(mesh: Deployment) -> None:
    source, target = mesh.pairs[0]
    contexts = mesh.contexts
    service = ("-n", "default", "service", "tea")
    mesh.kubectl(contexts[target], "-n", "default", "create", "service", "clusterip", "tea", "--tcp=80")
    try:
        mesh.kubectl(contexts[target], "label", *service, "mirror.linkerd.io/exported=true")
        assert comes_true(lambda: mesh.exists(contexts[source], "service", f"tea-{target}"))
        mesh.kubectl(contexts[target], "label", *service, "mirror.linkerd.io/exported-")
        assert comes_true(lambda: not mesh.exists(contexts[source], "service", f"tea-{target}"))
    finally:
        mesh.kubectl(contexts[target], "delete", *service)


def test_an_up_that_is_killed_while_helm_installs_is_caught_up_by_the_next(mesh: Deployment) -> None:
    mesh.destroy()
    context = mesh.stack.clusters[0].context
    pending = ("secrets", "-n", "linkerd", "-l", "owner=helm,status=pending-install,name=linkerd-control-plane")
    with _nothing_becomes_ready(mesh, context), mesh.killed_up():
        assert comes_true(lambda: bool(mesh.objects(context, *pending)), 60), "no release was ever pending"
    assert mesh.objects(context, *pending)

    mesh.up()

    assert "removed what an unfinished update left of release linkerd-control-plane" in mesh.output.read_text()
    assert [row for row in mesh.rows() if not row.passed] == []
    mesh.up("--expect-no-changes")


@contextmanager
def _nothing_becomes_ready(mesh: Deployment, context: str) -> Iterator[None]:
    """Hold a cluster's controllers, so that Helm waits for Deployments as long as this lasts."""
    processes = mesh.lab.read_status()["clusters"][context]["processes"]
    (controllers,) = (psutil.Process(found["pid"]) for found in processes if found["name"] == "kube-controller-manager")
    controllers.suspend()
    try:
        yield
    finally:
        controllers.resume()


def test_an_up_waits_until_the_crds_of_the_destroy_before_it_are_gone(mesh: Deployment) -> None:
    context, crd = mesh.stack.clusters[0].context, "crd/serviceprofiles.linkerd.io"
    identity = ("get", crd, "-o", "jsonpath={.metadata.uid}")
    with ThreadPoolExecutor() as pool:
        # As by an API server that has forgotten it.
        with _held(mesh, context, crd):
            mesh.destroy()
            deleted = mesh.kubectl(context, *identity)
            up = pool.submit(mesh.up)
            assert comes_true(lambda: "CRDs are gone: serviceprofiles.linkerd.io" in mesh.output.read_text())
        up.result()

    assert mesh.kubectl(context, *identity) != deleted
    assert [row for row in mesh.rows() if not row.passed] == []


@contextmanager
def _held(mesh: Deployment, context: str, held: str) -> Iterator[None]:
    """Let an object that is deleted stay as long as this lasts."""

    def patch(finalizers: list[str]) -> None:
        said = json.dumps({"metadata": {"finalizers": finalizers}})
        mesh.kubectl(context, "patch", held, "--type=merge", "--patch", said)

    patch(["example.com/hold"])
    try:
        yield
    finally:
        patch([])


def test_releases_that_a_killed_up_could_not_write_down_are_taken_over(mesh: Deployment) -> None:
    state = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    name = f"{mesh.stack.clusters[0].name}-linkerd-control-plane"
    (lost,) = (resource["urn"] for resource in state if resource["urn"].endswith(f"Release::{name}"))
    mesh.run("pulumi", "state", "delete", "--yes", "--target-dependents", "--stack", mesh.name, lost)

    mesh.up()

    assert "removed what an unfinished update left of release linkerd-control-plane (1)" in mesh.output.read_text()
    assert [row for row in mesh.rows() if not row.passed] == []


def test_a_release_whose_records_got_lost_is_updated(mesh: Deployment) -> None:
    whole, context = mesh.config, mesh.stack.clusters[0].context
    records = ("-n", "linkerd", "secrets", "-l", "owner=helm,name=linkerd-control-plane")
    mesh.kubectl(context, "delete", *records)

    values = {"linkerd-control-plane": {"controllerLogLevel": "debug"}}
    mesh.configure({**whole, "linkerd": {**whole["linkerd"], "values": values}})
    mesh.up()

    found = json.loads(mesh.kubectl(context, "get", *records, "-o", "json"))["items"]
    assert [record["metadata"]["labels"]["status"] for record in found][-1] == "deployed"
    assert [row for row in mesh.rows() if not row.passed] == []
    mesh.configure(whole)
    mesh.up()


def test_a_mesh_of_another_stack_is_left_alone(mesh: Deployment) -> None:
    context = mesh.stack.clusters[0].context
    records = ("secrets", "-n", "linkerd", "-l", "owner=helm,name=linkerd-control-plane")
    other = Deployment(mesh.lab, mesh.output.parent, f"{mesh.name}-other", {"clusters": mesh.config["clusters"]})
    before = [(record["metadata"]["uid"], record["data"]) for record in mesh.objects(context, *records)]

    printed = other.failing_up()

    assert f"clusters.{mesh.stack.clusters[0].name}" in printed
    assert "before anything was changed" in printed
    assert "adopt: true" in printed
    assert f"multicluster-mesh-{mesh.name}" in printed, "whose it is"
    assert [(record["metadata"]["uid"], record["data"]) for record in mesh.objects(context, *records)] == before


def test_another_api_server_address_reaches_the_credentials_in_place_and_the_mirror_takes_it_up(
    mesh: Deployment,
) -> None:
    source, target = mesh.pairs[0]
    contexts = mesh.contexts
    whole = mesh.config
    address = mesh.lab.read_status()["clusters"][contexts[target]]["apiServer"].replace("127.0.0.1", "localhost")

    def credentials() -> tuple[str, str]:
        secret = ("-n", "linkerd-multicluster", "get", "secret", f"cluster-credentials-{target}", "-o", "json")
        found = json.loads(mesh.kubectl(contexts[source], *secret))
        return found["metadata"]["uid"], base64.b64decode(found["data"]["kubeconfig"]).decode()

    def pods() -> set[str]:
        selector = f"component=linkerd-service-mirror,mirror.linkerd.io/cluster-name={target}"
        found = mesh.objects(contexts[source], "pods", "--all-namespaces", "-l", selector)
        return {pod["metadata"]["name"] for pod in found}

    uid, _ = credentials()
    pods_before = pods()
    mesh.configure(
        {**whole, "clusters": {**whole["clusters"], target: {**whole["clusters"][target], "apiServer": address}}}
    )
    mesh.up()

    assert credentials()[0] == uid, "the Secret was replaced"
    assert address in credentials()[1]
    assert comes_true(lambda: not pods() & pods_before), "the mirror reads its credentials only when it starts"
    assert [row for row in mesh.rows() if not row.passed] == []
    mesh.configure(whole)
    mesh.up()


def test_a_link_that_is_taken_out_takes_its_mirrors_with_it(mesh: Deployment) -> None:
    source, target = mesh.pairs[-1]
    context = next(cluster.context for cluster in mesh.stack.clusters if cluster.name == source)
    whole = mesh.config

    mesh.configure({**whole, "links": whole["links"][:-1]})
    mesh.up()

    of_target = f"mirror.linkerd.io/cluster-name={target}"
    for kind in ("services", "endpoints", "deployments", "clusterroles"):
        assert mesh.objects(context, kind, "--all-namespaces", "-l", of_target) == [], kind
    assert (
        mesh.objects(
            context, "links.multicluster.linkerd.io", "--all-namespaces", "--field-selector", f"metadata.name={target}"
        )
        == []
    )

    mesh.configure(whole)
    mesh.up()
    assert [row for row in mesh.rows() if not row.passed] == []


def test_a_mesh_whose_state_is_lost_is_adopted_by_another_stack_with_its_anchor_alone(
    mesh: Deployment,
) -> None:
    before, issuers = mesh.before, {}
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
    adopting = Deployment(mesh.lab, mesh.output.parent, "adopting", config, keys)
    try:
        adopting.up()

        assert mesh.kubectl("west", "get", "namespace", "linkerd", "-o", "jsonpath={.metadata.uid}") == there
        assert [row for row in adopting.rows() if not row.passed] == []
        adopting.up("--expect-no-changes")
        now = datetime.now(UTC)
        other = LocalAuthority(begin=now - DAY, end=now + 1000 * DAY)
        trust = {"anchor": {"certificate": other.pem}}
        adopting.configure({**config, "trust": trust}, {"trust.anchor.key": other.private})
        refused = " ".join(adopting.failing_up().split())
        assert all(f"the proxies of clusters.{name} trust another anchor" in refused for name in issuers)
    finally:
        adopting.destroy()
    for context, objects in before.items():
        comes_true(partial(mesh.is_as_before, context))
        assert everything(mesh, context) == objects
