"""Changes, faults and interrupted updates of a deployed mesh, and the credentials of its links."""

from __future__ import annotations

import base64
import copy
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.pki import Pki
from hack.lab.state_dir import StateDir
from mesh.helm import release_storage
from mesh.kube import client as kube_client
from mesh.kube import watch
from mesh.kube.connection import Access
from mesh.kube.watch import Collection
from tests.helpers.certificates import DAY, IssuedCertificate
from tests.helpers.documented_commands import LINK_CREDENTIALS, commands_of_test
from tests.helpers.page_runner import copy_project, run_in_project
from tests.helpers.stack_configs import TWO_WAY
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, wait_until
from tests.helpers.tls_front import serve_front, write_kubeconfig

pytestmark = pytest.mark.lab("west", "east", minutes=4)

CREDENTIAL_NAMESPACES = ("linkerd-multicluster", "linkerd")


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy a mesh with links in both directions."""
    with deploy(lab, tmp_path_factory.mktemp("changes"), "changes", TWO_WAY) as lab_stack:
        yield lab_stack


def test_unavailable_gateway_fails_its_check(mesh: StackUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    target = next(cluster for cluster in mesh.stack.clusters if cluster.name == mesh.link_pairs[0][1])
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 1)
    scale = ("-n", "linkerd-multicluster", "scale", "deployment/linkerd-gateway")
    mesh.kubectl(target.context, *scale, "--replicas=0")
    try:
        # The service mirrors notice it with their next probes.
        time.sleep(10)
        failed = {(row.subject, row.check): row.detail for row in mesh.run_checks() if not row.passed}
    finally:
        mesh.kubectl(target.context, *scale, "--replicas=1")

    assert f"{target.name} not alive" in failed[mesh.link_pairs[0][0], "gateways"]


def test_service_is_mirrored_while_it_has_the_label(mesh: StackUnderTest) -> None:
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


def test_up_waits_for_terminating_crds_and_recovers_from_kill(mesh: StackUnderTest) -> None:
    context, crd = mesh.stack.clusters[0].context, "crd/serviceprofiles.linkerd.io"
    identity = ("get", crd, "-o", "jsonpath={.metadata.uid}")
    selector = "owner=helm,status=pending-install,name=linkerd-control-plane"
    pending = ("secrets", "-n", "linkerd", "-l", selector)
    client = kube_client.connect(Access(context=context, kubeconfig=str(mesh.lab.kubeconfig)))
    revisions = Collection(path=release_storage.secrets_path("linkerd"), label_selector=selector)
    with ExitStack() as interrupted:
        # The finalizer has the same effect as an API server that delays the deletion.
        with _hold_deletion(mesh, context, crd):
            mesh.destroy()
            deleted_uid = mesh.kubectl(context, *identity)
            interrupted.enter_context(mesh.interrupted_up())
            assert wait_until(lambda: "CRDs are gone: serviceprofiles.linkerd.io" in mesh.output.read_text())
            assert not mesh.list_objects(context, *pending)
        # Helm needs less than half a second to create the objects of the release.
        assert watch.wait_until(client, revisions, bool, timeout_s=60), "no release was ever pending"
    assert mesh.list_objects(context, *pending)
    assert mesh.kubectl(context, *identity) != deleted_uid

    mesh.up()

    assert "of release linkerd-control-plane, left by an interrupted update" in mesh.output.read_text()
    assert [row for row in mesh.run_checks() if not row.passed] == []
    mesh.up("--expect-no-changes")


@contextmanager
def _hold_deletion(mesh: StackUnderTest, context: str, object_name: str) -> Iterator[None]:
    """Add a finalizer to an object, so that it stays in state Terminating until exit."""

    def patch(finalizers: list[str]) -> None:
        body = json.dumps({"metadata": {"finalizers": finalizers}})
        mesh.kubectl(context, "patch", object_name, "--type=merge", "--patch", body)

    patch(["example.com/hold"])
    try:
        yield
    finally:
        patch([])


def test_release_missing_in_stack_state_is_taken_over(mesh: StackUnderTest) -> None:
    state = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    name = f"{mesh.stack.clusters[0].name}-linkerd-control-plane"
    (release_urn,) = (resource["urn"] for resource in state if resource["urn"].endswith(f"Release::{name}"))
    mesh.run("pulumi", "state", "delete", "--yes", "--target-dependents", "--stack", mesh.name, release_urn)

    mesh.up()

    assert "deleted revision 1 of release linkerd-control-plane, left by" in mesh.output.read_text()
    assert [row for row in mesh.run_checks() if not row.passed] == []


def configure_api_server(mesh: StackUnderTest, api_server: Any) -> None:
    """Set `apiServer` of east; None: not set."""
    clusters = copy.deepcopy(TWO_WAY["clusters"])
    if api_server is not None:
        clusters["east"]["apiServer"] = api_server
    mesh.configure({**TWO_WAY, "clusters": clusters})


def read_secrets(mesh: StackUnderTest) -> list[tuple[str, str]]:
    """Return UID and kubeconfig of the Secrets of the link from west to east."""
    secrets = [
        mesh.get_object("west", "secret", "cluster-credentials-east", namespace) for namespace in CREDENTIAL_NAMESPACES
    ]
    return [(secret["metadata"]["uid"], base64.b64decode(secret["data"]["kubeconfig"]).decode()) for secret in secrets]


def read_cluster(mesh: StackUnderTest) -> dict[str, Any]:
    """Return the `cluster` in the credentials of the link from west to east."""
    contents = {kubeconfig for _, kubeconfig in read_secrets(mesh)}
    assert len(contents) == 1
    (entry,) = yaml.safe_load(contents.pop())["clusters"]
    return dict(entry["cluster"])


def read_authority(mesh: StackUnderTest, cluster: str) -> str:
    """Return the CA of a cluster's API server as PEM."""
    return Pki(folder=mesh.lab.cluster(cluster) / "pki").certificate("ca").read_text()


