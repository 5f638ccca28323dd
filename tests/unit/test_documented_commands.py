"""Commands of the documentation: each one is run by a test or excluded with a reason."""

from __future__ import annotations

import re

import pytest

from mesh.paths import PROJECT_ROOT
from tests.helpers.documented_commands import (
    EXCLUSIONS,
    LAB,
    LINK_CREDENTIALS,
    NEW_PROJECT,
    OWN_SERVICES,
    RUNS,
    Command,
    Exclusion,
    Run,
    commands_of_test,
    list_commands,
    read_commands,
    simple_commands,
)
from tests.helpers.stack_configs import SHIPPED_SETUPS

# In the user's own project, the commands before have selected the stack.
PAGES_OF_OWN_PROJECT = {"README.md", "docs/own-clusters.md", "docs/pipelines.md"}


def texts(page: str) -> list[str]:
    return [command.text for command in read_commands("docs/new.md", page)]


def test_every_documented_command_is_run_or_excluded() -> None:
    unclassified = [str(command) for command in list_commands() if command.test is None and not command.exclusions]

    assert unclassified == [], "add a test to RUNS, or a reason to EXCLUSIONS, in tests/helpers/documented_commands.py"


def test_most_documented_commands_are_run() -> None:
    run = [command for command in list_commands() if not command.exclusions]

    assert len(run) > len(list_commands()) / 2


@pytest.mark.parametrize("exclusion", EXCLUSIONS, ids=lambda exclusion: exclusion.pattern)
def test_exclusion_has_reason_and_command(exclusion: Exclusion) -> None:
    assert len(exclusion.reason.split()) >= 4
    assert any(exclusion.applies_to(command) for command in list_commands())


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.page} {run.pattern}")
def test_named_test_runs_commands_of_page(run: Run) -> None:
    assert any(run.applies_to(command) for command in commands_of_test(run.test))
    if run.test.endswith(".py"):
        names = {
            LAB: "LAB",
            LINK_CREDENTIALS: "LINK_CREDENTIALS",
            NEW_PROJECT: "NEW_PROJECT",
            OWN_SERVICES: "OWN_SERVICES",
        }
        constant = names[run.test]
        assert f"commands_of_test({constant})" in (PROJECT_ROOT / run.test).read_text()
    else:
        assert run.test in {*SHIPPED_SETUPS, "dev", "clustermesh"}


def test_new_command_of_unknown_page_is_unclassified() -> None:
    (command,) = read_commands("docs/new.md", "```sh\nlinkerd --context west check --wait 1s\n```\n")

    assert command.test is None and command.exclusions == []


def test_commands_are_read_as_a_shell_reads_them() -> None:
    page = """
```sh
eval "$(make -s env)"     # once

# A comment.
kubectl get pods |
  grep web
for cluster in west east; do
  pulumi config set $cluster \\
    value
done
kubectl apply -f - <<END
kind: Pod
END
pulumi new <a URL> && cd there
```
"""

    assert texts(page) == [
        'eval "$(make -s env)"',
        "kubectl get pods |\n  grep web",
        "for cluster in west east; do\n  pulumi config set $cluster \\\n    value\ndone",
        "kubectl apply -f - <<END\nkind: Pod\nEND",
        "pulumi new <a URL> && cd there",
    ]


def test_inline_code_with_arguments_is_a_command() -> None:
    page = (
        "Run `pulumi up`, then `kubectl --context west\n  get pods` and `make up STACK=kpaas`. See `linkerd check`.\n"
    )

    assert texts(page) == ["kubectl --context west get pods", "make up STACK=kpaas"]


def test_comment_marks_command_that_must_fail() -> None:
    first, second = read_commands("docs/new.md", "```sh\npulumi preview     # fails with one error\npulumi up\n```\n")

    assert (first.text, first.must_fail, second.must_fail) == ("pulumi preview", True, False)


SESSION = """
```console
$ linkerd multicluster gateways
CLUSTER  ALIVE    NUM_SVC      LATENCY
east     True           1          3ms
…
$ kubectl get endpoints
podinfo   172.18.255.200:4143   1m
```
"""


def test_output_of_session_belongs_to_its_command() -> None:
    gateways, endpoints = read_commands("docs/new.md", SESSION)

    assert (gateways.text, len(gateways.output)) == ("linkerd multicluster gateways", 2)
    assert (endpoints.text, len(endpoints.output)) == ("kubectl get endpoints", 1)


@pytest.mark.parametrize(
    ("actual", "missing"),
    [
        ("CLUSTER ALIVE NUM_SVC LATENCY\neast True 1 250ms\n", 0),
        ("CLUSTER  ALIVE    NUM_SVC      LATENCY  \neast     True           1          3ms\n", 0),
        ("CLUSTER ALIVE NUM_SVC LATENCY\neast False 1 3ms\n", 1),
        ("CLUSTER ALIVE NUM_SVC LATENCY\neast True 2 3ms\n", 1),
        ("", 2),
    ],
)
def test_shown_line_differs_only_in_addresses_and_times(actual: str, missing: int) -> None:
    command = next(read_commands("docs/new.md", SESSION))

    assert len(command.missing_lines(actual)) == missing


def test_shown_address_may_differ_but_not_its_port() -> None:
    command = list(read_commands("docs/new.md", SESSION))[1]

    assert command.missing_lines("podinfo 203.0.113.7:4143 12s") == []
    assert command.missing_lines("podinfo 203.0.113.7:4191 12s") != []


def test_make_targets_in_pages_run_their_recipes() -> None:
    makefile = (PROJECT_ROOT / "Makefile").read_text()

    for target in ("up", "check", "down", "env", "review"):
        recipe = re.search(
            rf"^{target}:.*\n(?:\t.*\n)*?\t@\$\(PY\) -m hack\.make {target} (.*)$", makefile, re.MULTILINE
        )
        assert recipe is not None, target
        assert recipe[1] == ("$(STACK) $(REVIEW)" if target == "review" else "$(STACK)")


def stack_commands() -> list[Command]:
    """Return the commands of Pulumi that need a stack, outside the pages of the user's own project."""
    return [
        command
        for command in list_commands()
        if re.search(r"\bpulumi (preview|up|destroy|refresh|config|stack output)\b", command.text)
        and command.page not in PAGES_OF_OWN_PROJECT
        and "make -s env" not in command.text
    ]


def test_pulumi_commands_name_their_stack() -> None:
    assert stack_commands()
    assert [str(command) for command in stack_commands() if " -s " not in command.text] == []


def test_linkerd_checks_limit_their_wait() -> None:
    checks = [
        words
        for command in list_commands()
        for words in simple_commands(command.text, "linkerd")
        if "check" in words and "--pre" not in words
    ]

    assert checks
    assert [words for words in checks if "--wait" not in words] == []


def test_kubectl_and_linkerd_commands_name_their_context() -> None:
    commands = [
        words
        for command in list_commands()
        for words in simple_commands(command.text, "kubectl", "linkerd", "cilium")
        if "version" not in words
    ]

    assert len(commands) > 50
    assert [words for words in commands if "--context" not in words] == []
