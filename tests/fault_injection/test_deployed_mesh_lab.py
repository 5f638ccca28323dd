"""Changes outside of Pulumi to a deployed mesh.

Objects that were deleted or edited by hand: a refresh reports them, and `up --refresh` repairs them. A target's gateway
address, API server address and tokens: the next `up` adapts its links.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
import yaml

from hack.lab import lifecycle
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir
from mesh.helm import release_storage
from mesh.kube.client import connect
from mesh.kube.connection import Access, build_api_client
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers.fault_injection import run_with_fault
from tests.helpers.options import FaultOptions
from tests.helpers.stack_configs import full_mesh_config
from tests.helpers.stack_under_test import StackUnderTest, deploy, wait_until
from tests.helpers.update_progress import Moment

pytestmark = pytest.mark.lab(minutes=3)

NAMESPACE = "linkerd-multicluster"

# Pulumi overwrites fields of another field manager only with this variable.
FORCE_VARIABLE = "PULUMI_K8S_ENABLE_PATCH_FORCE"
# Not kubectl, because Pulumi overwrites edits of kubectl even without force.
FOREIGN_FIELD_MANAGER = "--field-manager=somebody"
# An edited field for each kind that Pulumi creates itself.
PULUMI_EDITS: dict[str, dict[str, Any]] = {
    "Namespace": {"metadata": {"labels": {"app.kubernetes.io/part-of": "edited"}}},
    "Secret": {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "edited"}}},
    "Link": {"spec": {"gatewayPort": "4999"}},
    "Deployment": {"spec": {"replicas": 3}},
    "Service": {"spec": {"ports": [{"port": 9898, "name": "edited"}]}},
    "ServiceAccount": {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "edited"}}},
}
# An edited field for each kind that Helm creates.
HELM_EDITS: dict[str, dict[str, Any]] = {
    "ClusterRole": {"rules": []},
    "ClusterRoleBinding": {"subjects": []},
    "Role": {"rules": []},
    "RoleBinding": {"subjects": []},
    "Deployment": {"spec": {"replicas": 0}},
    "Service": {"spec": {"ports": [{"port": 9, "name": "edited"}]}},
    "ConfigMap": {"data": None},
    "MutatingWebhookConfiguration": {"webhooks": []},
    "ValidatingWebhookConfiguration": {"webhooks": []},
}


@dataclass(frozen=True, kw_only=True)
class LiveObject:
    """An object of the stack in a cluster, created by Pulumi or by Helm."""

    context: str
    kind: str
    api: str
    namespace: str
    name: str

    @property
    def arguments(self) -> tuple[str, ...]:
        group = self.api.partition("/")[0] if "/" in self.api else ""
        kind = f"{self.kind}.{self.api.partition('/')[2]}.{group}" if group else self.kind
        return (*(("-n", self.namespace) if self.namespace else ()), kind, self.name)


@pytest.fixture(scope="module")
def mesh(lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy a full mesh of all clusters."""
    with deploy(
        lab, tmp_path_factory.mktemp("deployed"), "deployed", full_mesh_config(*faults.cluster_names)
    ) as lab_stack:
        yield lab_stack


@pytest.fixture(scope="module")
def rng(faults: FaultOptions) -> Random:
    """Return the random numbers that choose the objects."""
    return faults.random("drift")


def list_pulumi_objects(mesh: StackUnderTest) -> list[LiveObject]:
    """Return the objects that Pulumi created itself."""
    resources = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    contexts = mesh.contexts
    objects = []
    for resource in resources:
        inputs = resource.get("inputs") or {}
        if not resource["type"].startswith("kubernetes:") or resource.get("external") or "kind" not in inputs:
            continue
        context = contexts[resource["provider"].rpartition("::")[0].rpartition("::")[2]]
        metadata = inputs["metadata"]
        objects.append(
            LiveObject(
                context=context,
                kind=inputs["kind"],
                api=inputs["apiVersion"],
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
            )
        )
    return objects


