"""The lab itself: real clusters that start, and stop without a trace."""

from __future__ import annotations

import io
import json
import os
import signal
import ssl
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from hack.lab.state_dir import StateDir
from mesh.paths import PROJECT_ROOT
from tests.helpers import edge_releases
from tests.helpers.documented_commands import LAB, commands_of_test
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES, write_fake_programs
from tests.helpers.page_runner import PageRunner, copy_project
from tests.helpers.stack_under_test import wait_until

pytestmark = pytest.mark.lab("west", "east", "north", "ctx-1", "ctx-2", minutes=1.5)


class Lab:
    """A separate lab, used through its command line."""

    def __init__(self, folder: Path) -> None:
        self.home = StateDir(folder=folder)
        self._environment = {**os.environ, "LAB_HOME": str(folder)}

    def begin(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hack.lab", *arguments],
            cwd=PROJECT_ROOT,
            env={**self._environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A runner in the background ignores SIGINT, and child processes inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str]:
        process = self.begin(*arguments, **variables)
        output = process.communicate(timeout=180)[0]
        return process.returncode, output

    def processes(self) -> list[psutil.Process]:
        """Return all processes with this lab's folder on their command line."""
        processes = []
        for process in psutil.process_iter(["cmdline", "status"]):
            command_line = process.info["cmdline"] or []
            if (
                any(str(self.home.folder) in word for word in command_line)
                and process.info["status"] != psutil.STATUS_ZOMBIE
            ):
                processes.append(process)
        return processes


@pytest.fixture
def own_lab(scratch: Path) -> Iterator[Lab]:
    own_lab = Lab(scratch / "home")
    yield own_lab
    own_lab.run("stop", "--delete")


def kubectl(home: StateDir, context: str, *arguments: str, check: bool = True) -> str:
    command = ["kubectl", "--kubeconfig", str(home.kubeconfig), "--context", context, *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=60).stdout


def test_kubeconfig_verifies_server_and_has_client_certificate(lab: StateDir) -> None:
    content = yaml.safe_load(lab.kubeconfig.read_text())

    assert {context["name"] for context in content["contexts"]} >= {"west", "east"}
    for entry in content["clusters"]:
        assert "insecure-skip-tls-verify" not in entry["cluster"]
        assert entry["cluster"]["server"].startswith("https://127.0.0.1:")
    assert all({"client-certificate-data", "client-key-data"} <= set(entry["user"]) for entry in content["users"])
    assert lab.kubeconfig.stat().st_mode & 0o077 == 0, "the kubeconfig contains keys"


def test_request_without_client_certificate_is_refused(lab: StateDir) -> None:
    secrets = lab.read_status()["clusters"]["west"]["apiServer"] + "/api/v1/secrets"

    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(secrets, context=ssl._create_unverified_context())
    assert raised.value.code in {401, 403}
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(secrets)


@pytest.mark.parametrize(
    ("context", "expected"),
    [("west", {"ip"}), ("ctx-2", {"hostname"}), ("ctx-1", set())],
    ids=["ip", "hostname", "none"],
)
def test_load_balancer_assigns_ip_host_name_or_nothing(lab: StateDir, context: str, expected: set[str]) -> None:
    kubectl(lab, context, "create", "service", "loadbalancer", "shop", "--tcp=80")

    def ingress() -> list[dict[str, Any]]:
        service = json.loads(kubectl(lab, context, "get", "service", "shop", "-o", "json"))
        return service["status"]["loadBalancer"].get("ingress") or []

    try:
        if expected:
            assert wait_until(lambda: bool(ingress()))
        else:
            time.sleep(2)
        assert {key for point in ingress() for key in point if key in {"ip", "hostname"}} == expected
    finally:
        kubectl(lab, context, "delete", "service", "shop")


def test_deployment_becomes_available(lab: StateDir) -> None:
    kubectl(lab, "north", "create", "deployment", "shop", "--image=example.com/shop:1", "--replicas=3")
    try:
        assert "successfully rolled out" in kubectl(
            lab, "north", "rollout", "status", "deployment/shop", "--timeout=30s"
        )
    finally:
        kubectl(lab, "north", "delete", "deployment", "shop")


def test_lab_processes_connect_only_to_loopback(lab: StateDir) -> None:
    pids = [process["pid"] for cluster in lab.read_status()["clusters"].values() for process in cluster["processes"]]
    assert len(pids) >= 20

    remote_addresses = [
        connection.raddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.raddr
    ]

    assert remote_addresses
    assert set(remote_addresses) == {"127.0.0.1"}


def read_served_charts(home: StateDir) -> dict[str, Any]:
    """Return the index of a lab's chart repository."""
    with urllib.request.urlopen(home.read_status()["charts"] + "/index.yaml") as answer:
        entries: dict[str, Any] = yaml.safe_load(answer.read())["entries"]
    return entries


def test_third_party_charts_are_served_too(lab: StateDir) -> None:
    versions_by_chart = {
        name: {entry["version"] for entry in versions} for name, versions in read_served_charts(lab).items()
    }

    assert versions_by_chart["metallb"] == {"0.14.9"}
    assert versions_by_chart["ingress-nginx"] == {"4.11.0"}
    assert {"30.12.11", "30.8.5"} <= versions_by_chart["linkerd-viz"], "one version per Linkerd release"
    assert {"1.14.0", "1.19.0"} <= versions_by_chart["cilium"]


def test_user_charts_take_precedence(own_lab: Lab, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        # The file name is arbitrary: name and version come from Chart.yaml.
        with tarfile.open(folder / "smi.tgz", "w:gz") as archive:
            content = f"name: linkerd-smi\nversion: 1.0.1\ndescription: {folder.name}\n".encode()
            entry = tarfile.TarInfo("linkerd-smi/Chart.yaml")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

    assert own_lab.run("start", "one", LAB_CHARTS=f"{first}:{second}")[0] == 0

    charts = read_served_charts(own_lab.home)
    assert [entry["description"] for entry in charts["linkerd-smi"]] == ["first"]
    assert "metallb" in charts


def test_missing_chart_folder_is_reported(own_lab: Lab) -> None:
    code, output = own_lab.run("start", "one", LAB_CHARTS="/nowhere/charts")

    assert code == 1
    assert "LAB_CHARTS: /nowhere/charts" in output
    assert own_lab.processes() == []


def test_missing_program_folder_is_reported(own_lab: Lab) -> None:
    code, output = own_lab.run("start", "one", LAB_LINKERD="/nowhere/linkerd")

    assert code == 1
    assert "LAB_LINKERD: /nowhere/linkerd: no such folder" in output
    assert own_lab.processes() == []


def test_mirrors_of_configured_release_run_for_their_pods(own_lab: Lab, tmp_path: Path) -> None:
    folder = write_fake_programs(tmp_path, "edge-98.1.2")
    assert own_lab.run("start", "one", LAB_LINKERD="")[0] == 0
    for component, argument in (("controller", "east"), ("local-service-mirror", "-local-mirror")):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": component, "labels": {"component": component}},
            "spec": {
                "containers": [
                    {
                        "name": "mirror",
                        "image": "example.com/controller:edge-98.1.3",
                        "args": ["service-mirror", "-namespace=default", argument],
                    }
                ]
            },
        }
        file = tmp_path / f"{component}.json"
        file.write_text(json.dumps(pod))
        kubectl(own_lab.home, "one", "apply", "-f", str(file))

    assert wait_until(
        lambda: own_lab.run("status")[1].count("LAB_LINKERD has a service mirror for release edge-98.1.3") == 2
    )
    # The running lab reads the new folder and starts the missing mirrors.
    assert own_lab.run("start", "one", LAB_LINKERD=str(folder))[0] == 0

    status = "running (edge-98.1.2 in place of edge-98.1.3)"
    expected = {f"mirror of east: {status}", f"local mirror: {status}"}
    assert wait_until(
        lambda: expected <= {line.partition(",")[0].strip() for line in own_lab.run("status")[1].splitlines()}
    )
    mirrors = own_lab.home.read_status()["clusters"]["one"]["mirrors"]
    first_line = f"{folder}/controller service-mirror -kubeconfig="
    assert all(Path(mirror["log"]).read_text().startswith(first_line) for mirror in mirrors)


@REQUIRES_EDGE_RELEASES
def test_linkerd_edge_releases_are_served_too(lab: StateDir) -> None:
    entries = read_served_charts(lab)

    for linkerd_release, charts in edge_releases.list_edge_releases().items():
        for name, version in charts.items():
            assert (version, linkerd_release) in {
                (entry["version"], entry.get("appVersion")) for entry in entries[name]
            }
    assert edge_releases.newest_edge_release() in edge_releases.list_edge_releases()


def test_documented_commands_stop_and_restore_clusters(own_lab: Lab, tmp_path: Path) -> None:
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    runner = PageRunner(copy_project(tmp_path), {**os.environ, "LAB_HOME": str(own_lab.home.folder), "PATH": path})
    commands = {command.text.partition("hack.lab ")[2]: command for command in commands_of_test(LAB)}
    start, status, kubeconfig, stop, restart = commands.values()

    runner.run(start)
    kubectl(own_lab.home, "north", "create", "namespace", "kept")
    before = own_lab.home.kubeconfig.read_text()
    assert [line.split()[0] for line in runner.run(status).splitlines() if "https://" in line] == [
        "west",
        "east",
        "north",
    ]
    assert runner.run(kubeconfig).strip() == str(own_lab.home.kubeconfig)

    runner.run(stop)
    assert own_lab.processes() == []
    assert own_lab.run("status")[0] != 0

    runner.run(restart)
    assert own_lab.home.kubeconfig.read_text() == before
    assert "kept" in kubectl(own_lab.home, "north", "get", "namespaces")


def test_two_labs_and_an_added_cluster_are_independent(own_lab: Lab, lab: StateDir) -> None:
    assert own_lab.run("start", "west")[0] == 0
    pids = {process.pid for process in own_lab.processes()}
    assert own_lab.run("start", "west", "added")[0] == 0

    assert pids <= {process.pid for process in own_lab.processes()}, "running processes were restarted"
    own_lab.run("stop")
    assert "kube-system" in kubectl(lab, "west", "get", "namespaces")


def test_lab_ends_with_its_owner(own_lab: Lab) -> None:
    program = f"""
import os, time
from pathlib import Path
from hack.lab import lifecycle
from hack.lab.state_dir import StateDir
home = StateDir(folder=Path({str(own_lab.home.folder)!r}))
lifecycle.start(home, ["one"], load_balancers={{}}, chart_folders=[], timeout=120, report=print, owner=os.getpid())
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: own_lab.home.read_status().get("clusters", {}).get("one", {}).get("ready", False), 60)
    finally:
        owner.kill()
        owner.wait()

    assert wait_until(lambda: own_lab.processes() == [], 15)


@pytest.mark.parametrize("kill", ["starter", "supervisor"])
def test_stop_cleans_up_after_a_kill(own_lab: Lab, kill: str) -> None:
    starter = own_lab.begin("start", "one")
    assert wait_until(lambda: len(own_lab.processes()) >= 3)
    if kill == "starter":
        starter.kill()
    else:
        for process in own_lab.processes():
            if "hack.lab.supervisor" in process.info["cmdline"]:
                process.kill()
        starter.terminate()
    starter.wait()

    assert own_lab.run("stop")[0] == 0

    assert wait_until(lambda: own_lab.processes() == [], 10)


def test_interrupted_start_leaves_no_process(own_lab: Lab) -> None:
    starter = own_lab.begin("start", "one")
    # On a busy machine the start can complete before several processes are visible.
    assert wait_until(lambda: len(own_lab.processes()) >= 1)

    starter.send_signal(signal.SIGINT)

    assert starter.wait(timeout=60) == 130
    assert wait_until(lambda: own_lab.processes() == [], 10)


@pytest.mark.parametrize("name", ["West", "a_b", "x" * 64, "-a"])
def test_invalid_cluster_name_is_refused_without_traceback(own_lab: Lab, name: str) -> None:
    code, output = own_lab.run("start", "--", name)

    assert code == 1
    assert "lower-case letters" in output
    assert "Traceback" not in output