def list_mirror_pods(mesh: StackUnderTest) -> set[str]:
    """Return the names of the service mirror's pods of the link from west to east."""
    selector = "component=linkerd-service-mirror,mirror.linkerd.io/cluster-name=east"
    return {pod["metadata"]["name"] for pod in mesh.list_objects("west", "pods", "--all-namespaces", "-l", selector)}


def assert_passing(mesh: StackUnderTest) -> None:
    assert [row for row in mesh.run_checks() if not row.passed] == []
    assert mesh.preview_changes() == {}


def test_credentials_that_do_not_work_leave_old_ones(mesh: StackUnderTest, tmp_path: Path) -> None:
    before = read_secrets(mesh)
    west_url = mesh.lab.read_status()["clusters"]["west"]["apiServer"]
    with serve_front(mesh.lab, "east", tmp_path) as front:
        configure_api_server(mesh, front.url)
        other_authority = mesh.up_expecting_failure()
        other_cluster_config = {"url": west_url, "certificateAuthority": read_authority(mesh, "west")}
        configure_api_server(mesh, other_cluster_config)
        other_cluster = mesh.up_expecting_failure()

    subject = "the credentials of the link west-to-east do not work there"
    assert f'clusters.east.apiServer: "{front.url}": {subject}: ' in other_authority
    assert "set clusters.east.apiServer.certificateAuthority to the CA of this certificate" in other_authority
    assert f'clusters.east.apiServer: "{west_url}": {subject}: ' in other_cluster
    assert "HTTP 401" in other_cluster
    assert read_secrets(mesh) == before, "working credentials were replaced"
    token = yaml.safe_load(before[0][1])["users"][0]["user"]["token"]
    assert token not in other_authority + other_cluster
    configure_api_server(mesh, None)
    assert_passing(mesh)


