"""Clients and probes that policies of declared services allow, with Linkerd's own controllers, proxies and gateway."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from tests.helpers import other_teams
from tests.helpers.dataplane_programs import REQUIRES_DATAPLANE
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES, newest_edge_release
from tests.helpers.other_teams import build_service, build_workload
from tests.helpers.stack_under_test import StackUnderTest, deploy, wait_until

pytestmark = [pytest.mark.lab("plane-1", "plane-2", minutes=4), REQUIRES_DATAPLANE, REQUIRES_EDGE_RELEASES]

NAMESPACE = "policy-shop"
WEST, EAST = "plane-1", "plane-2"
CONFIG: dict[str, Any] = {
    "clusters": {"west": {"context": WEST}, "east": {"context": EAST}},
    "topology": "full-mesh",
    "namespaces": {NAMESPACE: {"meshed": True, "restart": True}},
    "services": {f"{NAMESPACE}/cart": {"clusters": ["east"], "exported": ["east"]}},
}
# Context, pod and URL of each client. The service accounts have the names of the pods.
CLIENTS = {
    f"{name} in {cluster}": (context, name, f"http://{service}.{NAMESPACE}")
    for cluster, context, service in (("west", WEST, "cart-east"), ("east", EAST, "cart"))
    for name in ("web", "other", "unmeshed")
}
WEB = f"{NAMESPACE}/web"
EXPECTED = {
    "account": ([{"from": WEB}], {"web in east"}),
    # Through the gateway, all clients have its identity.
    "gateway": (
        [{"from": WEB}, {"from": WEB, "clusters": ["west"]}],
        {"web in east", "web in west", "other in west"},
    ),
    "account-and-network": ([{"from": WEB, "networks": ["198.51.100.0/24"]}], set()),
    "namespace-or-network": (
        [{"from": f"{NAMESPACE}/*"}, {"networks": ["198.51.100.0/24"]}],
        {"web in east", "other in east"},
    ),
    "mesh": ([{"from": "*"}], {"web in east", "other in east", "web in west", "other in west"}),
    "anybody": ([{"unauthenticated": True}], {*CLIENTS} - {"unmeshed in west"}),
}


def build_client(name: str) -> Iterator[dict[str, Any]]:
    """Yield a client pod and its service account."""
    annotations = {"linkerd.io/inject": "disabled" if name == "unmeshed" else "enabled"}
    container = {"name": "client", "image": "curlimages/curl:8.12.1", "command": ["sleep", "infinity"]}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    yield {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"serviceAccountName": name, "containers": [container]},
    }


@pytest.fixture(scope="module")
def stack(dataplane_lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy a service in east, and clients in both clusters."""
    folder = tmp_path_factory.mktemp("policies")
    config = {**CONFIG, "linkerd": {"version": newest_edge_release()}}
    preparation = StackUnderTest(dataplane_lab, folder, "policies", config)
    cart = build_workload("Deployment", "cart")
    probe = {"httpGet": {"port": "http", "path": "/ready"}, "periodSeconds": 1, "failureThreshold": 1}
    cart["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe
    for context in (WEST, EAST):
        preparation.kubectl(context, "create", "namespace", NAMESPACE)
    other_teams.apply(preparation, EAST, NAMESPACE, cart, build_service("cart", 80))
    with deploy(dataplane_lab, folder, "policies", config) as lab_stack:
        for context in (WEST, EAST):
            clients = [each for name in ("web", "other", "unmeshed") for each in build_client(name)]
            other_teams.apply(lab_stack, context, NAMESPACE, *clients)
            lab_stack.kubectl(
                context, "-n", NAMESPACE, "wait", "--for=condition=Ready", "--timeout=90s", "pod/web", "pod/other"
            )
        yield lab_stack
        for context in (WEST, EAST):
            lab_stack.kubectl(context, "-n", NAMESPACE, "delete", "pod", "--all")
    for context in (WEST, EAST):
        preparation.kubectl(context, "delete", "namespace", NAMESPACE)


def list_allowed_clients(stack: StackUnderTest) -> set[str]:
    """Return the clients whose requests succeed."""
    allowed = set()
    for client, (context, pod, url) in CLIENTS.items():
        curl = ("curl", "--silent", "--output", "/dev/null", "--max-time", "3", "--write-out", "%{http_code}", url)
        command = ("kubectl", "--context", context, "-n", NAMESPACE, "exec", pod, "-c", "client", "--", *curl)
        if stack.run(*command, check=False).stdout == "200":
            allowed.add(client)
    return allowed


def is_ready(stack: StackUnderTest) -> bool:
    deployment = stack.get_object(EAST, "deployment", "cart", NAMESPACE)
    return bool(deployment["status"].get("readyReplicas") == 1)


@pytest.mark.parametrize("case", EXPECTED)
@pytest.mark.parametrize("form", ["authorization-policy", "server-authorization"])
def test_only_declared_clients_can_call(stack: StackUnderTest, form: str, case: str) -> None:
    allow, expected = EXPECTED[case]
    config = copy.deepcopy({**CONFIG, "linkerd": {"version": newest_edge_release()}})
    config["services"][f"{NAMESPACE}/cart"] |= {"allow": allow, "policy": form}
    stack.configure(config)

    stack.up()

    assert wait_until(lambda: list_allowed_clients(stack) == expected), list_allowed_clients(stack)
    assert is_ready(stack)


@contextmanager
def requests_from_web(stack: StackUnderTest) -> Iterator[list[str]]:
    """Send requests from `web` in east until exit, and fill the list with their HTTP statuses then."""
    curl = f"curl --silent --output /dev/null --max-time 3 --write-out '%{{http_code}} ' http://cart.{NAMESPACE}"
    loop = f"rm -f /tmp/stop; until [ -e /tmp/stop ]; do {curl}; sleep 0.1; done"
    in_pod = ("kubectl", "--context", EAST, "-n", NAMESPACE, "exec", "web", "-c", "client", "--")
    statuses: list[str] = []
    with ThreadPoolExecutor(max_workers=1) as pool:
        output = pool.submit(stack.run, *in_pod, "sh", "-c", loop)
        try:
            yield statuses
        finally:
            stack.run(*in_pod, "touch", "/tmp/stop")  # in the pod
            statuses += output.result().stdout.split()


def test_new_default_policy_refuses_no_allowed_client(stack: StackUnderTest) -> None:
    config: dict[str, Any] = {**CONFIG, "linkerd": {"version": newest_edge_release()}}
    restricted = copy.deepcopy(config)
    restricted["namespaces"][NAMESPACE]["defaultInboundPolicy"] = "deny"
    restricted["services"][f"{NAMESPACE}/cart"]["allow"] = [{"from": WEB}]
    stack.configure(config)
    stack.up()
    assert wait_until(lambda: "web in east" in list_allowed_clients(stack))

    for change in (restricted, config):
        stack.configure(change)
        with requests_from_web(stack) as statuses:
            stack.up()
            allowed = list_allowed_clients(stack)
        assert "200" in statuses
        assert "403" not in statuses
        assert ("other in east" in allowed) == (change is config)


@pytest.mark.parametrize("access", ["deny", "all-unauthenticated"])
@pytest.mark.parametrize("protocol", ["unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque"])
def test_linkerd_refuses_the_http_probes_that_checks_report(stack: StackUnderTest, protocol: str, access: str) -> None:
    stack.configure({**CONFIG, "linkerd": {"version": newest_edge_release()}})
    stack.up()
    server = {
        "apiVersion": "policy.linkerd.io/v1beta3",
        "kind": "Server",
        "metadata": {"name": "theirs"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "cart"}},
            "port": "http",
            "proxyProtocol": protocol,
            "accessPolicy": access,
        },
    }
    needs_ready = protocol in ("unknown", "HTTP/1") or (protocol == "opaque" and access != "deny")

    other_teams.apply(stack, EAST, NAMESPACE, server)
    try:
        assert wait_until(lambda: not is_ready(stack), timeout_s=8) is not needs_ready
    finally:
        stack.kubectl(EAST, "-n", NAMESPACE, "delete", "servers.policy.linkerd.io", "theirs")
        assert wait_until(lambda: is_ready(stack))
