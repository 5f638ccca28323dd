"""The mesh on real API servers, judged by Linkerd's own checks: for both releases, one way and both ways."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dev.check import EXPECTED_WARNINGS
from lab.home import Home
from tests.checkout import CHECKOUT
from tests.deployment import Deployment, brought_up, comes_true, everything
from tests.printed import assert_as_printed
from tests.stacks import BOTH_BALANCED, ONE_WAY, TWO_WAY

pytestmark = pytest.mark.lab

SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJhbGciOi[\w-]{20,}\.")

STACKS: dict[str, dict[str, Any]] = {"two-way": TWO_WAY, "openstack-nks": ONE_WAY, "kpaas": BOTH_BALANCED}


def _stack_files() -> dict[str, str]:
    return {path.name: path.read_text() for path in CHECKOUT.glob("Pulumi*.yaml")}


# As they were before any command ran.
STACK_FILES = _stack_files()


@pytest.fixture(scope="module", params=STACKS)
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A mesh that is up."""
    lab: Home = request.getfixturevalue("balanced_lab" if request.param == "kpaas" else "lab")
    with brought_up(lab, tmp_path_factory.mktemp(request.param), request.param, STACKS[request.param]) as deployment:
        yield deployment


def test_every_check_of_the_table_passes(mesh: Deployment) -> None:
    rows = mesh.rows()

    assert [row for row in rows if not row.passed] == []
    assert len(rows) >= 2 * len(mesh.stack.clusters) + 2 * len(mesh.pairs)


@pytest.mark.parametrize("command", [("check",), ("multicluster", "check")], ids=" ".join)
def test_linkerd_itself_says_that_all_is_well(mesh: Deployment, command: tuple[str, ...]) -> None:
    for cluster in mesh.stack.clusters:
        ended = mesh.run("linkerd", "--context", cluster.context, *command, "--wait=1s")

        assert ended.stdout.rstrip().splitlines()[-1] == "Status check results are √", ended.stdout
        warned = {line.removeprefix("‼ ") for line in ended.stdout.splitlines() if line.startswith("‼ ")}
        assert warned <= EXPECTED_WARNINGS
        assert "×" not in ended.stdout.replace("results are ×", "")


def test_every_gateway_is_alive_with_the_right_number_of_services(mesh: Deployment) -> None:
    for cluster in mesh.stack.clusters:
        wanted = {target for source, target in mesh.pairs if source == cluster.name}
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
    for source, target in mesh.pairs:
        (subset,) = json.loads(
            mesh.kubectl(contexts[source], "-n", namespace, "get", "endpoints", f"podinfo-{target}", "-o", "json")
        )["subsets"]

        assert [address["ip"] for address in subset["addresses"]] == [mesh.resolve(gateways[contexts[target]])]
        assert {port["port"] for port in subset["ports"]} == {4143}


def test_a_links_credentials_read_services_and_nothing_that_matters(mesh: Deployment, tmp_path: Path) -> None:
    contexts = {cluster.name: cluster.context for cluster in mesh.stack.clusters}
    for source, target in mesh.pairs:
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
    for source, target in mesh.pairs:
        assert_as_printed(mesh, source, target)


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
    assert set(outputs["links"]) == {f"{source}-to-{target}" for source, target in mesh.pairs}
    assert all(link["gatewayAddress"] for link in outputs["links"].values())
    expiry = outputs["certificateExpiry"]
    assert set(expiry["issuers"]) == set(expiry["webhooks"]) == names
    assert expiry["trustAnchor"] > max(expiry["issuers"].values())
    assert outputs["topology"].startswith("flowchart LR")


def test_no_command_has_left_the_work_tree_dirty(mesh: Deployment) -> None:
    assert _stack_files() == STACK_FILES


def test_destroy_leaves_each_api_server_exactly_as_it_was(mesh: Deployment) -> None:
    target = next(cluster for cluster in mesh.stack.clusters if cluster.name == mesh.pairs[0][1])
    exported = ("-n", "default", "service", "coffee")
    mesh.kubectl(target.context, "-n", "default", "create", "service", "clusterip", "coffee", "--tcp=80")
    mesh.kubectl(target.context, "label", *exported, "mirror.linkerd.io/exported=true")
    source = next(cluster for cluster in mesh.stack.clusters if cluster.name == mesh.pairs[0][0])
    assert comes_true(lambda: mesh.exists(source.context, "service", f"coffee-{target.name}"))

    mesh.destroy()

    mesh.kubectl(target.context, "delete", *exported)
    for cluster in mesh.stack.clusters:
        # The controllers of Kubernetes clear away after what is deleted.
        comes_true(partial(mesh.is_as_before, cluster.context))
        assert everything(mesh, cluster.context) == mesh.before[cluster.context]
    assert not SECRETS.search(mesh.output.read_text()), "in what destroy prints"
