"""What `pulumi preview` says will happen to each resource.

Follows https://www.pulumi.com/docs/iac/cli/commands/pulumi_preview/ (`--json`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from review.captured_inputs import CapturedInputs
from review.pulumi_cli import PreviewFailed, pulumi

PROVIDER = "pulumi:providers:kubernetes"
RELEASE = "kubernetes:helm.sh/v3:Release"
STACK = "pulumi:pulumi:Stack"

# Pulumi's names of operations, as three steps of one replacement too, and what they come to.
_OPERATIONS = {
    "same": "same",
    "create": "create",
    "import": "create",
    "update": "update",
    "delete": "delete",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "import-replacement": "replace",
}


@dataclass(frozen=True, kw_only=True)
class State:
    """A resource before or after the change."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    provider: str = ""  # the URN of its provider, then `::` and an id
    dependencies: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens to one resource."""

    operation: str  # same, create, update, replace or delete
    urn: str
    before: State | None
    after: State | None
    changed: tuple[str, ...] = ()  # paths of properties, where Pulumi tells

    @property
    def name(self) -> str:
        """The name that the program has given it."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def type(self) -> str:
        """Its type without its parents', such as `kubernetes:core/v1:Namespace`."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def state(self) -> State:
        """How it will be; of what is deleted, how it is."""
        state = self.after or self.before
        assert state is not None, "a step has a state on one side at least"
        return state

    @property
    def cluster(self) -> str | None:
        """The cluster that it is on, by the name of its provider; None for what is on none."""
        if self.type == PROVIDER:
            return self.name
        urn = self.state.provider.rsplit("::", 1)[0]
        kind, _, name = urn.rpartition("::")
        return name if kind.endswith(f"::{PROVIDER}") else None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A whole preview; the steps are in the order of their URNs, whatever order Pulumi took."""

    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    @property
    def stack(self) -> Step | None:
        """The stack itself, which has the outputs."""
        return next((step for step in self.steps if step.type == STACK), None)


def run(stack: str, config_file: Path, folder: Path, environment: Mapping[str, str]) -> Preview:
    """Run `pulumi preview`.

    Args:
        stack: the stack's name.
        config_file: its stack file.
        folder: for what it needs meanwhile.
        environment: the whole environment of the process.

    Raises:
        PreviewFailed: it didn't succeed.
    """
    command = [
        "preview",
        "--json",
        "--show-sames",
        "--color=never",
        "--stack",
        stack,
        "--config-file",
        str(config_file),
    ]
    registered = CapturedInputs()
    with registered.listening(folder) as variables:
        ended = pulumi(command, {**environment, **variables})
    if ended.returncode != 0:
        raise PreviewFailed(_reason(ended.stdout, ended.stderr))
    return parse(ended.stdout, registered)


def parse(text: str, registered: CapturedInputs | None = None) -> Preview:
    """A preview from what Pulumi printed.

    Args:
        text: what it printed.
        registered: what its program asked for.

    Raises:
        PreviewFailed: that is no preview, or one that has failed.
    """
    try:
        content = json.loads(text)
        entries = content["steps"]
        errors = _said(content, "error")
        by_urn: dict[str, list[Mapping[str, Any]]] = {}
        for entry in entries:
            if entry["op"] in _OPERATIONS:
                by_urn.setdefault(entry["urn"], []).append(entry)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise PreviewFailed("this is not what `pulumi preview --json` prints") from None
    if errors:
        raise PreviewFailed("\n".join(errors))
    asked = registered or CapturedInputs()
    return Preview(
        steps=tuple(_step(urn, by_urn[urn], asked) for urn in sorted(by_urn)),
        warnings=tuple(_said(content, "warning")),
    )


def _step(urn: str, entries: Sequence[Mapping[str, Any]], registered: CapturedInputs) -> Step:
    operations = {_OPERATIONS[entry["op"]] for entry in entries}
    (operation,) = operations if len(operations) == 1 else ("replace",)
    before = next((entry["oldState"] for entry in entries if entry.get("oldState")), None)
    after = next((entry["newState"] for entry in entries if entry.get("newState")), None)
    return Step(
        operation=operation,
        urn=urn,
        before=_state(before, before.get("inputs") or {}) if before and operation != "create" else None,
        after=_state(after, registered.completed(urn, after.get("inputs") or {}))
        if after and operation != "delete"
        else None,
        changed=tuple(sorted({path for entry in entries for path in entry.get("detailedDiff") or {}})),
    )


def _state(entry: Mapping[str, Any], inputs: Mapping[str, Any]) -> State:
    return State(
        inputs=inputs,
        outputs=entry.get("outputs") or {},
        provider=entry.get("provider") or "",
        dependencies=tuple(entry.get("dependencies") or ()),
    )


def _said(content: Mapping[str, Any], severity: str) -> list[str]:
    entries: Iterable[Mapping[str, Any]] = content.get("diagnostics") or ()
    found = {str(entry.get("message", "")).strip() for entry in entries if entry.get("severity") == severity}
    return sorted(filter(None, found))


def _reason(printed: str, complained: str) -> str:
    """What a failed preview said, with its errors alone where they can be told from the rest."""
    try:
        errors = _said(json.loads(printed), "error")
    except (ValueError, AttributeError):
        errors = []
    return "\n".join(errors) or (complained.strip() or printed.strip() or "pulumi preview failed and said nothing")
