"""The shipped stacks, all at once on one lab of real API servers, judged by Linkerd's own checks."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.linkerd.htpasswd import apr1
from hack.lab.state_dir import StateDir
from hack.make.check import EXPECTED_WARNINGS
from mesh.paths import PROJECT_ROOT
from tests.helpers.custom_objects import made, refused
from tests.helpers.lab_stack import Deployment, at_once, brought_up, comes_true, everything
from tests.helpers.lab_stacks import SET_UPS, TWO_WAY, shipped
from tests.helpers.link_assertions import assert_as_printed

STACKS: dict[str, dict[str, Any]] = {"two-way": TWO_WAY, **{name: shipped(name) for name in SET_UPS}}
CLUSTERS = [value.get("context", name) for stack in STACKS.values() for name, value in stack["clusters"].items()]

pytestmark = pytest.mark.lab(*CLUSTERS, minutes=6)

SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJhbGciOi[\w-]{20,}\.")


def _stack_files() -> dict[str, str]:
    return {path.name: path.read_text() for path in PROJECT_ROOT.glob("Pulumi*.yaml")}


# As they were before any command ran.
STACK_FILES = _stack_files()


@pytest.fixture(scope="module")
def meshes(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Deployment]]:
    """All stacks, each of which is up."""
    with ExitStack() as up:
        stacks = {name: brought_up(lab, tmp_path_factory.mktemp(name), name, config) for name, config in STACKS.items()}
        # Each waits for its clusters most of the time.
        deployments = at_once(lambda name: up.enter_context(stacks[name]), STACKS)
        yield deployments
        at_once(lambda name: deployments[name].destroy(), [n for n, d in deployments.items() if d.has_resources])


@pytest.fixture(params=STACKS)
def mesh(request: pytest.FixtureRequest, meshes: dict[str, Deployment]) -> Deployment:
    """One of them."""
    return meshes[request.param]


@pytest.fixture(params=[name for name, config in STACKS.items() if len(config["clusters"]) > 1])
def linked(request: pytest.FixtureRequest, meshes: dict[str, Deployment]) -> Deployment:
    """One of them that has links."""
    return meshes[request.param]


def test_every_check_of_the_table_passes(meshes: dict[str, Deployment]) -> None:
    tables = at_once(lambda name: meshes[name].rows(), meshes)

    assert {name: [row for row in rows if not row.passed] for name, rows in tables.items()} == {
        name: [] for name in meshes
    }
    for name, mesh in meshes.items():
        assert len(tables[name]) >= len(mesh.stack.clusters) + 2 * len(mesh.pairs)


def test_linkerd_itself_says_that_all_is_well(meshes: dict[str, Deployment]) -> None:
    mesh = meshes["two-way"]
    for cluster in mesh.stack.clusters:
        assert_all_is_well(mesh, cluster.context, "check")


def test_linkerd_itself_says_that_all_links_are_well(linked: Deployment) -> None:
    for cluster in linked.stack.clusters:
        assert_all_is_well(linked, cluster.context, "multicluster", "check")


def assert_all_is_well(mesh: Deployment, context: str, *command: str) -> None:
    ended = mesh.run("linkerd", "--context", context, *command, "--wait=1s")

    assert ended.stdout.rstrip().splitlines()[-1] == "Status check results are √", ended.stdout
    warned = {line.removeprefix("‼ ") for line in ended.stdout.splitlines() if line.startswith("‼ ")}
    assert warned <= EXPECTED_WARNINGS
    assert "×" not in ended.stdout.replace("results are ×", "")


def test_every_gateway_is_alive_with_the_right_number_of_services(linked: Deployment) -> None:
    for cluster in linked.stack.clusters:
        wanted = {
            target: str(len(linked.exported(target))) for source, target in linked.pairs if source == cluster.name
        }
        if not wanted:
            continue
        printed = linked.run("linkerd", "--context", cluster.context, "multicluster", "gateways").stdout

        rows = [line.split() for line in printed.splitlines()[1:]]
        assert {row[0]: row[1:3] for row in rows} == {name: ["True", count] for name, count in wanted.items()}, printed


def test_a_mirrors_endpoint_is_the_targets_gateway(linked: Deployment) -> None:
    contexts = linked.contexts
    gateways = {name: data["loadBalancer"]["address"] for name, data in linked.lab.read_status()["clusters"].items()}
    seen = 0
    for source, target in linked.pairs:
        for namespace, service in linked.exported(target):
            (subset,) = linked.one(contexts[source], "endpoints", f"{service}-{target}", namespace)["subsets"]

            assert [each["ip"] for each in subset["addresses"]] == [linked.resolve(gateways[contexts[target]])]
            assert {port["port"] for port in subset["ports"]} == {4143}
            seen += 1
    assert seen, "nothing is exported"


def test_a_links_credentials_read_services_and_nothing_that_matters(linked: Deployment, tmp_path: Path) -> None:
    mesh, contexts = linked, linked.contexts
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


def test_a_link_is_made_of_the_objects_that_linkerds_own_cli_would_print(linked: Deployment) -> None:
    for source, target in linked.pairs:
        assert_as_printed(linked, source, target)


def test_a_second_up_changes_nothing_not_even_with_a_refresh(meshes: dict[str, Deployment]) -> None:
    at_once(lambda name: meshes[name].up("--expect-no-changes", "--refresh"), meshes)


def test_nothing_secret_is_printed_or_stored_in_clear(mesh: Deployment) -> None:
    with mesh.engine() as engine:
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
        base64.b64decode(value).decode(errors="replace")
        for secret in secrets
        for value in secret.get("data", {}).values()
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
    assert all("linkerd" in parts for parts in expiry["webhooks"].values())
    assert expiry["trustAnchor"] > max(expiry["issuers"].values())
    assert outputs["topology"].startswith("flowchart LR")


def test_openstack_nks_is_what_its_guide_shows(meshes: dict[str, Deployment]) -> None:
    mesh, private, public = meshes["openstack-nks"], "ctx-1", "ctx-2"
    service = mesh.one(public, "service", "helloworld")
    assert service["metadata"]["labels"] == {
        "app": "helloworld",
        "service": "helloworld",
        "mirror.linkerd.io/exported": "true",
    }
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [("http", 5000)]
    assert not mesh.one(private, "service", "linkerd-gateway", "linkerd-multicluster")["status"]["loadBalancer"]
    split = mesh.one(private, "trafficsplits.v1alpha1.split.smi-spec.io", "helloworld")["spec"]
    assert split == {
        "service": "helloworld",
        "backends": [
            {"service": "helloworld", "weight": 50},
            {"service": "helloworld-cluster2", "weight": 50},
        ],
    }
    assert mesh.exists(private, "service", "helloworld-cluster2")
    deployments = {
        context: sorted(item["metadata"]["name"] for item in mesh.objects(context, "deployments", "-n", "default"))
        for context in (private, public)
    }
    assert deployments == {private: ["helloworld-v1", "sleep"], public: ["helloworld-v2"]}
    assert mesh.exists(private, "namespace", "linkerd-smi") and not mesh.exists(public, "namespace", "linkerd-smi")


def test_a_dashboard_lets_in_who_has_the_password_of_the_outputs(meshes: dict[str, Deployment]) -> None:
    for mesh in (meshes["openstack-nks"], meshes["kpaas"]):
        with mesh.engine() as engine:
            assert engine.outputs()["dashboardPassword"] == "[secret]"
        show = ("pulumi", "stack", "output", "dashboardPassword", "--show-secrets", "--stack", mesh.name)
        password = mesh.run(*show).stdout.strip()
        assert len(password) >= 24
        for context in mesh.contexts.values():
            secret = mesh.one(context, "secret", "web-ingress-auth", "linkerd-viz")
            user, _, hashed = base64.b64decode(secret["data"]["auth"]).decode().strip().partition(":")
            assert user == "admin"
            assert apr1(password, hashed.split("$")[2]) == hashed
            ingress = mesh.one(context, "ingress", "web-ingress", "linkerd-viz")
            annotations = {key.rpartition("/")[2]: value for key, value in ingress["metadata"]["annotations"].items()}
            assert annotations["auth-secret"] == "web-ingress-auth"
            assert annotations["upstream-vhost"] == "$service_name.$namespace.svc.cluster.local:8084"
        assert password not in mesh.output.read_text() + mesh.state


def test_viz_and_jaeger_pass_all_checks_but_those_that_ask_their_pods(meshes: dict[str, Deployment]) -> None:
    asked = {
        extension: meshes["east-west"].run(
            "linkerd", "--context", "kind-west", extension, "check", "--wait=1s", check=False
        )
        for extension in ("viz", "jaeger")
    }

    failed = [line for line in asked["viz"].stdout.splitlines() if line.startswith("×")]
    assert failed == ["× viz extension self-check"]
    assert "√ tap API server has valid cert" in asked["viz"].stdout
    assert "√ tap API service is running" in asked["viz"].stdout
    assert asked["jaeger"].stdout.rstrip().endswith("Status check results are √")


def test_the_api_server_takes_every_object_by_the_letter(mesh: Deployment) -> None:
    assert [said for said in (refused(mesh, item) for item in made(mesh)) if said] == []


def test_a_split_moves_to_the_other_form_and_back_by_a_setting(meshes: dict[str, Deployment]) -> None:
    mesh = meshes["kpaas"]
    whole = mesh.config
    changed = copy.deepcopy(whole)
    changed["workloads"][0]["helloworld"]["splits"][0]["form"] = "gateway-api"
    mesh.configure(changed)

    split = "cluster2-default-helloworld-split"
    assert mesh.changes() == {f"TrafficSplit {split}": "delete", f"HTTPRoute {split}": "create"}
    mesh.up()

    route = mesh.one("kpaas-2", "httproutes.v1beta2.policy.linkerd.io", "helloworld")
    assert route["spec"]["parentRefs"] == [{"group": "core", "kind": "Service", "name": "helloworld", "port": 5000}]
    assert [(each["name"], each["weight"]) for each in route["spec"]["rules"][0]["backendRefs"]] == [
        ("helloworld-cluster1", 50),
        ("helloworld", 50),
    ]
    assert [said for said in (refused(mesh, item) for item in made(mesh)) if said] == []
    mesh.configure(whole)
    mesh.up()


def test_what_is_exported_no_longer_has_no_mirror_when_up_ends(meshes: dict[str, Deployment]) -> None:
    mesh = meshes["east-west"]
    whole = mesh.config
    assert mesh.exists("kind-west", "service", "podinfo-east", "test")
    changed = copy.deepcopy(whole)
    changed["workloads"][0]["podinfo"] |= {"exported": [], "splits": []}

    mesh.configure(changed)
    mesh.up()

    assert not mesh.exists("kind-west", "service", "podinfo-east", "test")
    assert mesh.exists("kind-east", "service", "podinfo", "test"), "the service itself stays"
    mesh.configure(whole)
    mesh.up()
    assert comes_true(lambda: mesh.exists("kind-west", "service", "podinfo-east", "test"))


def test_emojivoto_leaves_the_mesh_and_comes_back_by_a_switch(meshes: dict[str, Deployment]) -> None:
    mesh = meshes["emojivoto"]

    def injected() -> set[str]:
        found = mesh.objects("kind-demo", "deployments", "-n", "emojivoto")
        return {item["spec"]["template"]["metadata"]["annotations"]["linkerd.io/inject"] for item in found}

    assert injected() == {"enabled"}
    whole = mesh.config
    mesh.configure({**whole, "workloads": [{"emojivoto": {"meshed": False}}]})
    mesh.up()
    assert injected() == {"disabled"}
    mesh.configure(whole)
    mesh.up()
    assert injected() == {"enabled"}


def test_no_command_has_left_the_work_tree_dirty(mesh: Deployment) -> None:
    assert _stack_files() == STACK_FILES


def test_destroy_leaves_each_api_server_exactly_as_it_was(meshes: dict[str, Deployment]) -> None:
    at_once(lambda name: assert_destroy_leaves_nothing(meshes[name]), meshes)


def assert_destroy_leaves_nothing(mesh: Deployment) -> None:
    exported = ("-n", "default", "service", "coffee")
    contexts = mesh.contexts
    targets = {target: source for source, target in mesh.pairs[:1]}
    for target, source in targets.items():
        mesh.kubectl(contexts[target], "-n", "default", "create", "service", "clusterip", "coffee", "--tcp=80")
        mesh.kubectl(contexts[target], "label", *exported, "mirror.linkerd.io/exported=true")
        assert comes_true(lambda: mesh.exists(contexts[source], "service", f"coffee-{target}"))  # noqa: B023

    mesh.destroy()

    for target in targets:
        mesh.kubectl(contexts[target], "delete", *exported)
    for context in contexts.values():
        # The controllers of Kubernetes clear away after what is deleted.
        comes_true(partial(mesh.is_as_before, context))
        assert everything(mesh, context) == mesh.before[context]
    assert not SECRETS.search(mesh.output.read_text()), "in what destroy prints"
