"""CI pipelines: permissions, triggers, and the commands they call. `make lint` checks their syntax."""

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
PIPELINE_FILES = sorted([*GITHUB.glob("workflows/*.yml"), *GITHUB.glob("actions/*/action.yml")])
# YAML 1.1 parses the key `on` as true.
WORKFLOWS: dict[str, dict[Any, Any]] = {
    file.stem: yaml.safe_load(file.read_text()) for file in PIPELINE_FILES if file.parent.name == "workflows"
}
ACTION = yaml.safe_load((GITHUB / "actions/pulumi/action.yml").read_text())
GITLAB = yaml.safe_load((PROJECT_ROOT / ".gitlab-ci.yml").read_text())
GITLAB_JOBS = {
    name: job
    for name, job in GITLAB.items()
    if isinstance(job, dict) and not name.startswith(".") and name not in {"workflow", "default"}
}
STACK_JOBS = ["review", "up", "drift", "down"]


def steps(workflow: str) -> Iterator[dict[str, Any]]:
    for job in WORKFLOWS[workflow]["jobs"].values():
        yield from job["steps"]


def triggers(workflow: str) -> set[str]:
    return set(WORKFLOWS[workflow][True])


def commands() -> list[str]:
    """Return every command of every pipeline."""
    github = [step["run"] for name in WORKFLOWS for step in steps(name) if "run" in step]
    composite = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    hidden = [*GITLAB[".pulumi"]["before_script"]]
    return [*github, *composite, *hidden, *(line for job in GITLAB_JOBS.values() for line in job["script"])]


def stack_step(workflow: str) -> dict[str, Any]:
    """Return the step that runs a command on a stack."""
    [step] = [step for step in steps(workflow) if "PULUMI_BACKEND_URL" in step.get("env", {})]
    return step


@pytest.mark.parametrize("file", PIPELINE_FILES, ids=lambda file: file.stem)
def test_every_action_is_pinned_to_commit_with_version_comment(file: Path) -> None:
    used = re.findall(r"\buses: (.*)", file.read_text())

    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) or (
            action.startswith("./") and (PROJECT_ROOT / action / "action.yml").is_file()
        )


def test_each_action_has_one_version() -> None:
    used = {pin for file in PIPELINE_FILES for pin in re.findall(r"\buses: ([^.].*)", file.read_text())}

    assert len(used) == len({pin.partition("@")[0] for pin in used})


@pytest.mark.parametrize("name", WORKFLOWS)
def test_jobs_have_only_permissions_they_need(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}
    for job_name, job in WORKFLOWS[name]["jobs"].items():
        comments = (name, job_name) == ("review", "comment")
        expected = {"contents": "read"} if any("uses" in step for step in job["steps"]) else {}
        assert job["permissions"] == {**expected, **({"pull-requests": "write"} if comments else {})}
        assert job["timeout-minutes"]


def test_no_job_has_both_secrets_and_write_permissions() -> None:
    comment = WORKFLOWS["review"]["jobs"]["comment"]

    assert "secrets" not in yaml.safe_dump(comment)
    assert "environment" not in comment
    for name in WORKFLOWS:
        for job in WORKFLOWS[name]["jobs"].values():
            if "secrets." in yaml.safe_dump(job):
                assert job["permissions"] == {"contents": "read"}
                assert "github.token" not in yaml.safe_dump(job)
                assert job["environment"]["name"].startswith(("${{ matrix.stack }}", "${{ inputs.stack }}"))


