"""What a target is reached by changes: its gateway's address, its API server's, and the tokens for it."""

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
from mesh.kube.client import Access, api_client
from tests.helpers.lab_stack import LabStack, deploy, wait_until
from tests.helpers.options import FaultOptions
from tests.helpers.stack_configs import full_mesh_config

pytestmark = pytest.mark.lab(minutes=2)

NAMESPACE = "linkerd-multicluster"


@pytest.fixture(scope="module")
def mesh(lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """A mesh of all clusters, each linked to each."""
    with deploy(lab, tmp_path_factory.mktemp("moves"), "moves", full_mesh_config(*faults.names)) as deployment:
        yield deployment


@pytest.fixture
def target(faults: FaultOptions) -> str:
    """The cluster that moves; all others see it."""
    return faults.names[-1]


@pytest.fixture
def sources(faults: FaultOptions) -> list[str]:
    return faults.names[:-1]


def read_credentials(mesh: LabStack, source: str, target: str) -> str:
    """The kubeconfig by which a source's mirror reads the target."""
    secret = mesh.get_object(mesh.contexts[source], "secret", f"cluster-credentials-{target}", NAMESPACE)
    return base64.b64decode(secret["data"]["kubeconfig"]).decode()


def request_status(kubeconfig: str, target: str) -> int:
    """What the target's API server says to somebody with such a kubeconfig."""
    try:
        CoreV1Api(api_client(Access(context=target, kubeconfig=kubeconfig))).list_service_for_all_namespaces(limit=1)
    except ApiException as error:
        return int(error.status or 0)
    return 200


def list_mirror_pods(mesh: LabStack, source: str, target: str) -> set[str]:
    """The pods of a link's service mirror."""
    selector = f"component=linkerd-service-mirror,mirror.linkerd.io/cluster-name={target}"
    found = mesh.list_objects(mesh.contexts[source], "pods", "--all-namespaces", "-l", selector)
    return {pod["metadata"]["uid"] for pod in found}


def assert_unchanged_and_passing(mesh: LabStack) -> None:
    assert [row for row in mesh.run_checks() if not row.passed] == []
    assert mesh.preview_changes() == {}


def test_up_renews_tokens_without_interrupting_mirrors(mesh: LabStack, target: str, sources: list[str]) -> None:
    before = {source: read_credentials(mesh, source, target) for source in sources}
    pods = {source: list_mirror_pods(mesh, source, target) for source in sources}
    others = {source: read_credentials(mesh, target, source) for source in sources}
    entry = {"linkerd": {"linkTokens": "2026-11"}}
    mesh.configure({**mesh.config, "clusters": {**mesh.config["clusters"], target: entry}})

    with _poll_credentials(mesh, target, sources) as seen:
        mesh.up()

    assert len(seen) > len(sources)
    assert set(seen) == {200}, "the token that a mirror had was refused"
    for source in sources:
        assert wait_until(partial(_is_refused, before[source], target)), "the old token is still good"
        assert request_status(read_credentials(mesh, source, target), target) == 200
        assert wait_until(lambda source=source: not list_mirror_pods(mesh, source, target) & pods[source])  # type: ignore[misc]
        assert read_credentials(mesh, target, source) == others[source], "the others' tokens are theirs"
    found = mesh.list_objects(mesh.contexts[target], "secrets", "-n", NAMESPACE)
    tokens = {item["metadata"]["name"] for item in found if item["type"] == "kubernetes.io/service-account-token"}
    wanted = {f"linkerd-service-mirror-remote-access-{source}.2026-11" for source in sources}
    assert tokens == {"linkerd-service-mirror-remote-access-default-token", *wanted}
    assert_unchanged_and_passing(mesh)


def _is_refused(kubeconfig: str, target: str) -> bool:
    """Whether a token is worth nothing any more; API servers remember for ten seconds that one was good."""
    return request_status(kubeconfig, target) == 401


@contextmanager
def _poll_credentials(mesh: LabStack, target: str, sources: list[str]) -> Iterator[list[int]]:
    """What the target says, again and again, to the credentials that each source has at that moment."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            seen.extend(request_status(read_credentials(mesh, source, target), target) for source in sources)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.usefixtures("at_length")
def test_up_renews_revoked_token(mesh: LabStack, target: str, sources: list[str]) -> None:
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


def test_up_moves_every_link_to_new_gateway_address(mesh: LabStack, target: str, sources: list[str]) -> None:
    before = read_link_addresses(mesh, target, sources)
    assert len(set(before.values())) == 1
    for kind in (LoadBalancerKind.HOSTNAME, LoadBalancerKind.IP):
        lifecycle.stop(mesh.lab, [target], delete=False)
        lifecycle.start(mesh.lab, [target], load_balancers={target: kind}, chart_folders=[], timeout=300, say=print)
        is_assigned = partial(_gateway_address_is_of_kind, mesh, target, kind)
        assert wait_until(is_assigned), "the load balancer of the lab assigned no such address"

        mesh.up()

        address = read_gateway_address(mesh, target)
        assert read_link_addresses(mesh, target, sources) == dict.fromkeys(sources, address)
        for source in sources:
            assert wait_until(partial(mirrors_lead_to, mesh, source, target, mesh.resolve(address))), source
        assert_unchanged_and_passing(mesh)
    assert read_link_addresses(mesh, target, sources) == before


def _gateway_address_is_of_kind(mesh: LabStack, target: str, kind: LoadBalancerKind) -> bool:
    return read_gateway_address(mesh, target)[:1].isdigit() == (kind is LoadBalancerKind.IP)


def read_gateway_address(mesh: LabStack, target: str) -> str:
    """The address that the load balancer says."""
    service = mesh.get_object(mesh.contexts[target], "service", "linkerd-gateway", NAMESPACE)
    found = service["status"]["loadBalancer"].get("ingress") or [{}]
    return str(found[0].get("ip") or found[0].get("hostname") or "")


def read_link_addresses(mesh: LabStack, target: str, sources: list[str]) -> dict[str, str]:
    """The gateway's address in each source's Link."""
    links = {source: mesh.get_object(mesh.contexts[source], "link", target, NAMESPACE) for source in sources}
    return {source: str(link["spec"]["gatewayAddress"]) for source, link in links.items()}


def mirrors_lead_to(mesh: LabStack, source: str, target: str, address: str) -> bool:
    """Whether all mirrors of a target's services lead there."""
    selector = f"mirror.linkerd.io/cluster-name={target},mirror.linkerd.io/mirrored-service=true"
    found = mesh.list_objects(mesh.contexts[source], "endpoints", "--all-namespaces", "-l", selector)
    points = [subset.get("addresses") or [{}] for item in found for subset in item.get("subsets") or [{}]]
    return bool(points) and all(point[0].get("ip") == address for point in points)


@pytest.mark.usefixtures("at_length")
def test_up_updates_credentials_for_moved_api_server(
    mesh: LabStack, target: str, sources: list[str], tmp_path: Path
) -> None:
    context = mesh.contexts[target]
    content = yaml.safe_load(mesh.lab.kubeconfig.read_text())
    (cluster,) = (each["context"]["cluster"] for each in content["contexts"] if each["name"] == context)
    (entry,) = (each["cluster"] for each in content["clusters"] if each["name"] == cluster)
    entry["server"] = entry["server"].replace("127.0.0.1", "localhost")
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(yaml.safe_dump(content))
    pods = {source: list_mirror_pods(mesh, source, target) for source in sources}
    mesh.environment["KUBECONFIG"] = str(elsewhere)

    assert not [
        name for name, operation in mesh.preview_changes().items() if "replace" in operation or "delete" in operation
    ]
    mesh.up()

    for source in sources:
        assert entry["server"] in read_credentials(mesh, source, target)
        assert wait_until(lambda source=source: not list_mirror_pods(mesh, source, target) & pods[source])  # type: ignore[misc]
    assert_unchanged_and_passing(mesh)
