"""Input and output of the Makefile's commands, without a lab."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hack.lab.state_dir import StateDir
from hack.make import __main__ as command
from hack.make import environment, stack
from hack.make.check import print_table
from hack.make.check_result import CheckResult
from hack.toolchain.artifacts import HELM
from mesh.config import PROJECT
from mesh.topology import Link

DEV = stack.read_stack("dev")


def test_stack_file_sets_contexts_links_and_release_of_lab(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.fleet.yaml"
    file.write_text(
        """
        config:
          multicluster-mesh:clusters:
            one: {context: ctx-1, gateway: {loadBalancer: false}}
            two:
            three: {gateway: {loadBalancer: {await: false}}}
          multicluster-mesh:links: [{source: one, target: two}]
          multicluster-mesh:linkerd: {version: stable-2.13.5}
        """
    )

    lab_stack = stack.read_stack("fleet", file)

    assert [(cluster.context, cluster.has_load_balancer) for cluster in lab_stack.clusters] == [
        ("ctx-1", False),
        ("two", True),
        ("three", False),
    ]
    assert lab_stack.links == (Link(source="one", target="two"),)
    assert lab_stack.linkerd_version == "2.13.5"
    assert not lab_stack.has_salt


@pytest.mark.parametrize("cilium", [False, True])
def test_cilium_charts_are_built_before_lab_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cilium: bool
) -> None:
    builds: list[list[str]] = []

    def fail_build(artifacts: list[str]) -> int:
        builds.append(artifacts)
        return 1

    monkeypatch.setattr(command, "build_toolchain", fail_build)
    monkeypatch.setattr(stack, "read_stack", lambda _: replace(DEV, has_cilium=cilium))
    monkeypatch.setattr(command, "locate", lambda: StateDir(folder=tmp_path))

    assert command.main(["up"]) == 1
    assert builds == [[f"linkerd-{DEV.linkerd_version}", *(["cilium"] if cilium else [])]]


def test_release_without_cli_stops_before_lab_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LAB_LINKERD", raising=False)
    monkeypatch.setattr(stack, "read_stack", lambda _: replace(DEV, linkerd_version="edge-26.8.3"))
    monkeypatch.setattr(command, "locate", lambda: StateDir(folder=tmp_path / "home"))

    assert command.main(["up"]) == 1

    assert "error: Linkerd edge-26.8.3: the toolchain has no such release;" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("content", ["", "[]", "config:", "config: {multicluster-mesh:clusters: []}", "config: ["])
def test_stack_file_without_clusters_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "Pulumi.empty.yaml"
    file.write_text(content)

    with pytest.raises(stack.StackFileError, match=r"Pulumi\.empty\.yaml"):
        stack.read_stack("empty", file)


def test_missing_stack_error_lists_existing_stacks() -> None:
    with pytest.raises(stack.StackFileError, match=r"name one of these stacks: .*dev"):
        stack.read_stack("nowhere")


def test_folder_with_spaces_and_quotes_survives_shell() -> None:
    value = "/a folder/with 'quotes' and $HOME"

    output = subprocess.run(
        ["sh", "-c", f'{environment.format_exports({"KUBECONFIG": value})}; printf %s "$KUBECONFIG"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert output == value


def test_failed_row_fails_table_and_prints_detail() -> None:
    rows = [
        CheckResult(subject="west", check="linkerd check", passed=True, detail="37 √"),
        CheckResult(subject="west", check="gateways", passed=False, detail="east not alive"),
    ]
    lines: list[str] = []

    assert print_table(iter(rows), lines.append) is False
    assert lines[1].split() == ["×", "west", "gateways", "east", "not", "alive"]
    assert print_table(iter(rows[:1]), lines.append) is True


@pytest.mark.parametrize("target", ["up", "review"])
def test_cluster_of_another_stack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    states = tmp_path / "state/.pulumi/stacks" / PROJECT
    states.mkdir(parents=True)
    for name in ("openstack-nks", "dev", "deleted-stack-file"):
        (states / f"{name}.json").write_text('{"resources": []}')
    monkeypatch.setattr(command, "locate", lambda: StateDir(folder=tmp_path))
    monkeypatch.setattr(command, "build_toolchain", lambda artifacts: 0 if artifacts == [HELM.name] else 1)

    assert command.main([target, "kpaas"]) == 1
    assert capsys.readouterr().err == (
        "error: Pulumi.kpaas.yaml: ctx-1, ctx-2: the lab's stack openstack-nks uses the same clusters; run "
        "`make down STACK=openstack-nks` first, or set LAB_HOME to another folder\n"
    )
    assert command.main([target, "openstack-nks"]) == 1
    assert "uses the same clusters" not in capsys.readouterr().err, "its own clusters"


def test_down_keeps_clusters_of_other_stacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = StateDir(folder=tmp_path)
    states = tmp_path / "state/.pulumi/stacks" / PROJECT
    states.mkdir(parents=True)
    (states / "kpaas.json").write_text('{"resources": []}')
    (states / "emojivoto.json").write_text("{}")
    for name in ("west", "east", "ctx-1", "ctx-2"):
        home.cluster(name).mkdir(parents=True)
        (home.cluster(name) / "allocation.json").touch()
    stopped: list[list[str]] = []

    def stop(_home: StateDir, names: list[str], *, delete: bool) -> list[str]:
        stopped.append(names)
        return names

    monkeypatch.setattr("hack.lab.lifecycle.start", lambda *_, **__: None)
    monkeypatch.setattr("hack.lab.lifecycle.stop", stop)

    assert command._down(home, stack.read_stack("dev")) == 0

    assert stopped == [["west", "east"]]
    assert capsys.readouterr().out == "stopped west, east; the lab keeps running for kpaas\n"