def test_unreachable_address_is_warning(mesh: StackUnderTest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    before = len(mesh.output.read_text())

    configure_api_server(mesh, f"https://127.0.0.1:{port}")
    mesh.up()

    assert "were not tried from this machine: the connection failed" in mesh.output.read_text()[before:]


def test_kubeconfig_of_front_needs_address_of_cluster(mesh: StackUnderTest, tmp_path: Path) -> None:
    own_url = mesh.lab.read_status()["clusters"]["east"]["apiServer"]
    with serve_front(mesh.lab, "east", tmp_path, is_admin=True) as front:
        write_kubeconfig(mesh.lab, {"east": front}, tmp_path / "kubeconfig")
        mesh.environment["KUBECONFIG"] = str(tmp_path / "kubeconfig")
        configure_api_server(mesh, own_url)
        try:
            mesh.up()

            cluster = read_cluster(mesh)
            assert cluster["server"] == own_url
            assert base64.b64decode(cluster["certificate-authority-data"]).decode() == read_authority(mesh, "east")
            assert_passing(mesh)
        finally:
            mesh.environment["KUBECONFIG"] = str(mesh.lab.kubeconfig)


def test_credentials_of_front_carry_authority_and_restart_mirror(mesh: StackUnderTest, tmp_path: Path) -> None:
    name = "front.example.com"
    uids, pods = [uid for uid, _ in read_secrets(mesh)], list_mirror_pods(mesh)
    with serve_front(mesh.lab, "east", tmp_path, name=name) as front:
        authority = {"certificateAuthority": front.certificate_authority, "tlsServerName": name}
        configure_api_server(mesh, {"url": front.url, **authority})
        mesh.up()

        assert [uid for uid, _ in read_secrets(mesh)] == uids, "the Secrets were replaced"
        assert (read_cluster(mesh)["server"], read_cluster(mesh)["tls-server-name"]) == (front.url, name)
        assert wait_until(lambda: not list_mirror_pods(mesh) & pods), (
            "the service mirror was not restarted, but reads its credentials only at start"
        )
        assert_passing(mesh)
    # The next `up` of the stack resets the address.
    configure_api_server(mesh, None)


def test_documented_commands_replace_deleted_token(lab: StateDir, mesh: StackUnderTest, tmp_path: Path) -> None:
    clusters = copy.deepcopy(TWO_WAY["clusters"])
    clusters["east"]["linkerd"] = {"linkTokens": "2026-12"}
    mesh.configure({**TWO_WAY, "clusters": clusters})
    mesh.up()
    before = read_secrets(mesh)

    run_in_project(copy_project(tmp_path), lab, mesh, prod=mesh.name).run_all(commands_of_test(LINK_CREDENTIALS))

    assert [kubeconfig for _, kubeconfig in read_secrets(mesh)] != [kubeconfig for _, kubeconfig in before]


def test_release_without_stored_revisions_is_updated(mesh: StackUnderTest) -> None:
    config, context = mesh.config, mesh.stack.clusters[0].context
    release_secrets = ("-n", "linkerd", "secrets", "-l", "owner=helm,name=linkerd-control-plane")
    mesh.kubectl(context, "delete", *release_secrets)

    values = {"linkerd-control-plane": {"controllerLogLevel": "debug"}}
    mesh.configure({**config, "linkerd": {**config["linkerd"], "values": values}})
    mesh.up()

    revisions = json.loads(mesh.kubectl(context, "get", *release_secrets, "-o", "json"))["items"]
    assert [revision["metadata"]["labels"]["status"] for revision in revisions][-1] == "deployed"
    assert [row for row in mesh.run_checks() if not row.passed] == []
    # The next `up` of the stack resets the value.
    mesh.configure(config)


def test_mesh_of_another_stack_is_left_unchanged(mesh: StackUnderTest) -> None:
    context = mesh.stack.clusters[0].context
    release_secrets = ("secrets", "-n", "linkerd", "-l", "owner=helm,name=linkerd-control-plane")
    other = StackUnderTest(mesh.lab, mesh.output.parent, f"{mesh.name}-other", {"clusters": mesh.config["clusters"]})
    before = [
        (revision["metadata"]["uid"], revision["data"]) for revision in mesh.list_objects(context, *release_secrets)
    ]

    output = other.up_expecting_failure()

    assert f"clusters.{mesh.stack.clusters[0].name}" in output
    assert "before anything was changed" in output
    assert "adopt: true" in output
    assert f"multicluster-mesh-{mesh.name}" in output, "the owner is not reported"
    assert [
        (revision["metadata"]["uid"], revision["data"]) for revision in mesh.list_objects(context, *release_secrets)
    ] == before


def test_removed_link_deletes_its_mirrors(mesh: StackUnderTest) -> None:
    source, target = mesh.link_pairs[-1]
    context = next(cluster.context for cluster in mesh.stack.clusters if cluster.name == source)
    config = mesh.config

    mesh.configure({**config, "links": config["links"][:-1]})
    mesh.up()

    selector = f"mirror.linkerd.io/cluster-name={target}"
    for kind in ("services", "endpoints", "deployments", "clusterroles"):
        assert mesh.list_objects(context, kind, "--all-namespaces", "-l", selector) == [], kind
    assert (
        mesh.list_objects(
            context, "links.multicluster.linkerd.io", "--all-namespaces", "--field-selector", f"metadata.name={target}"
        )
        == []
    )

    mesh.configure(config)
    mesh.up()
    assert [row for row in mesh.run_checks() if not row.passed] == []


def test_mesh_with_lost_state_is_adopted_with_its_anchor(
    mesh: StackUnderTest,
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
    namespace_uid = mesh.kubectl("west", "get", "namespace", "linkerd", "-o", "jsonpath={.metadata.uid}")
    adopting_stack = StackUnderTest(mesh.lab, mesh.output.parent, "adopting", config, keys)
    try:
        adopting_stack.up()

        assert mesh.kubectl("west", "get", "namespace", "linkerd", "-o", "jsonpath={.metadata.uid}") == namespace_uid
        assert [row for row in adopting_stack.run_checks() if not row.passed] == []
        adopting_stack.up("--expect-no-changes")
        now = datetime.now(UTC)
        other_anchor = IssuedCertificate(begin=now - DAY, end=now + 1000 * DAY)
        trust = {"anchor": {"certificate": other_anchor.pem}}
        adopting_stack.configure({**config, "trust": trust}, {"trust.anchor.key": other_anchor.private_key})
        output = " ".join(adopting_stack.up_expecting_failure().split())
        assert all(f"the proxies of clusters.{name} trust another anchor" in output for name in issuers)
    finally:
        adopting_stack.destroy()
    for context, objects in before.items():
        wait_until(partial(mesh.is_restored, context))
        assert list_all_objects(mesh, context) == objects
