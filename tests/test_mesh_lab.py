"""The mesh on real API servers, judged by Linkerd's own checks: for both releases, one way and both ways."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from dev.check import EXPECTED_WARNINGS
from dev.engine import PulumiFailed
from lab.home import Home
from tests.deployment import Deployment, comes_true, everything
from tests.stacks import STACKS

pytestmark = pytest.mark.lab

CHECKOUT = Path(__file__).parents[1]
SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJhbGciOi[\w-]{20,}\.")

Before = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=STACKS)
def mesh(request: pytest.FixtureRequest, lab: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A mesh that is up; what was there before is in its `before`."""
    name = request.param
    deployment = Deployment(lab, tmp_path_factory.mktemp(name), name, STACKS[name])
    before: Before = {cluster.context: everything(deployment, cluster.context) for cluster in deployment.stack.clusters}
    request.module.before = before
    with deployment.engine() as engine:
        engine.preview()
        engine.up()
    yield deployment
    if '"resources"' in _state(deployment):
        deployment.destroy()


before: Before = {}


def _state(mesh: Deployment) -> str:
    try:
        return mesh.state
    except FileNotFoundError:
        return ""


def test_every_check_of_the_table_passes(mesh: Deployment) -> None:
    rows = mesh.rows()

    assert [row for row in rows if not row.passed] == []
    assert len(rows) >= 2 * len(mesh.stack.clusters) + 2 * len(mesh.stack.links)


@pytest.mark.parametrize("command", [("check",), ("multicluster", "check")], ids=" ".join)
def test_linkerd_itself_says_that_all_is_well(mesh: Deployment, command: tuple[str, ...]) -> None:
    for cluster in mesh.stack.clusters:
        ended = mesh.run("linkerd", "--context", cluster.context, *command, "--wait=5s")

        assert ended.stdout.rstrip().splitlines()[-1] == "Status check results are √", ended.stdout
        warned = {line.removeprefix("‼ ") for line in ended.stdout.splitlines() if line.startswith("‼ ")}
        assert warned <= EXPECTED_WARNINGS
        assert "×" not in ended.stdout.replace("results are ×", "")


def test_every_gateway_is_alive_with_the_right_number_of_services(mesh: Deployment) -> None:
    for cluster in mesh.stack.clusters:
        wanted = {target for source, target in mesh.stack.links if source == cluster.name}
        if not wanted:
            continue
        printed = mesh.run("linkerd", "--context", cluster.context, "multicluster", "gateways").stdout

        rows = [line.split() for line in printed.splitlines()[1:]]
        assert {row[0] for row in rows} == wanted, printed
        assert all(row[1:3] == ["True", "1"] for row in rows), printed


def test_a_mirrors_endpoint_is_the_targets_gateway(mesh: Deployment) -> None:
    sample = mesh.config["workloads"][0]["podinfo"]
    namespace = sample.get("namespace", "test")
    contexts = {cluster.name: cluster.context for cluster in mesh.stack.clusters}
    gateways = {name: data["loadBalancer"]["address"] for name, data in mesh.lab.read_status()["clusters"].items()}
    for source, target in mesh.stack.links:
        (subset,) = json.loads(
            mesh.kubectl(contexts[source], "-n", namespace, "get", "endpoints", f"podinfo-{target}", "-o", "json")
        )["subsets"]

        assert [address["ip"] for address in subset["addresses"]] == [mesh.resolve(gateways[contexts[target]])]
        assert {port["port"] for port in subset["ports"]} == {4143}