def list_helm_objects(mesh: StackUnderTest) -> list[LiveObject]:
    """Return the objects that Helm created."""
    objects = []
    for context in mesh.contexts.values():
        client = connect(Access(context=context, kubeconfig=str(mesh.lab.kubeconfig)))
        secrets = mesh.list_objects(context, "secrets", "--all-namespaces", "-l", "owner=helm,status=deployed")
        for secret in secrets:
            namespace, release_name = secret["metadata"]["namespace"], secret["metadata"]["labels"]["name"]
            revision = release_storage.read_latest_revision(client, namespace, release_name)
            assert revision is not None
            for body in filter(None, yaml.safe_load_all(revision.manifest)):
                metadata = body["metadata"]
                objects.append(
                    LiveObject(
                        context=context,
                        kind=body["kind"],
                        api=body["apiVersion"],
                        namespace=metadata.get("namespace") or "",
                        name=metadata["name"],
                    )
                )
    return objects


def choose_one_per_kind(objects: list[LiveObject], rng: Random) -> list[LiveObject]:
    """Return a random object of each kind."""
    kinds = sorted({live_object.kind for live_object in objects})
    return [rng.choice([live_object for live_object in objects if live_object.kind == kind]) for kind in kinds]


def edit_object(mesh: StackUnderTest, live_object: LiveObject, change: dict[str, Any]) -> None:
    """Edit an object as another field manager."""
    patch = ("--type=merge", FOREIGN_FIELD_MANAGER, "-p", json.dumps(change))
    mesh.kubectl(live_object.context, "patch", *live_object.arguments, *patch)


def delete_object(mesh: StackUnderTest, live_object: LiveObject) -> None:
    """Delete an object."""
    mesh.kubectl(live_object.context, "delete", *live_object.arguments, "--wait=true", "--ignore-not-found")


def preview_with_refresh(mesh: StackUnderTest, *arguments: str) -> str:
    """Run a preview with a refresh, and return its output."""
    old_length = len(mesh.output.read_text())
    with mesh.engine() as engine:
        engine.preview("--refresh", *arguments)
    return mesh.output.read_text()[old_length:]


def assert_repaired(mesh: StackUnderTest) -> None:
    """Require that another update changes nothing and that all checks pass."""
    mesh.up("--refresh", "--expect-no-changes")
    assert [row for row in mesh.run_checks() if not row.passed] == []


@pytest.mark.usefixtures("at_length")
def test_untouched_mesh_has_no_drift(mesh: StackUnderTest) -> None:
    assert ": drifted:" not in preview_with_refresh(mesh, "--expect-no-changes")


