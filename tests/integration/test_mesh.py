"""The shipped stacks, deployed concurrently on one lab and verified by Linkerd's own checks."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.linkerd.htpasswd import apr1_hash
from hack.lab.state_dir import StateDir
from hack.make.check import EXPECTED_WARNINGS, EXPECTED_WARNINGS_WITHOUT_PROXIES, LINKERD_WAIT_OPTION
from mesh.paths import PROJECT_ROOT
from tests.helpers.custom_objects import dry_run_error, list_custom_objects
from tests.helpers.documented_commands import commands_of_test, list_commands, simple_commands
from tests.helpers.link_assertions import assert_matches_linkerd_cli
from tests.helpers.page_runner import PageRunner, copy_project, run_in_project, stop_lab
from tests.helpers.stack_configs import SHIPPED_SETUPS, TWO_WAY, shipped_config
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, run_for_each, wait_until

STACKS: dict[str, dict[str, Any]] = {"dev": TWO_WAY, **{name: shipped_config(name) for name in SHIPPED_SETUPS}}
# The contexts of kpaas are those of openstack-nks, which runs on the same lab.
for number, settings in enumerate(STACKS["kpaas"]["clusters"].values(), 1):
    settings["context"] = f"kpaas-{number}"
CLUSTERS = [value.get("context", name) for stack in STACKS.values() for name, value in stack["clusters"].items()]

pytestmark = pytest.mark.lab(*CLUSTERS, minutes=6)

# The parts of a platform that kpaas uses. ingress-nginx has node ports there.
PLATFORM = """\
apiVersion: v1
kind: Namespace
metadata: { name: metallb-system }
---
apiVersion: v1
kind: Namespace
metadata: { name: ingress-nginx }
---
apiVersion: v1
kind: Service
metadata: { name: ingress-nginx-controller, namespace: ingress-nginx }
spec: { type: NodePort, ports: [{ name: http, port: 80 }] }
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: nginx }
spec: { controller: k8s.io/ingress-nginx }
"""

PLATFORM_NAMESPACES = ("metallb-system", "ingress-nginx")

SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJhbGciOi[\w-]{20,}\.")


def _read_stack_files() -> dict[str, str]:
    return {path.name: path.read_text() for path in PROJECT_ROOT.glob("Pulumi*.yaml")}


# Content before the first command.
STACK_FILES = _read_stack_files()


def install_platform(lab: StateDir, folder: Path) -> None:
    """Create the objects of a platform in the clusters of kpaas."""
    platform = StackUnderTest(lab, folder, "kpaas", STACKS["kpaas"])
    (folder / "platform.yaml").write_text(PLATFORM)
    for context in platform.contexts.values():
        platform.kubectl(context, "apply", "-f", str(folder / "platform.yaml"))
        for namespace in PLATFORM_NAMESPACES:
            # Kubernetes creates these objects in each namespace, asynchronously.
            for kind, name in (("configmap", "kube-root-ca.crt"), ("serviceaccount", "default")):
                assert wait_until(partial(platform.has_object, context, kind, name, namespace))


@pytest.fixture(scope="module")
def meshes(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StackUnderTest]]:
    """Deploy all stacks, kpaas on clusters of a platform."""
    install_platform(lab, tmp_path_factory.mktemp("platform"))
    with ExitStack() as stack:
        stacks = {name: deploy(lab, tmp_path_factory.mktemp(name), name, config) for name, config in STACKS.items()}
        # A deployment mostly waits for its clusters.
        deployments = run_for_each(lambda name: stack.enter_context(stacks[name]), STACKS)
        yield deployments
        run_for_each(lambda name: deployments[name].destroy(), [n for n, d in deployments.items() if d.has_resources])


@pytest.fixture(params=STACKS)
def mesh(request: pytest.FixtureRequest, meshes: dict[str, StackUnderTest]) -> StackUnderTest:
    """Return one stack."""
    return meshes[request.param]


@pytest.fixture(params=[name for name, config in STACKS.items() if len(config["clusters"]) > 1])
def linked_mesh(request: pytest.FixtureRequest, meshes: dict[str, StackUnderTest]) -> StackUnderTest:
    """Return one stack with links."""
    return meshes[request.param]


@pytest.fixture(scope="module")
def page_runners(
    lab: StateDir, meshes: dict[str, StackUnderTest], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, PageRunner]:
    """Return a runner for the documented commands of each stack."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    # A page names its reader's own stack `prod`.
    return {name: run_in_project(project, lab, mesh, prod="dev") for name, mesh in meshes.items()}


