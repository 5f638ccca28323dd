"""Data plane of the lab: pods that exchange packets, and their end with the lab."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from hack import toolchain
from hack.lab import allocation, api, lifecycle
from hack.lab.api import ApiClient
from hack.lab.dataplane import requirements, state
from hack.lab.errors import LabError
from hack.lab.pki import Pki
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir
from tests.helpers.dataplane_programs import NAMED_FOLDERS, REQUIRES_DATAPLANE

pytestmark = [pytest.mark.lab("plane-1", "plane-2", minutes=1), REQUIRES_DATAPLANE]

T = TypeVar("T")

_TIMEOUT_S = 90  # a busy machine starts some dozen processes slowly
_PODS = "/api/v1/namespaces/default/pods"
_SERVICES = "/api/v1/namespaces/default/services"


def client(home: StateDir, cluster: str) -> ApiClient:
    """Return the client of a cluster's API server."""
    its_allocation = allocation.read_allocation(home.cluster(cluster))
    assert its_allocation is not None
    return api.connect(Pki(folder=home.cluster(cluster) / "pki"), its_allocation)


def wait_for(read: Callable[[], T | None]) -> T:
    """Return the first result that is not None."""
    deadline = time.monotonic() + _TIMEOUT_S
    while (result := read()) is None:
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
    return result


def pod(name: str, image: str, **fields: Any) -> dict[str, Any]:
    """Return the manifest of a pod."""
    container = {"name": name, "image": image, **fields}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 5, "securityContext": {"runAsUser": 1000}},
    }


HELLOWORLD = pod(
    "helloworld",
    "docker.io/istio/examples-helloworld-v1:1.0",
    ports=[{"containerPort": 5000}],
    readinessProbe={"httpGet": {"path": "/health", "port": 5000}},
)
SLEEP = pod("sleep", "curlimages/curl:8.12.1", command=["/bin/sleep", "3650d"])


def is_ready(cluster: ApiClient, name: str) -> bool | None:
    conditions = cluster.get(f"{_PODS}/{name}").get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions) or None


def create_pods(home: StateDir, cluster: str) -> None:
    """Create helloworld behind a load balancer, and a client pod."""
    server = client(home, cluster)
    server.create(_PODS, HELLOWORLD)
    server.create(_PODS, SLEEP)
    ports = [{"port": 5000}]
    server.create(
        _SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "helloworld"},
            "spec": {"type": "LoadBalancer", "selector": {"app": "helloworld"}, "ports": ports},
        },
    )
    for name in ("helloworld", "sleep"):
        wait_for(lambda name=name: is_ready(server, name))  # type: ignore[misc]


def request(home: StateDir, cluster: str, url: str) -> str:
    """Send a request from the client pod; return the body, or an empty text without an answer."""
    prefix = state.container_command_prefix(home, cluster, "default", "sleep")
    command = [*prefix, "curl", "--silent", "--max-time", "2", url]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def kubectl(home: StateDir, *arguments: str) -> list[str]:
    """Return a command of kubectl for the first cluster."""
    program = shutil.which("kubectl") or str(toolchain.installed("kubectl") / "bin/kubectl")
    return [program, "--kubeconfig", str(home.kubeconfig), "--context", "plane-1", *arguments]


def list_processes(home: StateDir) -> list[psutil.Process]:
    """Return the processes of all containers, and those that hold the namespaces."""
    planes = [state.read_state(home.cluster(name)) for name in ("plane-1", "plane-2")]
    return [child for plane in planes for child in psutil.Process(plane["pid"]).children(recursive=True)]


@pytest.fixture(scope="module")
def home(dataplane_lab: StateDir) -> Iterator[StateDir]:
    """Yield a lab with pods in both clusters."""
    for cluster in ("plane-1", "plane-2"):
        create_pods(dataplane_lab, cluster)
    yield dataplane_lab


def test_service_leads_to_its_pod(home: StateDir) -> None:
    body = wait_for(lambda: request(home, "plane-1", "http://helloworld:5000/hello") or None)
    assert body == "Hello version: v1, instance: helloworld\n"


def test_kubectl_exec_returns_output_and_exit_code(home: StateDir) -> None:
    result = subprocess.run(
        kubectl(home, "exec", "-i", "sleep", "--", "sh", "-c", "cat; id -u; exit 3"),
        input="from outside\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (3, "from outside\n1000\n")


def test_kubectl_port_forward_reaches_pod(home: StateDir) -> None:
    command = kubectl(home, "port-forward", "pod/helloworld", ":5000")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().rpartition(" -> ")[0].rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=_TIMEOUT_S) as response:
            body = response.read()
        process.kill()
    assert body == b"Hello version: v1, instance: helloworld\n"


