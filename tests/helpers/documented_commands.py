"""Shell commands of the documentation: the tests that run them, and the rules that exclude the others.

The code blocks of the pages are the single source. `COMMANDS` are all commands of all pages. Each of them is run on a
lab by a test (`RUNS`), or is excluded by one of the `EXCLUSIONS`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from mesh.paths import PROJECT_ROOT
from tests.helpers.project_files import list_project_files

PAGES = tuple(sorted(name for name in list_project_files() if name.endswith(".md") and (PROJECT_ROOT / name).is_file()))

# Tests that run commands. In `test_mesh.py` and `test_clustermesh.py`, the name of a stack stands for the test.
LAB = "tests/integration/test_lab.py"
LINK_CREDENTIALS = "tests/integration/test_stack_changes.py"
NEW_PROJECT = "tests/integration/test_pulumi_new_project.py"
OWN_SERVICES = "tests/integration/test_own_services.py"

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_PROGRAMS = r"(?:linkerd|kubectl|cilium|pulumi|make|helm|docker|kind|eval|python3?|\.venv/bin/python)"
# An inline span with less than that is the name of a command, such as `pulumi up`.
_INLINE_COMMAND = re.compile(rf"{_PROGRAMS} (?=.*(?:--context|STACK=[a-z]|stack output|hack\.lab|\s-[ns] [a-z]))")
_PLACEHOLDER = re.compile(r"<[a-z][^<>\n]*>|…")
_COMMENT = re.compile(r"\s+# .*$|^# .*$")


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A rule for commands that cannot run on the lab."""

    pattern: str
    reason: str

    def applies_to(self, command: Command) -> bool:
        """Return whether the rule excludes a command."""
        return re.search(self.pattern, command.text, re.MULTILINE) is not None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A test that runs commands of a page."""

    page: str
    test: str
    pattern: str = ""  # empty: every command of the page

    def applies_to(self, command: Command) -> bool:
        """Return whether the test runs a command."""
        return self.page == command.page and re.search(self.pattern, command.text) is not None


@dataclass(frozen=True, kw_only=True)
class Command:
    """One shell command of a page.

    A comment `# fails` marks a command that must fail.
    """

    page: str
    text: str
    output: tuple[str, ...] = ()  # lines that the page shows
    must_fail: bool = False

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.text.split())}"

    @property
    def exclusions(self) -> list[Exclusion]:
        """Return the rules that exclude this command."""
        return [rule for rule in EXCLUSIONS if rule.applies_to(self)]

    @property
    def run(self) -> Run | None:
        """Return the entry of `RUNS` for this command, or None."""
        return next((run for run in RUNS if run.applies_to(self)), None)

    @property
    def test(self) -> str | None:
        """Return the test that runs this command, or None."""
        return None if self.run is None else self.run.test

    @property
    def is_teardown(self) -> bool:
        """Return whether the command ends a stack, so that it is run last."""
        return re.match(r"make down|pulumi destroy|pulumi stack rm", self.text) is not None

    @property
    def requires_empty_cluster(self) -> bool:
        """Return whether the command succeeds only without Linkerd, so that it is run after `destroy`."""
        return " check --pre" in self.text

    def missing_lines(self, output: str) -> list[str]:
        """Return the lines of the page that an actual output lacks.

        Words and numbers must be equal. Addresses, times, generated numbers and the width of columns may differ.
        """
        lines = output.splitlines()
        return [line for line in self.output if not any(_line_pattern(line).match(actual) for actual in lines)]


# The first that applies.
RUNS = (
    Run(page="README.md", test=NEW_PROJECT, pattern=r"^pulumi "),
    Run(page="README.md", test="dev"),
    Run(page="docs/clustermesh.md", test="clustermesh"),
    Run(page="docs/drift.md", test="dev"),
    Run(page="docs/east-west.md", test="east-west"),
    Run(page="docs/emojivoto.md", test="emojivoto"),
    Run(page="docs/identity.md", test="dev"),
    Run(page="docs/injection.md", test="emojivoto"),
    Run(page="docs/kpaas.md", test="kpaas"),
    # After the other commands of kpaas, because it sets a password.
    Run(page="docs/extensions.md", test="kpaas"),
    Run(page="docs/lab.md", test=LAB, pattern=r"hack\.lab"),
    Run(page="docs/lab.md", test="dev"),
    Run(page="docs/large-meshes.md", test="dev"),
    Run(page="docs/links.md", test=LINK_CREDENTIALS),
    Run(page="docs/openstack-nks.md", test="openstack-nks"),
    Run(page="docs/own-clusters.md", test=NEW_PROJECT),
    Run(page="docs/own-services.md", test=OWN_SERVICES),
    Run(page="docs/policy.md", test="dev"),
    Run(page="docs/review.md", test="dev"),
    Run(page="docs/tools.md", test="dev"),
    Run(page="docs/trust.md", test=NEW_PROJECT),
    Run(page="docs/unreachable.md", test="dev"),
)

EXCLUSIONS = (
    Exclusion(
        pattern=r"^linkerd .*\bviz .*\b(stat|top|tap|routes)\b",
        reason="viz reads the metrics of proxies, and the pods of these tests are simulated",
    ),
    Exclusion(pattern=r" dashboard$", reason="the dashboard is served by a pod, and the pods are simulated"),
    Exclusion(
        pattern=r"^linkerd .*check --proxy",
        reason="the check waits for healthy proxies, and simulated pods have none",
    ),
    Exclusion(pattern=r"^kubectl .*\bexec\b", reason="the pods are simulated, and run no program"),
    Exclusion(pattern=r"^kubectl .*\bport-forward\b", reason="the pods are simulated, and no program listens"),
    Exclusion(pattern=r"^make verify", reason="the requests need packets between pods, and the pods are simulated"),
    Exclusion(
        pattern=r"^cilium |cilium-test", reason="the command and its test need Cilium's agents; the lab has none"
    ),
    Exclusion(
        pattern=r"get crds .*cilium|cilium-operator-resource-lock",
        reason="Cilium's operator creates these objects at run time, and the lab runs no operator",
    ),
    Exclusion(pattern=r"^(kind|docker) |^create\b|^calico=", reason="the command needs Docker and kind"),
    Exclusion(
        pattern=r"^curl .*https://|^sudo |helm\.linkerd\.io|^release=|^mkdir .*\$release",
        reason="the command downloads from the internet, or handles downloaded files",
    ),
    Exclusion(
        pattern=r"…|-s <stack>",
        reason="the reader fills in a value that the tests do not have, such as the URL of an account",
    ),
    Exclusion(
        pattern=r"^pulumi login|_PASSPHRASE_FILE=",
        reason="the login is stored for the user, or needs an account; the lab sets its own backend and passphrase",
    ),
    Exclusion(
        pattern=r"^pulumi stack init prod$",
        reason="the stack exists: the test or `make up` has created it in the lab's backend",
    ),
    Exclusion(
        pattern=r"multicluster unlink|uninstall|linkerd-identity|clusters\.west\.adopt",
        reason="the commands move from a Linkerd that another tool has installed",
    ),
    Exclusion(pattern=r"apiServer\.certificateAuthority <", reason="the command needs the CA of a load balancer"),
    Exclusion(
        pattern=r"LAB_DATAPLANE=|hack\.lab (exec|start --flat|start --image-delay)",
        reason="the data plane needs Linkerd's proxies; tests/integration/test_dataplane.py and tests/traffic use it",
    ),
    Exclusion(pattern=r"^make test$", reason="the command runs the tests themselves"),
    Exclusion(pattern=r"^make bench", reason="the measurements take up to hours, and need the whole machine"),
)


@cache
def list_commands() -> tuple[Command, ...]:
    """Return every command of every page, in the order of the pages."""
    return tuple(command for page in PAGES for command in read_commands(page, (PROJECT_ROOT / page).read_text()))


def commands_of_test(test: str) -> list[Command]:
    """Return the commands that a test has to run, in the order of `RUNS`, without repetitions."""
    commands: dict[tuple[str, tuple[str, ...]], Command] = {}
    for run in RUNS:
        for command in list_commands():
            if command.run == run and run.test == test and not command.exclusions:
                commands.setdefault((command.text.replace(" STACK=dev", ""), command.output), command)
    return list(commands.values())


def read_commands(page: str, text: str) -> Iterator[Command]:
    """Yield the commands of a page in order, from its blocks and its inline code."""
    position = 0
    for fence in _FENCE.finditer(text):
        yield from _read_inline_commands(page, text[position : fence.start()])
        position = fence.end()
        indent, language, body = fence.groups()
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        if language == "sh":
            yield from _read_script(page, lines)
        elif language == "console":
            yield from _read_session(page, lines)
    yield from _read_inline_commands(page, text[position:])


def simple_commands(command: str, *programs: str) -> Iterator[list[str]]:
    """Yield the words of each command of a pipeline or list that starts one of the programs."""
    text = _PLACEHOLDER.sub("placeholder", command.replace("\\\n", " "))
    for part in re.split(r"\s(?:\||&&)\s|\n", text):
        if part.split()[:1] and part.split()[0] in programs:
            yield shlex.split(part.partition(" < ")[0].partition(" > ")[0])


def _read_inline_commands(page: str, text: str) -> Iterator[Command]:
    for span in _INLINE.findall(text):
        line = " ".join(span.split())
        if _INLINE_COMMAND.match(line):
            yield Command(page=page, text=line)


def _read_script(page: str, lines: list[str]) -> Iterator[Command]:
    pending: list[str] = []
    for line in lines:
        if not pending and not _COMMENT.sub("", line).strip():
            continue
        pending.append(line)
        if _is_complete("\n".join(pending)):
            comments = [match[0] for each in pending if (match := _COMMENT.search(each))]
            text = "\n".join(_COMMENT.sub("", each) for each in pending)
            yield Command(page=page, text=text, must_fail=any(re.match(r"\s*# fails\b", each) for each in comments))
            pending = []
    assert not pending, f"{page}: the shell needs more input after {pending}"


def _read_session(page: str, lines: list[str]) -> Iterator[Command]:
    """Yield the commands after `$`, each with the lines up to the next one."""
    text: str | None = None
    output: list[str] = []
    for line in [*lines, "$ "]:
        if line.startswith("$ "):
            if text is not None:
                yield Command(page=page, text=text, output=tuple(output))
            text, output = line.removeprefix("$ "), []
        elif line.strip() not in ("", "…"):
            assert text is not None, f"{page}: output without a command: {line}"
            output.append(line)


@cache
def _is_complete(script: str) -> bool:
    """Return whether a shell accepts a script without more input."""
    if script.rstrip().endswith(("\\", "|", "&&")):
        return False
    result = subprocess.run(
        ["bash", "-n"], input=_PLACEHOLDER.sub("placeholder", script), capture_output=True, text=True, check=False
    )
    return result.returncode == 0 and not result.stderr


def _line_pattern(line: str) -> re.Pattern[str]:
    return re.compile(r"\s*" + r"\s+".join(map(_word_pattern, line.split())))


def _word_pattern(word: str) -> str:
    """Return a pattern for a word, in which addresses, times and node ports may differ."""
    pattern = re.escape(word).replace("…", ".*")
    pattern = re.sub(r"\d+(\\\.\d+){3}", r"[\\d.]+", pattern)
    pattern = re.sub(r"(?<!\d)3\d{4}(?!\d)", r"3\\d{4}", pattern)
    return re.sub(r"^\d+(ms|s|m|h)$", r"(\\d+(ms|s|m|h|d))+", pattern)