def test_fork_pull_request_gets_no_secrets() -> None:
    assert not {trigger for name in WORKFLOWS for trigger in triggers(name)} & {"pull_request_target", "workflow_run"}
    is_same_repository = "github.event.pull_request.head.repo.full_name == github.repository"
    assert is_same_repository in WORKFLOWS["review"]["jobs"]["review"]["if"]
    runs = [rule["if"] for rule in GITLAB["workflow"]["rules"] if "merge_request_event" in rule["if"]]
    assert runs
    assert all("$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in rule for rule in runs)


def test_workflows_have_only_expected_triggers() -> None:
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


def test_teardown_is_manual_and_requires_stack_name() -> None:
    assert WORKFLOWS["down"][True]["workflow_dispatch"]["inputs"]["stack"]["required"] is True
    assert "contains(fromJSON(vars.STACKS || '[]'), inputs.stack)" in WORKFLOWS["down"]["jobs"]["down"]["if"]
    assert [rule["when"] for rule in GITLAB_JOBS["down"]["rules"]] == ["manual"]
    for typed, expected in (("prod", 0), ("", 1), ("prod2", 1)):
        result = run_script(GITLAB_JOBS["down"]["script"][0], STACK="prod", DOWN=typed)
        assert result.returncode == expected, result
    destroying = [command for command in commands() if "destroy " in command]
    assert destroying == [stack_step("down")["run"], GITLAB_JOBS["down"]["script"][1]]


def test_workflows_run_only_with_configured_stacks() -> None:
    for name in STACK_JOBS:
        assert "vars.STACKS != ''" in WORKFLOWS[name]["jobs"][name]["if"]
    assert GITLAB["workflow"]["rules"][0] == {"if": '$PIPELINES != "on"', "when": "never"}


def test_running_update_is_never_cancelled() -> None:
    for name in ("up", "down"):
        concurrency = WORKFLOWS[name]["jobs"][name]["concurrency"]
        assert concurrency["cancel-in-progress"] is False
        assert re.fullmatch(r"stack-\$\{\{ (matrix|inputs)\.stack \}\}", concurrency["group"])
        assert GITLAB_JOBS[name]["resource_group"] == "$STACK"
        assert GITLAB_JOBS[name]["interruptible"] is False


def test_github_and_gitlab_environments_are_equal() -> None:
    for name in STACK_JOBS:
        github = WORKFLOWS[name]["jobs"][name]["environment"]
        gitlab = GITLAB_JOBS[name]["environment"]
        assert re.sub(r"\$\{\{ \w+\.stack \}\}", "$STACK", github["name"]) == gitlab["name"]
        assert (github.get("deployment") is False) == (gitlab.get("action") == "access")


def test_github_and_gitlab_commands_are_equal() -> None:
    for name in ("up", "drift", "down"):
        assert stack_step(name)["run"] == GITLAB_JOBS[name]["script"][-1]
    assert "--refresh --expect-no-changes" in stack_step("drift")["run"]
    github, gitlab = stack_step("review")["run"], GITLAB_JOBS["review"]["script"][-1]
    assert command_options(github) == command_options(gitlab)


def command_options(command: str) -> set[str]:
    return set(re.findall(r"--[\w-]+|-m \w+", command))


def test_credentials_are_equal_and_in_one_step() -> None:
    environments = {name: {**stack_step(name)["env"], "STACK": ""} for name in STACK_JOBS}

    assert all(env == environments["review"] for env in environments.values())
    for name in STACK_JOBS:
        others = [step for step in steps(name) if step is not stack_step(name)]
        secrets = re.findall(r"secrets\.(\w+)", yaml.safe_dump(others))
        assert secrets == ["KUBECONFIG"]


def test_commands_contain_no_untrusted_input_and_log_no_secret() -> None:
    for command in commands():
        assert "${{" not in command
        assert not re.search(r"\bset -\w*x|\bprintenv\b|\benv\b *($|\|)|--show-secrets|--logtostderr|-v=\d", command)
        for print_command in re.findall(r"^\s*(?:echo|cat) .*", command, re.MULTILINE):
            assert "$" not in print_command
        for variables in re.findall(r"\bprintf .*", command):
            assert ' > "$RUNNER_TEMP/kubeconfig"' in variables


def test_called_modules_scripts_and_targets_exist() -> None:
    text = "\n".join(commands())
    modules = set(re.findall(r"python3? -m ([\w.]+)", text))
    scripts = set(re.findall(r"^(\.ci/\w+)", text, re.MULTILINE))
    targets = {target for line in re.findall(r"^make (.*)", text, re.MULTILINE) for target in line.split()}

    assert modules == {"review.publish", "review"}
    assert scripts == {".ci/run"}
    assert all(os.access(PROJECT_ROOT / script, os.X_OK) for script in scripts)
    assert targets <= set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))


def test_pinned_versions_match_repository() -> None:
    engine = ".".join(map(str, MINIMUM_VERSION))
    helm = re.search(
        r"^\s*helm\.sh/helm/v3 (\S+)", (PROJECT_ROOT / "hack/toolchain/engine/go.mod").read_text(), re.MULTILINE
    )
    assert helm

    action_inputs = {key: value for step in ACTION["runs"]["steps"] for key, value in step.get("with", {}).items()}
    assert (action_inputs["pulumi-version"], action_inputs["version"]) == (engine, helm[1])
    assert GITLAB["default"]["image"]["name"].partition("@")[0] == f"pulumi/pulumi:{engine}"


def test_kubeconfig_is_written_privately_and_only_when_set(tmp_path: Path) -> None:
    [script] = [step["run"] for step in ACTION["runs"]["steps"] if "CONTENT" in step.get("env", {})]
    file = tmp_path / "kubeconfig"

    run_script(script, RUNNER_TEMP=str(tmp_path), CONTENT="")
    assert not file.exists()

    content = "a: 'b'\n$(id) `id` \\n %s\n"
    result = run_script(script, RUNNER_TEMP=str(tmp_path), CONTENT=content)
    assert file.read_text() == f"{content}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert result.stdout + result.stderr == ""


def test_every_command_has_valid_shell_syntax() -> None:
    result = subprocess.run(["bash", "-n"], input="\n".join(commands()), capture_output=True, text=True, check=False)

    assert result.stderr == ""


@pytest.mark.parametrize("module", ["review.publish", "review"])
def test_called_modules_have_main(module: str) -> None:
    assert (PROJECT_ROOT / module.replace(".", "/") / "__main__.py").is_file()


@pytest.mark.parametrize("tool", ["actionlint", "zizmor", "check-jsonschema"])
def test_make_lint_checks_pipelines(tool: str) -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE)

    assert recipe
    assert f"bin/{tool}" in recipe[1]


def run_script(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script as GitHub does."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    variables = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