def test_deleted_objects_are_reported_and_created_again(
    mesh: StackUnderTest, faults: FaultOptions, rng: Random
) -> None:
    for _ in range(1 + faults.moments // 10):
        # A deleted namespace has its own test, because all its objects are deleted too.
        helm_objects = choose_one_per_kind(
            [live_object for live_object in list_helm_objects(mesh) if "CustomResource" not in live_object.kind], rng
        )
        pulumi_objects = choose_one_per_kind(
            [live_object for live_object in list_pulumi_objects(mesh) if live_object.kind != "Namespace"], rng
        )
        for live_object in (*pulumi_objects, *helm_objects):
            delete_object(mesh, live_object)

        preview = preview_with_refresh(mesh)
        mesh.up("--refresh")

        for live_object in helm_objects:
            assert f"{live_object.kind} {live_object.name} is missing" in preview, live_object
        for live_object in (*pulumi_objects, *helm_objects):
            assert wait_until(lambda live_object=live_object: object_exists(mesh, live_object)), live_object  # type: ignore[misc]
        assert_repaired(mesh)


def object_exists(mesh: StackUnderTest, live_object: LiveObject) -> bool:
    """Return whether the object exists in its cluster."""
    return bool(mesh.kubectl(live_object.context, "get", *live_object.arguments, "--ignore-not-found", "-o", "name"))


def test_edited_objects_are_reported_and_reset(
    mesh: StackUnderTest, faults: FaultOptions, rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(1 + faults.moments // 10):
        pulumi_objects = choose_one_per_kind(
            [live_object for live_object in list_pulumi_objects(mesh) if live_object.kind in PULUMI_EDITS], rng
        )
        helm_objects = choose_one_per_kind(
            [live_object for live_object in list_helm_objects(mesh) if live_object.kind in HELM_EDITS], rng
        )
        for live_object in pulumi_objects:
            edit_object(mesh, live_object, PULUMI_EDITS[live_object.kind])
        for live_object in helm_objects:
            edit_object(mesh, live_object, HELM_EDITS[live_object.kind])

        monkeypatch.setitem(mesh.environment, FORCE_VARIABLE, "true")
        preview = preview_with_refresh(mesh)
        mesh.up("--refresh")
        monkeypatch.delitem(mesh.environment, FORCE_VARIABLE)

        for live_object in helm_objects:
            assert re.search(f"{live_object.kind} {re.escape(live_object.name)}: \\S", preview), live_object
        assert_repaired(mesh)


@pytest.mark.usefixtures("at_length")
def test_conflicting_edit_is_reported_and_reset_only_with_force(
    mesh: StackUnderTest, rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = rng.choice([link for link in list_pulumi_objects(mesh) if link.kind == "Link"])
    edit_object(mesh, link, PULUMI_EDITS["Link"])

    with pytest.raises(PulumiCommandError):
        preview_with_refresh(mesh)
    output = mesh.output.read_text()
    monkeypatch.setitem(mesh.environment, FORCE_VARIABLE, "true")
    mesh.up("--refresh")
    monkeypatch.delitem(mesh.environment, FORCE_VARIABLE)

    assert 'conflict with "somebody"' in output
    assert ".spec.gatewayPort" in output
    assert_repaired(mesh)


@pytest.mark.usefixtures("at_length")
def test_deleted_namespace_is_created_again_with_its_objects(mesh: StackUnderTest) -> None:
    context = next(iter(mesh.contexts.values()))
    mesh.kubectl(context, "delete", "namespace", "linkerd-multicluster", "--wait=true")

    mesh.up("--refresh")

    assert_repaired(mesh)


def test_concurrent_up_is_refused_while_first_continues(mesh: StackUnderTest) -> None:
    outputs: list[str] = []
    updates_before = mesh.output.read_text().count("Updating (")

    @contextmanager
    def run_second_up(_: psutil.Process) -> Iterator[None]:
        assert wait_until(lambda: mesh.output.read_text().count("Updating (") > updates_before), "no `up` ever started"
        outputs.append(mesh.up_expecting_failure())
        yield

    with mesh.engine() as engine:
        at_start = Moment(resource_count=0, reached_s=0, delay_s=0)
        command = engine.up_command("--refresh", "--expect-no-changes")
        run = run_with_fault(mesh, command, fault=run_second_up, moment=at_start)

    assert "the stack is currently locked by 1 lock(s)" in outputs[0]
    assert run.exit_code == 0


@pytest.fixture
def target(faults: FaultOptions) -> str:
    """Return the cluster that changes; it is the target of all others."""
    return faults.cluster_names[-1]


@pytest.fixture
def sources(faults: FaultOptions) -> list[str]:
    return faults.cluster_names[:-1]


def read_credentials(mesh: StackUnderTest, source: str, target: str) -> str:
    """Return the kubeconfig with which a source's mirror reads the target."""
    secret = mesh.get_object(mesh.contexts[source], "secret", f"cluster-credentials-{target}", NAMESPACE)
    return base64.b64decode(secret["data"]["kubeconfig"]).decode()


def request_status(kubeconfig: str, target: str) -> int:
    """Return the HTTP status of the target's API server for a kubeconfig."""
    from kubernetes.client import ApiException, CoreV1Api  # most of a second, which `make test-fast` saves

    try:
        CoreV1Api(build_api_client(Access(context=target, kubeconfig=kubeconfig))).list_service_for_all_namespaces(
            limit=1
        )
    except ApiException as error:
        return int(error.status or 0)
    return 200


def list_mirror_pods(mesh: StackUnderTest, source: str, target: str) -> set[str]:
    """Return the UIDs of a link's service mirror pods."""
    selector = f"component=linkerd-service-mirror,mirror.linkerd.io/cluster-name={target}"
    pods = mesh.list_objects(mesh.contexts[source], "pods", "--all-namespaces", "-l", selector)
    return {pod["metadata"]["uid"] for pod in pods}


def assert_unchanged_and_passing(mesh: StackUnderTest) -> None:
    assert [row for row in mesh.run_checks() if not row.passed] == []
    assert mesh.preview_changes() == {}


def test_up_renews_tokens_without_interrupting_mirrors(mesh: StackUnderTest, target: str, sources: list[str]) -> None:
    before = {source: read_credentials(mesh, source, target) for source in sources}
    pods = {source: list_mirror_pods(mesh, source, target) for source in sources}
    other_credentials = {source: read_credentials(mesh, target, source) for source in sources}
    cluster_config = {"linkerd": {"linkTokens": "2026-11"}}
    mesh.configure({**mesh.config, "clusters": {**mesh.config["clusters"], target: cluster_config}})

    with _poll_credentials(mesh, target, sources) as statuses:
        mesh.up()

    assert len(statuses) > len(sources)
    assert set(statuses) == {200}, "the token of a service mirror was refused"
    for source in sources:
        assert wait_until(partial(_is_refused, before[source], target)), "the old token is still accepted"
        assert request_status(read_credentials(mesh, source, target), target) == 200
        assert wait_until(lambda source=source: not list_mirror_pods(mesh, source, target) & pods[source])  # type: ignore[misc]
        assert read_credentials(mesh, target, source) == other_credentials[source], (
            "tokens of the other targets changed"
        )
    secrets = mesh.list_objects(mesh.contexts[target], "secrets", "-n", NAMESPACE)
    tokens = {item["metadata"]["name"] for item in secrets if item["type"] == "kubernetes.io/service-account-token"}
    expected_tokens = {f"linkerd-service-mirror-remote-access-{source}.2026-11" for source in sources}
    assert tokens == {"linkerd-service-mirror-remote-access-default-token", *expected_tokens}
    assert_unchanged_and_passing(mesh)


def _is_refused(kubeconfig: str, target: str) -> bool:
    """Return whether a token is refused; API servers cache accepted tokens for ten seconds."""
    return request_status(kubeconfig, target) == 401


@contextmanager
def _poll_credentials(mesh: StackUnderTest, target: str, sources: list[str]) -> Iterator[list[int]]:
    """Poll the target with each source's current credentials, and yield the growing list of statuses."""
    statuses: list[int] = []
    finished = threading.Event()

    def poll() -> None:
        while not finished.wait(0.2):
            statuses.extend(request_status(read_credentials(mesh, source, target), target) for source in sources)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield statuses
    finally:
        finished.set()
        thread.join()


@pytest.mark.usefixtures("at_length")
def test_up_renews_revoked_token(mesh: StackUnderTest, target: str, sources: list[str]) -> None:
    source = sources[0]
    before, pods = read_credentials(mesh, source, target), list_mirror_pods(mesh, source, target)
    secrets = mesh.list_objects(mesh.contexts[target], "secrets", "-n", NAMESPACE)
    names = [item["metadata"]["name"] for item in secrets]
    (name,) = (name for name in names if name.startswith(f"linkerd-service-mirror-remote-access-{source}"))
    mesh.kubectl(mesh.contexts[target], "-n", NAMESPACE, "delete", "secret", name)
    assert wait_until(partial(_is_refused, before, target))

    mesh.up("--refresh")

    assert request_status(read_credentials(mesh, source, target), target) == 200
    assert wait_until(lambda: not list_mirror_pods(mesh, source, target) & pods)
    assert_unchanged_and_passing(mesh)


def test_up_moves_every_link_to_new_gateway_address(mesh: StackUnderTest, target: str, sources: list[str]) -> None:
    before = read_link_addresses(mesh, target, sources)
    assert len(set(before.values())) == 1
    for kind in (LoadBalancerKind.HOSTNAME, LoadBalancerKind.IP):
        lifecycle.stop(mesh.lab, [target], delete=False)
        lifecycle.start(mesh.lab, [target], load_balancers={target: kind}, chart_folders=[], timeout=300, report=print)
        is_assigned = partial(_gateway_address_is_of_kind, mesh, target, kind)
        assert wait_until(is_assigned), "the load balancer of the lab assigned no such address"

        mesh.up()

        address = read_gateway_address(mesh, target)
        assert read_link_addresses(mesh, target, sources) == dict.fromkeys(sources, address)
        for source in sources:
            assert wait_until(partial(mirrors_lead_to, mesh, source, target, mesh.resolve(address))), source
        assert_unchanged_and_passing(mesh)
    assert read_link_addresses(mesh, target, sources) == before


def _gateway_address_is_of_kind(mesh: StackUnderTest, target: str, kind: LoadBalancerKind) -> bool:
    return read_gateway_address(mesh, target)[:1].isdigit() == (kind is LoadBalancerKind.IP)


def read_gateway_address(mesh: StackUnderTest, target: str) -> str:
    """Return the gateway address that the load balancer assigned."""
    service = mesh.get_object(mesh.contexts[target], "service", "linkerd-gateway", NAMESPACE)
    ingress = service["status"]["loadBalancer"].get("ingress") or [{}]
    return str(ingress[0].get("ip") or ingress[0].get("hostname") or "")


def read_link_addresses(mesh: StackUnderTest, target: str, sources: list[str]) -> dict[str, str]:
    """Return the gateway address in each source's Link."""
    links = {source: mesh.get_object(mesh.contexts[source], "link", target, NAMESPACE) for source in sources}
    return {source: str(link["spec"]["gatewayAddress"]) for source, link in links.items()}


def mirrors_lead_to(mesh: StackUnderTest, source: str, target: str, address: str) -> bool:
    """Return whether all mirror services of a target have this address."""
    selector = f"mirror.linkerd.io/cluster-name={target},mirror.linkerd.io/mirrored-service=true"
    endpoints = mesh.list_objects(mesh.contexts[source], "endpoints", "--all-namespaces", "-l", selector)
    subset_addresses = [subset.get("addresses") or [{}] for item in endpoints for subset in item.get("subsets") or [{}]]
    return bool(subset_addresses) and all(subset_address[0].get("ip") == address for subset_address in subset_addresses)


@pytest.mark.usefixtures("at_length")
def test_up_updates_credentials_for_moved_api_server(
    mesh: StackUnderTest, target: str, sources: list[str], tmp_path: Path
) -> None:
    context = mesh.contexts[target]
    content = yaml.safe_load(mesh.lab.kubeconfig.read_text())
    (cluster,) = (each["context"]["cluster"] for each in content["contexts"] if each["name"] == context)
    (entry,) = (each["cluster"] for each in content["clusters"] if each["name"] == cluster)
    entry["server"] = entry["server"].replace("127.0.0.1", "localhost")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(content))
    pods = {source: list_mirror_pods(mesh, source, target) for source in sources}
    mesh.environment["KUBECONFIG"] = str(kubeconfig)

    assert not [
        name for name, operation in mesh.preview_changes().items() if "replace" in operation or "delete" in operation
    ]
    mesh.up()

    for source in sources:
        assert entry["server"] in read_credentials(mesh, source, target)
        assert wait_until(lambda source=source: not list_mirror_pods(mesh, source, target) & pods[source])  # type: ignore[misc]
    assert_unchanged_and_passing(mesh)
