"""`make verify`: counts of answers per cluster, and errors before any request."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.make import __main__ as command
from hack.make import stack
from hack.make.verify import (
    AnswerCount,
    SplitCheck,
    Verifier,
    VerifyError,
    count_answers,
    evaluate_answers,
    split_checks,
)
from mesh.config import PROJECT

HELLO = "+ Hello version: {}, instance: helloworld-{}-7d9c"
LINKS = [{"source": "west", "target": "east"}]
SPLIT = {"cluster": "west", "weights": {"west": 50, "east": 50}}
HELLOWORLD = {"versions": {"west": "v1", "east": "v2"}, "exported": ["east"], "sleep": ["west"], "splits": [SPLIT]}
PODINFO = {"exported": ["east"], "frontend": ["west"], "splits": [SPLIT]}

SPLIT_CHECK = SplitCheck(
    sample="helloworld",
    cluster="west",
    namespace="default",
    client="sleep",
    client_setting="workloads[].helloworld.sleep",
    url="http://helloworld:5000/hello",
    origin_pattern=r"version: (v[0-9]+)",
    origins={"west": "v1", "east": "v2", "north": "v1"},
    weights={"west": 50, "east": 50},
    has_client=True,
)

Run = Callable[..., tuple[bool, str]]


def write_stack(folder: Path, *workloads: Mapping[str, Any], **clusters: Any) -> stack.LabStack:
    content = {
        "clusters": {"west": {"context": "ctx-west"}, "east": {"context": "ctx-east"}, **clusters},
        "links": LINKS,
        "workloads": list(workloads),
    }
    config = {"config": {f"{PROJECT}:{key}": value for key, value in content.items()}}
    file = folder / "Pulumi.custom.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return stack.read_stack("custom", file)


def write_kubeconfig(folder: Path, *contexts: str, lab: bool = False) -> Path:
    lab_extension = (
        {"extensions": [{"name": "multicluster-mesh.lab", "extension": {"loopbackPeers": True}}]} if lab else {}
    )
    file = folder / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "current-context": contexts[0] if contexts else "",
                "contexts": [{"name": name, "context": {"cluster": "one"}} for name in contexts],
                "clusters": [{"name": "one", "cluster": {"server": "https://192.0.2.1:6443", **lab_extension}}],
            }
        )
    )
    return file


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that verifies with a fake kubectl: it logs its arguments and runs a script."""

    def verify(script: str, *workloads: Mapping[str, Any], **clusters: Any) -> tuple[bool, str]:
        program = tmp_path / "kubectl"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/arguments\n{script}\n')
        program.chmod(0o755)
        kubeconfig_file = write_kubeconfig(tmp_path, "ctx-west", "ctx-east")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig_file)}
        (row,) = Verifier(write_stack(tmp_path, *workloads, **clusters), environment).rows()
        return row.passed, row.detail

    return verify


def print_script(lines: list[str]) -> str:
    return "\n".join(["cat <<'END'", *lines, "END"])


def test_answers_are_counted_by_responding_version() -> None:
    output = "\n".join([HELLO.format("v1", "v1"), HELLO.format("v2", "v2"), HELLO.format("v2", "v2"), "+ x", "- y"])

    assert count_answers(output, SPLIT_CHECK.origin_pattern) == AnswerCount(
        by_origin={"v1": 1, "v2": 2}, unrecognized=("x",), failures=("y",)
    )