def test_documented_commands_succeed_and_change_nothing(
    meshes: dict[str, StackUnderTest], page_runners: dict[str, PageRunner]
) -> None:
    def read_stack_files() -> dict[str, str]:
        # A page sets the password of kpaas.
        files = page_runners["dev"].folder.glob("Pulumi.*.yaml")
        return {file.name: file.read_text() for file in files if file.name != "Pulumi.kpaas.yaml"}

    def run(name: str) -> str:
        table = ""
        for command in commands_of_test(name):
            if command.is_teardown or command.requires_empty_cluster:
                continue
            if re.fullmatch(r"pulumi up -s \S+( --refresh)?", command.text):
                refresh = "" if command.text.endswith("--refresh") else " --refresh"
                command = replace(command, text=f"{command.text} --expect-no-changes{refresh}")
            output = page_runners[name].run(command)
            table = output if command.text.startswith("make up") else table
        return table

    before = read_stack_files()
    tables = run_for_each(run, page_runners)

    assert read_stack_files() == before
    for name, mesh in meshes.items():
        # `make up` fails if a check fails.
        assert tables[name].count("  √  ") >= len(mesh.stack.clusters) + 2 * len(mesh.link_pairs)
    # A page stops and starts a cluster of dev.
    assert [row for row in meshes["dev"].run_checks() if not row.passed] == []


def test_linkerd_check_succeeds(meshes: dict[str, StackUnderTest]) -> None:
    mesh = meshes["dev"]
    for cluster in mesh.stack.clusters:
        # Without a version, the CLI would ask a server on the internet.
        assert_check_succeeds(mesh, cluster.context, "check", f"--expected-version={mesh.stack.tag}")


def test_linkerd_multicluster_check_succeeds(linked_mesh: StackUnderTest) -> None:
    for cluster in linked_mesh.stack.clusters:
        assert_check_succeeds(linked_mesh, cluster.context, "multicluster", "check")


def assert_check_succeeds(mesh: StackUnderTest, context: str, *command: str) -> None:
    result = mesh.run("linkerd", "--context", context, *command, LINKERD_WAIT_OPTION)

    assert result.stdout.rstrip().splitlines()[-1] == "Status check results are √", result.stdout
    warnings = {line.removeprefix("‼ ") for line in result.stdout.splitlines() if line.startswith("‼ ")}
    assert warnings <= EXPECTED_WARNINGS | EXPECTED_WARNINGS_WITHOUT_PROXIES
    assert "×" not in result.stdout.replace("results are ×", "")


def test_every_gateway_is_alive_with_all_exported_services(linked_mesh: StackUnderTest) -> None:
    for cluster in linked_mesh.stack.clusters:
        expected = {
            target: str(len(linked_mesh.list_exported_services(target)))
            for source, target in linked_mesh.link_pairs
            if source == cluster.name
        }
        if not expected:
            continue
        output = linked_mesh.run("linkerd", "--context", cluster.context, "multicluster", "gateways").stdout

        rows = [line.split() for line in output.splitlines()[1:]]
        assert {row[0]: row[1:3] for row in rows} == {name: ["True", count] for name, count in expected.items()}, output


