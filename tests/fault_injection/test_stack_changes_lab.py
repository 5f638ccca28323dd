"""Changes of a target's gateway address, API server address and tokens."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml
from kubernetes.client import ApiException, CoreV1Api

from hack.lab import lifecycle
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir
from mesh.kube.client import Access, build_api_client
from tests.helpers.options import FaultOptions
from tests.helpers.stack_configs import full_mesh_config
from tests.helpers.stack_under_test import StackUnderTest, deploy, wait_until

pytestmark = pytest.mark.lab(minutes=2)

NAMESPACE = "linkerd-multicluster"


@pytest.fixture(scope="module")
def mesh(lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy a full mesh of all clusters."""
    with deploy(lab, tmp_path_factory.mktemp("moves"), "moves", full_mesh_config(*faults.cluster_names)) as lab_stack:
        yield lab_stack


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