@pytest.mark.parametrize(
    ("weights", "answers", "passed", "message"),
    [
        (
            {"west": 50, "east": 50},
            AnswerCount(by_origin={"v1": 11, "v2": 9}),
            True,
            "20 requests: west (v1) 11 (weight 50), east",
        ),
        ({"west": 50, "east": 50}, AnswerCount(by_origin={"v1": 20}), False, "no answer from east"),
        ({"west": 0, "east": 1}, AnswerCount(by_origin={"v2": 20}), True, "west (v1) 0 (weight 0)"),
        (
            {"west": 0, "east": 1},
            AnswerCount(by_origin={"v1": 1, "v2": 19}),
            False,
            "1 from west (v1), which has no weight",
        ),
        ({"east": 1}, AnswerCount(by_origin={"v1": 1, "v2": 19}), False, "1 from v1, which has no weight"),
        (
            {"east": 1},
            AnswerCount(by_origin={"v2": 19}, failures=("timed out",)),
            False,
            "1 failed, for example: timed out",
        ),
        (
            {"east": 1},
            AnswerCount(by_origin={"v2": 19}, unrecognized=("<html>",)),
            False,
            "1 of unknown origin, for example: <html>",
        ),
        ({"east": 1}, AnswerCount(by_origin={}), False, "no answer from east"),
    ],
    ids=[
        "both",
        "one-missing",
        "weight-zero",
        "weight-zero-answers",
        "no-weight-answers",
        "failed-request",
        "unrecognized-answer",
        "no-answer",
    ],
)
def test_split_passes_when_exactly_weighted_clusters_answer(
    weights: dict[str, int], answers: AnswerCount, passed: bool, message: str
) -> None:
    check = SplitCheck(**{**vars(SPLIT_CHECK), "weights": weights})

    result, detail = evaluate_answers(check, answers)

    assert (result, message in detail) == (passed, True), detail


@pytest.mark.parametrize(
    ("weights", "requests"),
    [
        ({"west": 50, "east": 50}, 20),
        ({"west": 1, "east": 0}, 20),
        ({"west": 9, "east": 1}, 50),
        ({"a": 1, "b": 10**6}, 500),
    ],
)
def test_small_weight_needs_more_requests(weights: dict[str, int], requests: int) -> None:
    assert SplitCheck(**{**vars(SPLIT_CHECK), "weights": weights}).request_count == requests


def test_helloworld_requests_come_from_sleep_in_cluster_context(tmp_path: Path, run: Run) -> None:
    answers = [HELLO.format(version, version) for version in ("v1", "v2") * 10]

    assert run(print_script(answers), {"helloworld": HELLOWORLD}) == (
        True,
        "20 requests: west (v1) 10 (weight 50), east (v2) 10 (weight 50)",
    )
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[:9] == [
        *("--context", "ctx-west", "--namespace", "default", "exec", "deploy/sleep", "-c", "sleep", "--")
    ]


def test_podinfo_requests_come_from_frontend(tmp_path: Path, run: Run) -> None:
    answers = [f'+ {{ "hostname": "p", "message": "greetings from {name}", }}' for name in ("west", "east") * 10]

    passed, detail = run(print_script(answers), {"podinfo": PODINFO})

    assert passed, detail
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[5:9] == ["deploy/frontend", "-c", "nginx", "--"]


@pytest.mark.parametrize("program", ["curl", "wget"])
def test_pod_script_prints_one_line_per_request(tmp_path: Path, run: Run, program: str) -> None:
    folder = tmp_path / "pod"
    folder.mkdir()
    # An answer has two lines and an asterisk. Every third request fails.
    (folder / program).write_text(
        f"#!/bin/sh\necho >>{folder}/requests\n"
        f'if [ $(($(wc -l <{folder}/requests) % 3)) -eq 0 ]; then echo "{program}: refused" >&2; exit 7; fi\n'
        "printf 'Hello *\\nversion: v1, instance: helloworld-v1-7d9c\\n'\n"
    )
    (folder / program).chmod(0o755)
    for tool in ("tr", "wc", "sh"):
        location = subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True).stdout
        (folder / tool).symlink_to(location.strip())

    passed, detail = run(f'shift 11; exec env PATH={folder} sh -c "$1"', {"helloworld": HELLOWORLD})

    # The script stops after five failures.
    assert not passed
    assert detail == (
        "15 requests: west (v1) 10 (weight 50), east (v2) 0 (weight 50); no answer from east; "
        f"5 failed, for example: {program}: refused"
    )


def test_kubectl_failure_is_reported_in_one_line(run: Run) -> None:
    script = "echo 'W1 a warning' >&2; echo 'error: deployments.apps \"sleep\" not found' >&2; exit 1"

    passed, detail = run(script, {"helloworld": HELLOWORLD})

    assert not passed
    assert detail == 'kubectl exec deploy/sleep in default: error: deployments.apps "sleep" not found'