def test_mirror_endpoint_is_gateway_of_target(linked_mesh: StackUnderTest) -> None:
    contexts = linked_mesh.contexts
    gateways = {
        name: data["loadBalancer"]["address"] for name, data in linked_mesh.lab.read_status()["clusters"].items()
    }
    endpoint_count = 0
    for source, target in linked_mesh.link_pairs:
        for namespace, service in linked_mesh.list_exported_services(target):
            (subset,) = linked_mesh.get_object(contexts[source], "endpoints", f"{service}-{target}", namespace)[
                "subsets"
            ]

            assert [address["ip"] for address in subset["addresses"]] == [
                linked_mesh.resolve(gateways[contexts[target]])
            ]
            assert {port["port"] for port in subset["ports"]} == {4143}
            endpoint_count += 1
    assert endpoint_count, "no service is exported"


def test_link_credentials_can_only_read_services(linked_mesh: StackUnderTest, tmp_path: Path) -> None:
    mesh, contexts = linked_mesh, linked_mesh.contexts
    for source, target in mesh.link_pairs:
        encoded = mesh.kubectl(
            *(contexts[source], "-n", "linkerd-multicluster", "get", "secret", f"cluster-credentials-{target}"),
            "-o=jsonpath={.data.kubeconfig}",
        )
        (tmp_path / "credentials").write_bytes(base64.b64decode(encoded))

        def is_allowed(verb: str, resource: str) -> bool:
            command = ("auth", "can-i", verb, resource, "--all-namespaces")
            return (
                mesh.run("kubectl", "--kubeconfig", str(tmp_path / "credentials"), *command, check=False).returncode
                == 0
            )

        assert is_allowed("list", "services")
        for verb, resource in (("get", "secrets"), ("list", "configmaps"), ("create", "pods"), ("delete", "services")):
            assert not is_allowed(verb, resource), f"{source}'s credentials may {verb} {resource} in {target}"


def test_link_objects_equal_output_of_linkerd_cli(linked_mesh: StackUnderTest) -> None:
    for source, target in linked_mesh.link_pairs:
        assert_matches_linkerd_cli(linked_mesh, source, target)


def test_options_of_excluded_commands_exist(meshes: dict[str, StackUnderTest]) -> None:
    commands = [
        (command, words)
        for command in list_commands()
        for words in simple_commands(command.text, "linkerd", "kubectl", "helm", "pulumi")
        if command.exclusions
    ]
    assert len(commands) > 20
    for command, words in commands:
        mesh = meshes.get(command.test or "dev", meshes["dev"])
        end = words.index("--") if "--" in words else len(words)
        result = mesh.run(*words[:end], "--help", *words[end:], check=False)

        assert result.returncode == 0, f"{command}\n{result.stderr}"
        # An unknown subcommand of linkerd prints the help of its parent.
        (name,) = re.findall(r"linkerd(?: \[command\]| [a-z -]+)", result.stdout)[:1] or [""]
        if words[0] == "linkerd":
            assert set(name.split()) - {"linkerd"} <= set(words), f"{command}\n{name}"
            assert "[command]" not in name


def test_secrets_are_neither_printed_nor_stored_in_clear(mesh: StackUnderTest) -> None:
    with mesh.engine() as engine:
        outputs = json.dumps(engine.outputs())

    assert not SECRETS.search(mesh.output.read_text()), "in the output of preview and up"
    assert not SECRETS.search(outputs), "in the stack outputs"
    assert not SECRETS.search(mesh.state), "in the state file"
    for cluster in mesh.stack.clusters:
        for secret in mesh.list_objects(cluster.context, "secrets", "--all-namespaces", "-l", "owner=helm"):
            encoded = base64.b64decode(base64.b64decode(secret["data"]["release"]))
            assert not SECRETS.search(gzip.decompress(encoded).decode()), secret["metadata"]["name"]


def test_secret_pattern_matches_real_secrets(mesh: StackUnderTest) -> None:
    cluster = mesh.stack.clusters[0]
    secrets = mesh.list_objects(cluster.context, "secrets", "--all-namespaces")
    values = [
        base64.b64decode(value).decode(errors="replace")
        for secret in secrets
        for value in secret.get("data", {}).values()
    ]

    assert sum(bool(SECRETS.search(value)) for value in values) >= 4, "keys of the issuer and of webhooks, and a token"


