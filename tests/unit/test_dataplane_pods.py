"""Programs, users and status of the data plane's pods."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hack.lab.dataplane import container_process, images, namespaces
from hack.lab.dataplane.images import LINKERD_PROGRAMS, ContainerProgram
from hack.lab.dataplane.probes import parse_probe
from hack.lab.dataplane.processes import user_of
from hack.lab.dataplane.requirements import check_folder, check_folders
from hack.lab.dataplane.state import container_command_prefix, write_state
from hack.lab.dataplane.status import ContainerSnapshot, format_time, pod_phase, pod_status
from hack.lab.errors import LabError
from hack.lab.state_dir import StateDir

EDGE, OTHER = Path("/programs/edge-26.8.3"), Path("/programs/stable-2.14.10")


def select(
    image: str, *, command: tuple[str, ...] = (), args: tuple[str, ...] = (), is_job: bool = False
) -> ContainerProgram:
    container = {"image": image, "ports": [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]}
    return images.select_program(container, args, command, [EDGE, OTHER], is_job=is_job)


def test_linkerd_image_runs_program_of_its_release() -> None:
    program = select("cr.l5d.io/linkerd/controller:stable-2.14.10", args=("identity", "-v"))
    assert program.argv == ("/controller", "identity", "-v")
    assert program.linkerd_folder == OTHER
    assert program.variables == {"LINKERD_CONTAINER_VERSION_OVERRIDE": "stable-2.14.10"}


def test_linkerd_image_of_unknown_release_runs_first_folder() -> None:
    program = select("ghcr.io/linkerd/proxy-init:v2.4.9", args=("--ipv6=false",))
    assert program.argv == ("/usr/lib/linkerd/linkerd2-proxy-init", "--ipv6=false")
    assert program.linkerd_folder == EDGE


@pytest.mark.parametrize(
    ("image", "is_linkerd"),
    [
        ("registry.example.com/mirror/proxy:edge-26.8.3", True),
        ("registry.example.com/mirror/proxy-init:v2.4.9", True),
        ("registry.k8s.io/ingress-nginx/controller:v1.11.1", False),
        ("cr.l5d.io/linkerd/metrics-api:edge-26.8.3", False),  # the folder has no such program
    ],
)
def test_linkerd_image_is_recognized_in_other_repository(image: str, is_linkerd: bool) -> None:
    assert (select(image).linkerd_folder is not None) == is_linkerd


def test_program_of_viz_is_used_if_present(tmp_path: Path) -> None:
    (tmp_path / "tap").touch()
    program = images.select_program(
        {"image": "cr.l5d.io/linkerd/tap:edge-26.8.3"}, ["api"], [], [tmp_path], is_job=False
    )
    assert program.argv == ("/tap", "api")
    assert (f"{tmp_path}/tap", "/tap") in images.list_programs(tmp_path)


def test_command_replaces_entrypoint() -> None:
    assert select("cr.l5d.io/linkerd/controller:edge-26.8.3", command=("/linkerd-policy-controller",)).argv == (
        "/linkerd-policy-controller",
    )


@pytest.mark.parametrize(
    ("image", "end"),
    [
        ("docker.io/istio/examples-helloworld-v2:1.0", ("hack.lab.dataplane.servers.helloworld", "v2")),
        ("nginx:alpine", ("hack.lab.dataplane.servers.stand_in", "nginx", "8080")),
        ("registry:5000/team/web@sha256:0a", ("hack.lab.dataplane.servers.stand_in", "web", "8080")),
    ],
)
def test_image_of_sample_runs_a_server(image: str, end: tuple[str, ...]) -> None:
    assert select(image).argv[-len(end) :] == end


def test_podinfo_keeps_its_options() -> None:
    assert select("ghcr.io/stefanprodan/podinfo:6.7.1", command=("./podinfo", "--port=9898")).argv[-1] == "--port=9898"


def test_curl_runs_its_own_command() -> None:
    assert select("curlimages/curl:8.12.1", command=("/bin/sleep", "3650d")).argv == ("/bin/sleep", "3650d")


def test_unknown_job_ends_at_once() -> None:
    assert select("bitnami/kubectl", command=("kubectl", "get"), is_job=True).argv == ("/bin/true",)


def test_servers_are_mounted_where_python_finds_them() -> None:
    assert f"{images.MODULES_TARGET}/hack/lab/dataplane/servers" == images.SERVERS_TARGET
    assert (images.SERVERS_FOLDER / "helloworld.py").is_file()


def test_container_user_precedes_that_of_pod() -> None:
    pod = {"securityContext": {"runAsUser": 1000, "runAsGroup": 5}}
    assert user_of(pod, {}) == (1000, 5)
    assert user_of(pod, {"securityContext": {"runAsUser": 2102}}) == (2102, 5)
    assert user_of({}, {}) == (0, 0)


def test_network_administrator_runs_as_root() -> None:
    container = {"securityContext": {"runAsUser": 65534, "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}}
    assert user_of({}, container) == (0, 0)


def test_probe_is_frequent_until_its_first_success() -> None:
    probe = parse_probe({"httpGet": {"port": 80}, "initialDelaySeconds": 2})
    assert probe is not None
    assert (probe.initial_delay_s, probe.failure_threshold) == (2, 3)
    assert probe.interval_s(has_succeeded=True) == 10
    assert probe.interval_s(has_succeeded=False) < 1
    assert parse_probe(None) is None


def test_symbolic_link_is_resolved_below_root(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "up").symlink_to("../../etc")
    root = str(tmp_path)
    assert container_process.resolve_in_root(root, "/var/run/secrets/token") == f"{root}/run/secrets/token"
    assert container_process.resolve_in_root(root, "/up/hosts") == f"{root}/etc/hosts"


def state(name: str = "web", **fields: Any) -> ContainerSnapshot:
    return ContainerSnapshot(name=name, image="web:1", **fields)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in status["conditions"]}


def status_of(*states: ContainerSnapshot, policy: str = "Always", **previous: Any) -> dict[str, Any]:
    return pod_status(
        states, restart_policy=policy, address="10.1.0.10", node_address="192.0.2.1", previous=previous, now=100.0
    )


def test_pod_without_processes_is_pending() -> None:
    status = status_of(state(is_init=True, name="init"), state())
    assert status["phase"] == "Pending"
    assert conditions(status)["Initialized"] == "False"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_pod_is_ready_with_its_sidecar_and_containers() -> None:
    proxy = state("proxy", is_init=True, is_sidecar=True, pid=1, is_started=True, is_ready=True)
    main = state(pid=2, is_started=True, is_ready=True)
    assert conditions(status_of(proxy, main))["Ready"] == "True"
    unready = state("proxy", is_init=True, is_sidecar=True, pid=1, is_started=True)
    assert conditions(status_of(unready, main))["Ready"] == "False"


def test_unchanged_condition_keeps_its_time() -> None:
    before = status_of(state(pid=2, is_started=True))
    old = {**before, "conditions": [{**each, "lastTransitionTime": format_time(5)} for each in before["conditions"]]}
    after = status_of(state(pid=2, is_started=True, is_ready=True), **old)
    times = {condition["type"]: condition["lastTransitionTime"] for condition in after["conditions"]}
    assert times["Initialized"] == "1970-01-01T00:00:05Z"
    assert times["Ready"] == "1970-01-01T00:01:40Z"


@pytest.mark.parametrize(
    ("code", "policy", "phase"),
    [(0, "Never", "Succeeded"), (1, "Never", "Failed"), (1, "OnFailure", "Running"), (0, "Always", "Running")],
)
def test_ended_container_sets_phase(code: int, policy: str, phase: str) -> None:
    assert pod_phase([state(exit_code=code)], policy) == phase


def test_restarting_container_has_reason_and_last_state() -> None:
    crashed = state(exit_code=2, restarts=1, waiting_reason="CrashLoopBackOff", waiting_message="exit code 2")
    entry = status_of(crashed)["containerStatuses"][0]
    assert entry["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert entry["lastState"]["terminated"]["exitCode"] == 2


def test_pod_with_exact_name_precedes_newer_pod(tmp_path: Path) -> None:
    home = StateDir(folder=tmp_path)
    home.cluster("west").mkdir(parents=True)
    process = {"pid": os.getpid(), "uid": 0, "gid": 0}
    pods = {"default/web": {"containers": {"web": process}}, "default/web-2": {"containers": {"web": process}}}
    write_state(home.cluster("west"), {"pods": pods})
    with pytest.raises(LabError, match="west: default/web: sidecar: does not run; name one of web"):
        container_command_prefix(home, "west", "default", "web", "sidecar")
    with pytest.raises(LabError, match="west: default/web-2: sidecar: does not run"):
        container_command_prefix(home, "west", "default", "web-", "sidecar")


def test_data_plane_without_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LINKERD_PROGRAMS:
        (tmp_path / name).touch(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        LabError, match="LAB_DATAPLANE: the data plane creates network namespaces; start the lab as root"
    ):
        check_folders(str(tmp_path))


def test_missing_system_program_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LINKERD_PROGRAMS:
        (tmp_path / name).touch(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(namespaces, "open_network", lambda: os.open(tmp_path, os.O_RDONLY))
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name == "ip" else name)
    with pytest.raises(LabError, match=r"LAB_DATAPLANE: ip: no such program; .*'apt-get install iproute2'"):
        check_folders(str(tmp_path))


def test_missing_program_is_named_with_remedy(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"LAB_DATAPLANE: {tmp_path}/controller: no such file; copy"):
        check_folder(tmp_path)
    for name in LINKERD_PROGRAMS:
        (tmp_path / name).touch(0o644)
    with pytest.raises(LabError, match="not executable; run 'chmod"):
        check_folder(tmp_path)
    with pytest.raises(LabError, match="no such folder; name a folder that contains controller"):
        check_folder(tmp_path / "none")