def test_hanging_kubectl_times_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hack.make.verify.SPLIT_TIMEOUT_S", 0.1)

    passed, detail = run("exec sleep 30", {"helloworld": HELLOWORLD})

    assert not passed
    assert "took more than" in detail


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ({"helloworld": {**HELLOWORLD, "sleep": []}}, "add west to workloads[].helloworld.sleep"),
        ({"podinfo": {**PODINFO, "frontend": []}}, "add west to workloads[].podinfo.frontend"),
        ({"helloworld": {**HELLOWORLD, "versions": {}}}, "west and east both answer v1"),
    ],
    ids=["no-sleep", "no-frontend", "equal-versions"],
)
def test_unverifiable_split_is_reported_with_remedy(run: Run, workload: dict[str, Any], message: str) -> None:
    passed, detail = run("exit 1", workload)

    assert (passed, message in detail) == (False, True), detail


@pytest.mark.parametrize(
    ("workloads", "clusters", "message"),
    [
        ([], {}, "nothing to verify: no request is split"),
        ([{"podinfo": {}}], {}, "nothing to verify: no request is split"),
        (
            [{"podinfo": PODINFO}],
            {"west": {"reachable": False}},
            "nothing to verify: requests are split only in west, which is declared unreachable",
        ),
    ],
    ids=["no-sample", "no-split", "unreachable-cluster"],
)
def test_nothing_to_verify_is_reported_before_any_request(
    tmp_path: Path, workloads: list[dict[str, Any]], clusters: dict[str, Any], message: str
) -> None:
    with pytest.raises(VerifyError, match=message):
        split_checks(write_stack(tmp_path, *workloads, **clusters))


def test_lab_context_is_refused(tmp_path: Path) -> None:
    verifier = Verifier(
        write_stack(tmp_path, {"podinfo": PODINFO}),
        {"KUBECONFIG": str(write_kubeconfig(tmp_path, "ctx-west", lab=True))},
    )

    with pytest.raises(VerifyError, match="the lab carries no packets"):
        list(verifier.rows())


def test_lab_with_data_plane_is_verified(tmp_path: Path) -> None:
    kubeconfig_file = write_kubeconfig(tmp_path, "ctx-west", lab=True)
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\necho no pod >&2\nexit 1\n")
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig_file)}

    (row,) = Verifier(write_stack(tmp_path, {"podinfo": PODINFO}), environment, kubeconfig_file).rows()

    assert row.detail == "kubectl exec deploy/frontend in test: no pod"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no context ctx-west in"), ("contexts: {}\n- x", "not YAML"), ("[]", "not a kubeconfig")],
)
def test_kubeconfig_without_context_is_reported(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    verifier = Verifier(write_stack(tmp_path, {"podinfo": PODINFO}), {"KUBECONFIG": str(file)})

    with pytest.raises(VerifyError, match=message):
        list(verifier.rows())


def test_cluster_kubeconfig_setting_is_passed_to_kubectl(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    cluster_kubeconfig = write_kubeconfig(folder, "default")

    run(print_script([]), {"podinfo": PODINFO}, west={"kubeconfig": str(cluster_kubeconfig)})

    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[:4] == ["--kubeconfig", str(cluster_kubeconfig), "--context", "default"]


def test_missing_kubectl_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hack.make.stack.PROJECT_ROOT", tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: multicluster-mesh")
    write_stack(tmp_path, {"podinfo": PODINFO})
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path, "ctx-west")))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert command.main(["verify", "custom"]) == 1
    assert capsys.readouterr() == ("", "error: kubectl is not on PATH; install it, or add its folder to PATH\n")


def test_config_keys_may_start_with_renamed_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hack.make.stack.PROJECT_ROOT", tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: my-mesh")
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {'my-mesh:clusters': {one: }}")

    assert [cluster.name for cluster in stack.read_stack("prod").clusters] == ["one"]


def test_failover_check_expects_answers_from_own_cluster(tmp_path: Path) -> None:
    backups = {"failover": [{"cluster": "west", "backups": ["east"]}]}
    workloads = [
        {name: {**part, "splits": [], **backups}} for name, part in (("podinfo", PODINFO), ("helloworld", HELLOWORLD))
    ]

    checks = split_checks(write_stack(tmp_path, *workloads))

    assert [(each.sample, each.cluster, each.weights, each.request_count) for each in checks] == [
        ("podinfo", "west", {"west": 1, "east": 0}, 20),
        ("helloworld", "west", {"west": 1, "east": 0}, 20),
    ]