def test_outputs_contain_releases_links_and_certificate_expiry(mesh: StackUnderTest) -> None:
    with mesh.engine() as engine:
        outputs = engine.outputs()

    names = {cluster.name for cluster in mesh.stack.clusters}
    assert {cluster["linkerd"] for cluster in outputs["clusters"].values()} == {f"stable-{mesh.stack.linkerd_version}"}
    assert set(outputs["links"]) == {f"{source}-to-{target}" for source, target in mesh.link_pairs}
    assert all(link["gatewayAddress"] for link in outputs["links"].values())
    expiry = outputs["certificateExpiry"]
    assert set(expiry["issuers"]) == set(expiry["webhooks"]) == names
    assert all("linkerd" in parts for parts in expiry["webhooks"].values())
    assert expiry["trustAnchor"] > max(expiry["issuers"].values())
    assert outputs["topology"].startswith("flowchart LR")


def test_openstack_nks_matches_its_guide(meshes: dict[str, StackUnderTest]) -> None:
    mesh, private, public = meshes["openstack-nks"], "ctx-1", "ctx-2"
    service = mesh.get_object(public, "service", "helloworld")
    assert service["metadata"]["labels"] == {
        "app": "helloworld",
        "service": "helloworld",
        "mirror.linkerd.io/exported": "true",
    }
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [("http", 5000)]
    assert not mesh.get_object(private, "service", "linkerd-gateway", "linkerd-multicluster")["status"]["loadBalancer"]
    split = mesh.get_object(private, "trafficsplits.v1alpha1.split.smi-spec.io", "helloworld")["spec"]
    assert split == {
        "service": "helloworld",
        "backends": [
            {"service": "helloworld", "weight": 50},
            {"service": "helloworld-cluster2", "weight": 50},
        ],
    }
    assert mesh.has_object(private, "service", "helloworld-cluster2")
    deployments = {
        context: sorted(item["metadata"]["name"] for item in mesh.list_objects(context, "deployments", "-n", "default"))
        for context in (private, public)
    }
    assert deployments == {private: ["helloworld-v1", "sleep"], public: ["helloworld-v2"]}
    assert mesh.has_object(private, "namespace", "linkerd-smi") and not mesh.has_object(
        public, "namespace", "linkerd-smi"
    )


def test_kpaas_uses_platform_without_changing_it(meshes: dict[str, StackUnderTest]) -> None:
    mesh = meshes["kpaas"]
    for context in mesh.contexts.values():
        objects = {"before": mesh.objects_before[context], "now": list_all_objects(mesh, context)}
        platform = {
            when: {
                name: item
                for name, item in items.items()
                if name.split("/")[1] in PLATFORM_NAMESPACES or name.split("/")[2] in (*PLATFORM_NAMESPACES, "nginx")
            }
            for when, items in objects.items()
        }

        assert platform["now"] == platform["before"]
        assert "services/ingress-nginx/ingress-nginx-controller" in platform["now"]
        ingress = mesh.get_object(context, "ingress", "web-ingress", "linkerd-viz")
        assert ingress["spec"]["ingressClassName"] == "nginx"