def test_kubectl_logs_prints_output(home: StateDir) -> None:
    server = client(home, "plane-1")
    server.create(_PODS, pod("writer", "curlimages/curl:8.12.1", command=["sh", "-c", "seq 3; exec sleep 3650d"]))
    wait_for(lambda: is_ready(server, "writer"))
    logs = subprocess.run(
        kubectl(home, "logs", "writer", "--tail=2"), capture_output=True, text=True, check=True
    ).stdout
    server.delete(f"{_PODS}/writer")
    assert logs == "2\n3\n"


def test_load_balancer_is_the_only_way_between_clusters(home: StateDir) -> None:
    other = allocation.read_allocation(home.cluster("plane-2"))
    assert other is not None
    address = client(home, "plane-2").get(f"{_PODS}/helloworld")["status"]["podIP"]
    balanced = f"http://{other.load_balancer_address}:5000/hello"
    assert wait_for(lambda: request(home, "plane-1", balanced) or None).startswith("Hello")
    assert request(home, "plane-1", f"http://{address}:5000/hello") == ""


def test_deleted_pod_ends_within_its_grace_period(home: StateDir) -> None:
    server = client(home, "plane-2")
    server.create(_PODS, pod("short", "curlimages/curl:8.12.1", command=["/bin/sleep", "3650d"]))
    wait_for(lambda: is_ready(server, "short"))
    process = psutil.Process(
        state.read_state(home.cluster("plane-2"))["pods"]["default/short"]["containers"]["short"]["pid"]
    )
    server.delete(f"{_PODS}/short")
    process.wait(timeout=_TIMEOUT_S)
    wait_for(lambda: all(item["metadata"]["name"] != "short" for item in server.get(_PODS)["items"]) or None)


def test_killed_data_plane_restarts_its_pods(home: StateDir) -> None:
    plane = state.read_state(home.cluster("plane-1"))["pid"]
    before = psutil.Process(plane).children(recursive=True)
    os.kill(plane, signal.SIGKILL)
    wait_for(lambda: state.read_state(home.cluster("plane-1")).get("pid", plane) != plane or None)
    answer = wait_for(lambda: _try_request(home, "http://helloworld:5000/hello"))
    assert answer.startswith("Hello")
    assert [each for each in before if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []


def test_nothing_survives_killed_supervisor(home: StateDir) -> None:
    processes = list_processes(home)
    assert processes
    os.kill(lifecycle.read_live_status(home)["supervisor"]["pid"], signal.SIGKILL)
    _, survivors = psutil.wait_procs(processes, timeout=_TIMEOUT_S)
    assert survivors == []
    lifecycle.stop(home, [], delete=False)


def test_flat_network_connects_pods_of_clusters(scratch: Path) -> None:
    home = StateDir(folder=scratch / "lab")
    clusters = ["plane-1", "plane-2"]
    try:
        start(home, clusters, flat=True)
        for cluster in clusters:
            create_pods(home, cluster)
        address = client(home, "plane-2").get(f"{_PODS}/helloworld")["status"]["podIP"]
        assert request(home, "plane-1", f"http://{address}:5000/hello").startswith("Hello")
    finally:
        lifecycle.stop(home, [], delete=True)


def test_host_name_of_load_balancer_leads_to_gateway(scratch: Path) -> None:
    home = StateDir(folder=scratch / "lab")
    try:
        start(home, ["plane-1"], load_balancers={"plane-1": LoadBalancerKind.HOSTNAME}, image_delay=2)
        began = time.monotonic()
        create_pods(home, "plane-1")
        assert time.monotonic() - began >= 2, "the image's delay"
        url = "http://lb.plane-1.example.com:5000/hello"
        assert wait_for(lambda: request(home, "plane-1", url) or None).startswith("Hello")
    finally:
        lifecycle.stop(home, [], delete=True)


def start(
    home: StateDir, clusters: list[str], *, load_balancers: dict[str, LoadBalancerKind] | None = None, **options: Any
) -> None:
    """Start a lab of one test."""
    lifecycle.start(
        home,
        clusters,
        load_balancers=load_balancers or {},
        chart_folders=[],
        timeout=120,
        report=print,
        owner=os.getpid(),
        dataplane_folders=requirements.check_folders(NAMED_FOLDERS),
        **options,
    )


def _try_request(home: StateDir, url: str) -> str | None:
    try:
        return request(home, "plane-1", url) or None
    except LabError:
        return None  # the container is not started again yet