def test_the_table_shows_a_gateway_that_is_down(mesh: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    target = next(cluster for cluster in mesh.stack.clusters if cluster.name == mesh.stack.links[0][1])
    monkeypatch.setattr("dev.check.PATIENCE", 10)
    scale = ("-n", "linkerd-multicluster", "scale", "deployment/linkerd-gateway")
    mesh.kubectl(target.context, *scale, "--replicas=0")
    try:
        # The mirrors find it out by their next probes.
        time.sleep(10)
        failed = {(row.subject, row.check): row.detail for row in mesh.rows() if not row.passed}
    finally:
        mesh.kubectl(target.context, *scale, "--replicas=1")

    assert f"{target.name} not alive" in failed[mesh.stack.links[0][0], "gateways"]


def test_a_links_credentials_read_services_and_nothing_that_matters(mesh: Deployment, tmp_path: Path) -> None:
    contexts = {cluster.name: cluster.context for cluster in mesh.stack.clusters}
    for source, target in mesh.stack.links:
        encoded = mesh.kubectl(
            *(contexts[source], "-n", "linkerd-multicluster", "get", "secret", f"cluster-credentials-{target}"),
            "-o=jsonpath={.data.kubeconfig}",
        )
        (tmp_path / "credentials").write_bytes(base64.b64decode(encoded))

        def may(verb: str, resource: str) -> bool:
            allowed = ("auth", "can-i", verb, resource, "--all-namespaces")
            return (
                mesh.run("kubectl", "--kubeconfig", str(tmp_path / "credentials"), *allowed, check=False).returncode
                == 0
            )

        assert may("list", "services")
        for verb, resource in (("get", "secrets"), ("list", "configmaps"), ("create", "pods"), ("delete", "services")):
            assert not may(verb, resource), f"{source}'s credentials may {verb} {resource} in {target}"


def test_a_link_is_made_of_the_objects_that_linkerds_own_cli_would_print(mesh: Deployment) -> None:
    contexts = {cluster.name: cluster.context for cluster in mesh.stack.clusters}
    for source, target in mesh.stack.links:
        printed = mesh.run("linkerd", "--context", contexts[target], "multicluster", "link", "--cluster-name", target)
        for theirs in filter(None, yaml.safe_load_all(printed.stdout)):
            kind, metadata = theirs["kind"], theirs["metadata"]
            ours = json.loads(
                mesh.kubectl(
                    *(contexts[source], "-n", metadata.get("namespace", "default")),
                    *("get", kind, metadata["name"], "-o", "json"),
                )
            )
            for field in ("type", "rules", "roleRef", "subjects"):
                assert ours.get(field) == theirs.get(field), f"{kind} {metadata['name']}"
            for name, value in (metadata.get("labels") or {}).items():
                assert ours["metadata"]["labels"][name] == value, f"{kind} {metadata['name']}"
            if kind == "Link":
                assert ours["spec"] == theirs["spec"]
            if kind == "Deployment":
                _assert_alike(ours["spec"]["template"], theirs["spec"]["template"])
                assert ours["spec"]["selector"] == theirs["spec"]["selector"]
            if kind == "Secret":
                assert _authority_and_server(ours) == _authority_and_server(theirs)


def _assert_alike(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    (our, their) = (template["spec"]["containers"][0] for template in (ours, theirs))
    assert our["image"] == their["image"]
    assert our["ports"][0]["containerPort"] == their["ports"][0]["containerPort"]
    # The format of the log is a flag that only the newer release has, set to its default.
    assert our["args"] == [argument for argument in their["args"] if not argument.startswith("-log-format")]
    assert set(theirs["metadata"]["labels"].items()) <= set(ours["metadata"]["labels"].items())
    assert set(theirs["metadata"]["annotations"].items()) <= set(ours["metadata"]["annotations"].items())


def _authority_and_server(secret: dict[str, Any]) -> dict[str, str]:
    content = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    found = content["clusters"][0]["cluster"]
    return {key: found[key] for key in ("certificate-authority-data", "server")}


def test_a_service_is_mirrored_as_long_as_it_carries_the_label(mesh: Deployment) -> None:
    source, target = mesh.stack.links[0]
    contexts = {cluster.name: cluster.context for cluster in mesh.stack.clusters}
    service = ("-n", "default", "service", "tea")
    mesh.kubectl(contexts[target], "-n", "default", "create", "service", "clusterip", "tea", "--tcp=80")
    try:
        mesh.kubectl(contexts[target], "label", *service, "mirror.linkerd.io/exported=true")
        assert comes_true(lambda: _exists(mesh, contexts[source], f"tea-{target}"))
        mesh.kubectl(contexts[target], "label", *service, "mirror.linkerd.io/exported-")
        assert comes_true(lambda: not _exists(mesh, contexts[source], f"tea-{target}"))
    finally:
        mesh.kubectl(contexts[target], "delete", *service)


def _exists(mesh: Deployment, context: str, service: str) -> bool:
    return bool(mesh.kubectl(context, "-n", "default", "get", "service", service, "--ignore-not-found", "-o", "name"))


def test_a_second_up_changes_nothing_not_even_with_a_refresh(mesh: Deployment) -> None:
    mesh.up("--expect-no-changes")
    mesh.up("--expect-no-changes", "--refresh")


def test_nothing_secret_is_printed_or_stored_in_clear(mesh: Deployment) -> None:
    with mesh.engine() as engine:
        engine.preview()
        outputs = json.dumps(engine.outputs())

    assert not SECRETS.search(mesh.output.read_text()), "in what preview and up print"
    assert not SECRETS.search(outputs), "in the stack's outputs"
    assert not SECRETS.search(mesh.state), "in the state file"
    for cluster in mesh.stack.clusters:
        for record in mesh.objects(cluster.context, "secrets", "--all-namespaces", "-l", "owner=helm"):
            encoded = base64.b64decode(base64.b64decode(record["data"]["release"]))
            assert not SECRETS.search(gzip.decompress(encoded).decode()), record["metadata"]["name"]


def test_the_search_for_secrets_finds_what_it_looks_for(mesh: Deployment) -> None:
    cluster = mesh.stack.clusters[0]
    secrets = mesh.objects(cluster.context, "secrets", "--all-namespaces")
    values = [
        base64.b64decode(value).decode(errors="replace") for secret in secrets for value in secret["data"].values()
    ]

    assert sum(bool(SECRETS.search(value)) for value in values) >= 4, "an issuer's key, webhook keys, a token"


def test_outputs_say_what_is_installed_how_links_go_and_when_certificates_expire(mesh: Deployment) -> None:
    with mesh.engine() as engine:
        outputs = engine.outputs()

    names = {cluster.name for cluster in mesh.stack.clusters}
    assert {cluster["linkerd"] for cluster in outputs["clusters"].values()} == {f"stable-{mesh.stack.release}"}
    assert set(outputs["links"]) == {f"{source}-to-{target}" for source, target in mesh.stack.links}
    assert all(link["gatewayAddress"] for link in outputs["links"].values())
    expiry = outputs["certificateExpiry"]
    assert set(expiry["issuers"]) == set(expiry["webhooks"]) == names
    assert expiry["trustAnchor"] > max(expiry["issuers"].values())
    assert outputs["topology"].startswith("flowchart LR")


def test_no_command_has_left_the_work_tree_dirty(mesh: Deployment) -> None:
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "Pulumi.yaml", "Pulumi.*.yaml"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert changed == ""


def test_an_up_that_is_killed_while_helm_installs_is_caught_up_by_the_next(mesh: Deployment) -> None:
    mesh.destroy()
    context = mesh.stack.clusters[0].context
    pending = ("secrets", "-n", "linkerd", "-l", "owner=helm,status=pending-install,name=linkerd-control-plane")
    with _nothing_becomes_ready(mesh, context), mesh.engine() as engine:
        killed = subprocess.Popen(
            ["pulumi", *engine.up_command()],
            cwd=CHECKOUT,
            env=mesh.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert comes_true(lambda: bool(mesh.objects(context, *pending)), 60), "no release was ever pending"
        finally:
            # The providers too, each of which is in a process group of its own and would end its work.
            for process in psutil.Process(killed.pid).children(recursive=True):
                process.kill()
            killed.kill()
            killed.wait()
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


def test_releases_that_a_killed_up_could_not_write_down_are_taken_over(mesh: Deployment) -> None:
    state = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    name = f"{mesh.stack.clusters[0].name}-linkerd-control-plane"
    (lost,) = (resource["urn"] for resource in state if resource["urn"].endswith(f"Release::{name}"))
    mesh.run("pulumi", "state", "delete", "--yes", "--target-dependents", "--stack", mesh.name, lost)

    mesh.up()

    assert "removed what an unfinished update left of release linkerd-control-plane (1)" in mesh.output.read_text()
    assert [row for row in mesh.rows() if not row.passed] == []


def test_a_mesh_of_another_stack_is_left_alone(mesh: Deployment) -> None:
    context = mesh.stack.clusters[0].context
    records = ("secrets", "-n", "linkerd", "-l", "owner=helm,name=linkerd-control-plane")
    other = Deployment(mesh.lab, mesh.output.parent, f"{mesh.name}-other", {"clusters": mesh.config["clusters"]})
    before = [(record["metadata"]["uid"], record["data"]) for record in mesh.objects(context, *records)]

    with pytest.raises(PulumiFailed):
        other.up()

    assert "Server-Side Apply field conflict" in other.output.read_text(), "its namespaces are another stack's"
    assert [(record["metadata"]["uid"], record["data"]) for record in mesh.objects(context, *records)] == before


def test_another_api_server_address_reaches_the_credentials_in_place_and_the_mirror_takes_it_up(
    mesh: Deployment,
) -> None:
    source, target = mesh.stack.links[0]
    contexts = {cluster.name: cluster.context for cluster in mesh.stack.clusters}
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
    source, target = mesh.stack.links[-1]
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


def test_destroy_leaves_each_api_server_exactly_as_it_was(mesh: Deployment) -> None:
    target = next(cluster for cluster in mesh.stack.clusters if cluster.name == mesh.stack.links[0][1])
    exported = ("-n", "default", "service", "coffee")
    mesh.kubectl(target.context, "-n", "default", "create", "service", "clusterip", "coffee", "--tcp=80")
    mesh.kubectl(target.context, "label", *exported, "mirror.linkerd.io/exported=true")
    source = next(cluster for cluster in mesh.stack.clusters if cluster.name == mesh.stack.links[0][0])
    assert comes_true(lambda: _exists(mesh, source.context, f"coffee-{target.name}"))

    mesh.destroy()

    mesh.kubectl(target.context, "delete", *exported)
    for cluster in mesh.stack.clusters:
        # The controllers of Kubernetes clear away after what is deleted.
        comes_true(partial(_same_objects, mesh, cluster.context))
        assert everything(mesh, cluster.context) == before[cluster.context]
    assert not SECRETS.search(mesh.output.read_text()), "in what destroy prints"


def _same_objects(mesh: Deployment, context: str) -> bool:
    return everything(mesh, context).keys() == before[context].keys()