def test_dashboard_accepts_password_from_outputs(meshes: dict[str, StackUnderTest]) -> None:
    for mesh in (meshes["openstack-nks"], meshes["kpaas"]):
        with mesh.engine() as engine:
            assert engine.outputs()["dashboardPassword"] == "[secret]"
        command = ("pulumi", "stack", "output", "dashboardPassword", "--show-secrets", "--stack", mesh.name)
        password = mesh.run(*command).stdout.strip()
        assert len(password) >= 24
        for context in mesh.contexts.values():
            secret = mesh.get_object(context, "secret", "web-ingress-auth", "linkerd-viz")
            user, _, hashed = base64.b64decode(secret["data"]["auth"]).decode().strip().partition(":")
            assert user == "admin"
            assert apr1_hash(password, hashed.split("$")[2]) == hashed
            ingress = mesh.get_object(context, "ingress", "web-ingress", "linkerd-viz")
            annotations = {key.rpartition("/")[2]: value for key, value in ingress["metadata"]["annotations"].items()}
            assert annotations["auth-secret"] == "web-ingress-auth"
            assert annotations["upstream-vhost"] == "$service_name.$namespace.svc.cluster.local:8084"
        assert password not in mesh.output.read_text() + mesh.state


def test_viz_and_jaeger_pass_checks_without_pod_requests(meshes: dict[str, StackUnderTest]) -> None:
    results = {
        extension: meshes["east-west"].run(
            "linkerd", "--context", "kind-west", extension, "check", LINKERD_WAIT_OPTION, check=False
        )
        for extension in ("viz", "jaeger")
    }

    failed = [line for line in results["viz"].stdout.splitlines() if line.startswith("×")]
    assert failed == ["× viz extension self-check"]
    assert "√ tap API server has valid cert" in results["viz"].stdout
    assert "√ tap API service is running" in results["viz"].stdout
    assert results["jaeger"].stdout.rstrip().endswith("Status check results are √")


def test_api_server_accepts_every_object_strictly(mesh: StackUnderTest) -> None:
    assert [error for error in (dry_run_error(mesh, item) for item in list_custom_objects(mesh)) if error] == []


def test_split_switches_between_forms_by_setting(meshes: dict[str, StackUnderTest]) -> None:
    mesh = meshes["kpaas"]
    config = mesh.config
    changed = copy.deepcopy(config)
    changed["workloads"][0]["helloworld"]["splits"][0]["form"] = "gateway-api"
    mesh.configure(changed)

    split = "cluster2-default-helloworld-split"
    assert mesh.preview_changes() == {f"TrafficSplit {split}": "delete", f"HTTPRoute {split}": "create"}
    mesh.up()

    route = mesh.get_object("kpaas-2", "httproutes.v1beta2.policy.linkerd.io", "helloworld")
    assert route["spec"]["parentRefs"] == [{"group": "core", "kind": "Service", "name": "helloworld", "port": 5000}]
    assert [(each["name"], each["weight"]) for each in route["spec"]["rules"][0]["backendRefs"]] == [
        ("helloworld", 50),
        ("helloworld-cluster1", 50),
    ]
    assert [error for error in (dry_run_error(mesh, item) for item in list_custom_objects(mesh)) if error] == []
    mesh.configure(config)
    mesh.up()


@pytest.mark.parametrize(
    ("stack", "context", "name", "namespace", "peer"),
    [("kpaas", "kpaas-2", "helloworld", "default", "cluster1"), ("east-west", "kind-west", "podinfo", "test", "east")],
)
def test_split_backends_have_order_of_stack_file(
    meshes: dict[str, StackUnderTest], stack: str, context: str, name: str, namespace: str, peer: str
) -> None:
    split = meshes[stack].get_object(context, "trafficsplits.v1alpha1.split.smi-spec.io", name, namespace)

    assert [each["service"] for each in split["spec"]["backends"]] == [name, f"{name}-{peer}"]


def test_unexported_service_has_no_mirror_after_up(meshes: dict[str, StackUnderTest]) -> None:
    mesh = meshes["east-west"]
    config = mesh.config
    assert mesh.has_object("kind-west", "service", "podinfo-east", "test")
    changed = copy.deepcopy(config)
    changed["workloads"][0]["podinfo"] |= {"exported": [], "splits": []}

    mesh.configure(changed)
    mesh.up()

    assert not mesh.has_object("kind-west", "service", "podinfo-east", "test")
    assert mesh.has_object("kind-east", "service", "podinfo", "test"), "the service itself was deleted"
    mesh.configure(config)
    mesh.up()
    assert wait_until(lambda: mesh.has_object("kind-west", "service", "podinfo-east", "test"))


