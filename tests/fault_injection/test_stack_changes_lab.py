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
from tests.helpers.lab_stack import Deployment, brought_up, comes_true
from tests.helpers.lab_stacks import full_mesh
from tests.helpers.options import Faults

pytestmark = pytest.mark.lab(minutes=2)

NAMESPACE = "linkerd-multicluster"


@pytest.fixture(scope="module")
def mesh(lab: StateDir, faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A mesh of all clusters, each linked to each."""
    with brought_up(lab, tmp_path_factory.mktemp("moves"), "moves", full_mesh(*faults.names)) as deployment:
        yield deployment


@pytest.fixture
def target(faults: Faults) -> str:
    """The cluster that moves; all others see it."""
    return faults.names[-1]


@pytest.fixture
def sources(faults: Faults) -> list[str]:
    return faults.names[:-1]


def credentials(mesh: Deployment, source: str, target: str) -> str:
    """The kubeconfig by which a source's mirror reads the target."""
    secret = mesh.one(mesh.contexts[source], "secret", f"cluster-credentials-{target}", NAMESPACE)
    return base64.b64decode(secret["data"]["kubeconfig"]).decode()


def asks(kubeconfig: str, target: str) -> int:
    """What the target's API server says to somebody with such a kubeconfig."""
    try:
        CoreV1Api(api_client(Access(context=target, kubeconfig=kubeconfig))).list_service_for_all_namespaces(limit=1)
    except ApiException as error:
        return int(error.status or 0)
    return 200


def mirrors(mesh: Deployment, source: str, target: str) -> set[str]:
    """The pods of a link's service mirror."""
    selector = f"component=linkerd-service-mirror,mirror.linkerd.io/cluster-name={target}"
    found = mesh.objects(mesh.contexts[source], "pods", "--all-namespaces", "-l", selector)
    return {pod["metadata"]["uid"] for pod in found}


def all_passes(mesh: Deployment) -> None:
    assert [row for row in mesh.rows() if not row.passed] == []
    assert mesh.changes() == {}


def test_one_up_renews_all_tokens_of_a_target_and_no_mirror_is_ever_without(
    mesh: Deployment, target: str, sources: list[str]
) -> None:
    before = {source: credentials(mesh, source, target) for source in sources}
    pods = {source: mirrors(mesh, source, target) for source in sources}
    others = {source: credentials(mesh, target, source) for source in sources}
    entry = {"linkerd": {"linkTokens": "2026-11"}}
    mesh.configure({**mesh.config, "clusters": {**mesh.config["clusters"], target: entry}})

    with _watched(mesh, target, sources) as seen:
        mesh.up()

    assert len(seen) > len(sources)
    assert set(seen) == {200}, "the token that a mirror had was refused"
    for source in sources:
        assert comes_true(partial(_is_refused, before[source], target)), "the old token is still good"
        assert asks(credentials(mesh, source, target), target) == 200
        assert comes_true(lambda source=source: not mirrors(mesh, source, target) & pods[source])  # type: ignore[misc]
        assert credentials(mesh, target, source) == others[source], "the others' tokens are theirs"
    found = mesh.objects(mesh.contexts[target], "secrets", "-n", NAMESPACE)
    tokens = {item["metadata"]["name"] for item in found if item["type"] == "kubernetes.io/service-account-token"}
    wanted = {f"linkerd-service-mirror-remote-access-{source}.2026-11" for source in sources}
    assert tokens == {"linkerd-service-mirror-remote-access-default-token", *wanted}
    all_passes(mesh)


def _is_refused(kubeconfig: str, target: str) -> bool:
    """Whether a token is worth nothing any more; API servers remember for ten seconds that one was good."""
    return asks(kubeconfig, target) == 401


@contextmanager
def _watched(mesh: Deployment, target: str, sources: list[str]) -> Iterator[list[int]]:
    """What the target says, again and again, to the credentials that each source has at that moment."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            seen.extend(asks(credentials(mesh, source, target), target) for source in sources)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.usefixtures("at_length")
def test_one_up_renews_a_token_that_was_revoked(mesh: Deployment, target: str, sources: list[str]) -> None:
    source = sources[0]
    before, pods = credentials(mesh, source, target), mirrors(mesh, source, target)
    secrets = mesh.objects(mesh.contexts[target], "secrets", "-n", NAMESPACE)
    names = [item["metadata"]["name"] for item in secrets]
    (name,) = (name for name in names if name.startswith(f"linkerd-service-mirror-remote-access-{source}"))
    mesh.kubectl(mesh.contexts[target], "-n", NAMESPACE, "delete", "secret", name)
    assert comes_true(partial(_is_refused, before, target))

    mesh.up("--refresh")

    assert asks(credentials(mesh, source, target), target) == 200
    assert comes_true(lambda: not mirrors(mesh, source, target) & pods)
    all_passes(mesh)


def test_one_up_moves_every_link_to_a_gateway_that_has_another_address(
    mesh: Deployment, target: str, sources: list[str]
) -> None:
    before = addresses(mesh, target, sources)
    assert len(set(before.values())) == 1
    for kind in (LoadBalancerKind.HOSTNAME, LoadBalancerKind.IP):
        lifecycle.stop(mesh.lab, [target], delete=False)
        lifecycle.start(mesh.lab, [target], load_balancers={target: kind}, chart_folders=[], timeout=300, say=print)
        wanted = comes_true(lambda kind=kind: (gateway(mesh, target)[:1].isdigit()) == (kind is LoadBalancerKind.IP))  # type: ignore[misc]
        assert wanted, "the lab's load balancer gave no such address"

        mesh.up()

        address = gateway(mesh, target)
        assert addresses(mesh, target, sources) == dict.fromkeys(sources, address)
        for source in sources:
            assert comes_true(partial(leads_to, mesh, source, target, mesh.resolve(address))), source
        all_passes(mesh)
    assert addresses(mesh, target, sources) == before


def gateway(mesh: Deployment, target: str) -> str:
    """The address that the load balancer says."""
    service = mesh.one(mesh.contexts[target], "service", "linkerd-gateway", NAMESPACE)
    found = service["status"]["loadBalancer"].get("ingress") or [{}]
    return str(found[0].get("ip") or found[0].get("hostname") or "")


def addresses(mesh: Deployment, target: str, sources: list[str]) -> dict[str, str]:
    """The gateway's address in each source's Link."""
    links = {source: mesh.one(mesh.contexts[source], "link", target, NAMESPACE) for source in sources}
    return {source: str(link["spec"]["gatewayAddress"]) for source, link in links.items()}


def leads_to(mesh: Deployment, source: str, target: str, address: str) -> bool:
    """Whether all mirrors of a target's services lead there."""
    selector = f"mirror.linkerd.io/cluster-name={target},mirror.linkerd.io/mirrored-service=true"
    found = mesh.objects(mesh.contexts[source], "endpoints", "--all-namespaces", "-l", selector)
    points = [subset.get("addresses") or [{}] for item in found for subset in item.get("subsets") or [{}]]
    return bool(points) and all(point[0].get("ip") == address for point in points)


@pytest.mark.usefixtures("at_length")
def test_one_up_moves_all_credentials_to_an_api_server_that_the_kubeconfig_has_elsewhere(
    mesh: Deployment, target: str, sources: list[str], tmp_path: Path
) -> None:
    context = mesh.contexts[target]
    content = yaml.safe_load(mesh.lab.kubeconfig.read_text())
    (cluster,) = (each["context"]["cluster"] for each in content["contexts"] if each["name"] == context)
    (entry,) = (each["cluster"] for each in content["clusters"] if each["name"] == cluster)
    entry["server"] = entry["server"].replace("127.0.0.1", "localhost")
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(yaml.safe_dump(content))
    pods = {source: mirrors(mesh, source, target) for source in sources}
    mesh.environment["KUBECONFIG"] = str(elsewhere)

    assert not [name for name, operation in mesh.changes().items() if "replace" in operation or "delete" in operation]
    mesh.up()

    for source in sources:
        assert entry["server"] in credentials(mesh, source, target)
        assert comes_true(lambda source=source: not mirrors(mesh, source, target) & pods[source])  # type: ignore[misc]
    all_passes(mesh)
