"""The pipelines: what they may do, and that what they call is there. That they are well-formed, `make lint` sees."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.toolchain.pulumi_installation import MINIMUM_VERSION
from mesh.paths import PROJECT_ROOT

GITHUB = PROJECT_ROOT / ".github"
FILES = sorted([*GITHUB.glob("workflows/*.yml"), *GITHUB.glob("actions/*/action.yml")])
# Read as YAML 1.1, in which the key `on` is true.
WORKFLOWS: dict[str, dict[Any, Any]] = {
    file.stem: yaml.safe_load(file.read_text()) for file in FILES if file.parent.name == "workflows"
}
ACTION = yaml.safe_load((GITHUB / "actions/pulumi/action.yml").read_text())
GITLAB = yaml.safe_load((PROJECT_ROOT / ".gitlab-ci.yml").read_text())
GITLAB_JOBS = {
    name: job
    for name, job in GITLAB.items()
    if isinstance(job, dict) and not name.startswith(".") and name not in {"workflow", "default"}
}
ON_A_STACK = ["review", "up", "drift", "down"]


def steps(workflow: str) -> Iterator[dict[str, Any]]:
    for job in WORKFLOWS[workflow]["jobs"].values():
        yield from job["steps"]


def triggers(workflow: str) -> set[str]:
    return set(WORKFLOWS[workflow][True])


def commands() -> list[str]:
    """All that is run anywhere."""
    github = [step["run"] for name in WORKFLOWS for step in steps(name) if "run" in step]
    composite = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    hidden = [*GITLAB[".pulumi"]["before_script"]]
    return [*github, *composite, *hidden, *(line for job in GITLAB_JOBS.values() for line in job["script"])]


def on_a_stack(workflow: str) -> dict[str, Any]:
    """The step that runs a command on a stack."""
    [step] = [step for step in steps(workflow) if "PULUMI_BACKEND_URL" in step.get("env", {})]
    return step


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(file: Path) -> None:
    used = re.findall(r"\buses: (.*)", file.read_text())

    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) or (
            action.startswith("./") and (PROJECT_ROOT / action / "action.yml").is_file()
        )


def test_an_action_has_one_version_everywhere() -> None:
    used = {pin for file in FILES for pin in re.findall(r"\buses: ([^.].*)", file.read_text())}

    assert len(used) == len({pin.partition("@")[0] for pin in used})


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_no_rights_and_each_job_but_the_few_it_needs(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}
    for job_name, job in WORKFLOWS[name]["jobs"].items():
        comments = (name, job_name) == ("review", "comment")
        expected = {"contents": "read"} if any("uses" in step for step in job["steps"]) else {}
        assert job["permissions"] == {**expected, **({"pull-requests": "write"} if comments else {})}
        assert job["timeout-minutes"]


def test_the_job_that_comments_has_no_secrets_and_those_with_secrets_can_write_nothing() -> None:
    comment = WORKFLOWS["review"]["jobs"]["comment"]

    assert "secrets" not in yaml.safe_dump(comment)
    assert "environment" not in comment
    for name in WORKFLOWS:
        for job in WORKFLOWS[name]["jobs"].values():
            if "secrets." in yaml.safe_dump(job):
                assert job["permissions"] == {"contents": "read"}
                assert "github.token" not in yaml.safe_dump(job)
                assert job["environment"]["name"].startswith(("${{ matrix.stack }}", "${{ inputs.stack }}"))


def test_a_forks_pull_request_gets_no_secrets() -> None:
    assert not {trigger for name in WORKFLOWS for trigger in triggers(name)} & {"pull_request_target", "workflow_run"}
    same = "github.event.pull_request.head.repo.full_name == github.repository"
    assert same in WORKFLOWS["review"]["jobs"]["review"]["if"]
    runs = [rule["if"] for rule in GITLAB["workflow"]["rules"] if "merge_request_event" in rule["if"]]
    assert runs
    assert all("$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in rule for rule in runs)


def test_each_runs_only_when_it_should() -> None:
    assert triggers("review") == {"pull_request"}
    assert triggers("up") == {"push"}
    assert WORKFLOWS["up"][True]["push"] == {"branches": ["main"]}
    assert triggers("drift") == {"schedule", "workflow_dispatch"}
    assert triggers("down") == {"workflow_dispatch"}
    sources = {
        name: [re.findall(r'CI_PIPELINE_SOURCE == "(\w+)"', rule["if"]) for rule in job["rules"]]
        for name, job in GITLAB_JOBS.items()
    }
    assert sources == {
        "review": [["merge_request_event"]],
        "comment": [["merge_request_event"]],
        "up": [["push"]],
        "drift": [["schedule"]],
        "down": [["web"]],
    }


def test_teardown_is_by_hand_and_asks_for_the_stacks_name() -> None:
    assert WORKFLOWS["down"][True]["workflow_dispatch"]["inputs"]["stack"]["required"] is True
    assert "contains(fromJSON(vars.STACKS || '[]'), inputs.stack)" in WORKFLOWS["down"]["jobs"]["down"]["if"]
    assert [rule["when"] for rule in GITLAB_JOBS["down"]["rules"]] == ["manual"]
    for typed, expected in (("prod", 0), ("", 1), ("prod2", 1)):
        ended = sh(GITLAB_JOBS["down"]["script"][0], STACK="prod", DOWN=typed)
        assert ended.returncode == expected, ended
    destroying = [command for command in commands() if "destroy " in command]
    assert destroying == [on_a_stack("down")["run"], GITLAB_JOBS["down"]["script"][1]]


def test_nothing_runs_before_somebody_says_which_stacks() -> None:
    for name in ON_A_STACK:
        assert "vars.STACKS != ''" in WORKFLOWS[name]["jobs"][name]["if"]
    assert GITLAB["workflow"]["rules"][0] == {"if": '$PIPELINES != "on"', "when": "never"}


def test_an_update_is_never_stopped_half_way() -> None:
    for name in ("up", "down"):
        concurrency = WORKFLOWS[name]["jobs"][name]["concurrency"]
        assert concurrency["cancel-in-progress"] is False
        assert re.fullmatch(r"stack-\$\{\{ (matrix|inputs)\.stack \}\}", concurrency["group"])
        assert GITLAB_JOBS[name]["resource_group"] == "$STACK"
        assert GITLAB_JOBS[name]["interruptible"] is False


def test_environments_are_the_same_on_both() -> None:
    for name in ON_A_STACK:
        github = WORKFLOWS[name]["jobs"][name]["environment"]
        gitlab = GITLAB_JOBS[name]["environment"]
        assert re.sub(r"\$\{\{ \w+\.stack \}\}", "$STACK", github["name"]) == gitlab["name"]
        assert (github.get("deployment") is False) == (gitlab.get("action") == "access")


def test_commands_are_the_same_on_both() -> None:
    for name in ("up", "drift", "down"):
        assert on_a_stack(name)["run"] == GITLAB_JOBS[name]["script"][-1]
    assert "--refresh --expect-no-changes" in on_a_stack("drift")["run"]
    github, gitlab = on_a_stack("review")["run"], GITLAB_JOBS["review"]["script"][-1]
    assert options(github) == options(gitlab)


def options(command: str) -> set[str]:
    return set(re.findall(r"--[\w-]+|-m \w+", command))


def test_credentials_are_handed_to_one_step_and_to_each_the_same() -> None:
    handed = {name: {**on_a_stack(name)["env"], "STACK": ""} for name in ON_A_STACK}

    assert all(env == handed["review"] for env in handed.values())
    for name in ON_A_STACK:
        others = [step for step in steps(name) if step is not on_a_stack(name)]
        secrets = re.findall(r"secrets\.(\w+)", yaml.safe_dump(others))
        assert secrets == ["KUBECONFIG"]


def test_nothing_of_what_others_write_is_put_into_a_command_and_no_secret_into_a_log() -> None:
    for command in commands():
        assert "${{" not in command
        assert not re.search(r"\bset -\w*x|\bprintenv\b|\benv\b *($|\|)|--show-secrets|--logtostderr|-v=\d", command)
        for printed in re.findall(r"^\s*(?:echo|cat) .*", command, re.MULTILINE):
            assert "$" not in printed
        for variables in re.findall(r"\bprintf .*", command):
            assert ' > "$RUNNER_TEMP/kubeconfig"' in variables


def test_what_is_called_is_there() -> None:
    text = "\n".join(commands())
    modules = set(re.findall(r"python3? -m ([\w.]+)", text))
    scripts = set(re.findall(r"^(\.ci/\w+)", text, re.MULTILINE))
    targets = {target for line in re.findall(r"^make (.*)", text, re.MULTILINE) for target in line.split()}

    assert modules == {"review.publish", "review"}
    assert scripts == {".ci/run"}
    assert all(os.access(PROJECT_ROOT / script, os.X_OK) for script in scripts)
    assert targets <= set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))


def test_versions_are_those_of_the_repository() -> None:
    engine = ".".join(map(str, MINIMUM_VERSION))
    helm = re.search(
        r"^\s*helm\.sh/helm/v3 (\S+)", (PROJECT_ROOT / "hack/toolchain/engine/go.mod").read_text(), re.MULTILINE
    )
    assert helm

    given = {key: value for step in ACTION["runs"]["steps"] for key, value in step.get("with", {}).items()}
    assert (given["pulumi-version"], given["version"]) == (engine, helm[1])
    assert GITLAB["default"]["image"]["name"].partition("@")[0] == f"pulumi/pulumi:{engine}"


def test_a_kubeconfig_is_written_for_nobody_else_to_read_and_only_where_there_is_one(tmp_path: Path) -> None:
    [script] = [step["run"] for step in ACTION["runs"]["steps"] if "CONTENT" in step.get("env", {})]
    file = tmp_path / "kubeconfig"

    sh(script, RUNNER_TEMP=str(tmp_path), CONTENT="")
    assert not file.exists()

    content = "a: 'b'\n$(id) `id` \\n %s\n"
    ended = sh(script, RUNNER_TEMP=str(tmp_path), CONTENT=content)
    assert file.read_text() == f"{content}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert ended.stdout + ended.stderr == ""


def test_the_shell_understands_every_command() -> None:
    ended = subprocess.run(["bash", "-n"], input="\n".join(commands()), capture_output=True, text=True, check=False)

    assert ended.stderr == ""


@pytest.mark.parametrize("module", ["review.publish", "review"])
def test_a_module_that_is_called_is_a_command(module: str) -> None:
    assert (PROJECT_ROOT / module.replace(".", "/") / "__main__.py").is_file()


@pytest.mark.parametrize("tool", ["actionlint", "zizmor", "check-jsonschema"])
def test_pipelines_are_judged_by_make_lint(tool: str) -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE)

    assert recipe
    assert f"bin/{tool}" in recipe[1]


def sh(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script as GitHub does."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    variables = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