def test_emojivoto_leaves_and_rejoins_mesh_by_setting(meshes: dict[str, StackUnderTest]) -> None:
    mesh = meshes["emojivoto"]

    def injected() -> set[str]:
        deployments = mesh.list_objects("kind-demo", "deployments", "-n", "emojivoto")
        return {item["spec"]["template"]["metadata"]["annotations"]["linkerd.io/inject"] for item in deployments}

    assert injected() == {"enabled"}
    config = mesh.config
    mesh.configure({**config, "workloads": [{"emojivoto": {"meshed": False}}]})
    mesh.up()
    assert injected() == {"disabled"}
    mesh.configure(config)
    mesh.up()
    assert injected() == {"enabled"}


@pytest.mark.parametrize(
    "command",
    ["pulumi preview -s emojivoto --diff", "pulumi up -s emojivoto --yes", "pulumi stack output -s emojivoto"],
)
def test_commands_in_shell_of_make_env_keep_tree_clean(meshes: dict[str, StackUnderTest], command: str) -> None:
    lab = {"LAB_HOME": str(meshes["emojivoto"].lab.folder)}
    shell = partial(subprocess.run, cwd=PROJECT_ROOT, env={**os.environ, **lab}, capture_output=True, text=True)
    status = shell(["git", "status", "--porcelain"]).stdout

    result = shell(["sh", "-c", f'eval "$({sys.executable} -m hack.make env emojivoto)" && {command}'])

    assert result.returncode == 0, result.stdout + result.stderr
    assert _read_stack_files() == STACK_FILES
    assert shell(["git", "status", "--porcelain"]).stdout == status


def test_commands_leave_stack_files_unchanged(mesh: StackUnderTest) -> None:
    assert _read_stack_files() == STACK_FILES


def test_documented_destroy_restores_each_api_server(
    meshes: dict[str, StackUnderTest], page_runners: dict[str, PageRunner]
) -> None:
    # The stack dev is the last one, because `make down` of the last stack stops the lab.
    shipped = [name for name in meshes if name != "dev"]
    run_for_each(lambda name: assert_destroy_leaves_nothing(meshes[name], page_runners[name]), shipped)
    for name in shipped:
        commands = commands_of_test(name)
        page_runners[name].run_all(command for command in commands if command.requires_empty_cluster)
        page_runners[name].run_all(command for command in commands if command.text.startswith("make down"))
    assert_destroy_leaves_nothing(meshes["dev"], page_runners["dev"])
    (down,) = (command for command in commands_of_test("dev") if command.is_teardown)
    stop_lab(page_runners["dev"], down, meshes["dev"].lab)


def assert_destroy_leaves_nothing(mesh: StackUnderTest, page_runner: PageRunner) -> None:
    service = ("-n", "default", "service", "coffee")
    contexts = mesh.contexts
    targets = {target: source for source, target in mesh.link_pairs[:1]}
    for target, source in targets.items():
        mesh.kubectl(contexts[target], "-n", "default", "create", "service", "clusterip", "coffee", "--tcp=80")
        mesh.kubectl(contexts[target], "label", *service, "mirror.linkerd.io/exported=true")
        assert wait_until(lambda: mesh.has_object(contexts[source], "service", f"coffee-{target}"))  # noqa: B023

    documented = [command for command in commands_of_test(mesh.name) if command.text.startswith("pulumi destroy")]
    for command in documented:
        page_runner.run(command)
    if not documented:
        mesh.destroy()

    for target in targets:
        mesh.kubectl(contexts[target], "delete", *service)
    for context in contexts.values():
        # Kubernetes controllers delete dependent objects asynchronously.
        wait_until(partial(mesh.is_restored, context))
        assert list_all_objects(mesh, context) == mesh.objects_before[context]
    assert not SECRETS.search(mesh.output.read_text()), "in the output of destroy"
