"""Result of `pulumi preview`: the planned change of each resource.

Follows https://www.pulumi.com/docs/iac/cli/commands/pulumi_preview/ (`--json`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.pulumi_cli import PulumiCommandError, run_pulumi
from mesh.pulumi_constants import KUBERNETES_PROVIDER_TYPE, OBJECT_METADATA_TYPE, SERVICE_EXPORT_TYPE, STACK_TYPE
from review.captured_inputs import CapturedInputs

# Pulumi's operations, and the operation that the review reports for each. A replacement consists of three steps.
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


class PreviewFailedError(Exception):
    """A preview that failed; the message is Pulumi's."""


@dataclass(frozen=True, kw_only=True)
class ResourceState:
    """A resource before or after the change."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    provider: str = ""  # URN of the provider, then `::` and an ID
    dependencies: tuple[str, ...] = ()  # URNs


@dataclass(frozen=True, kw_only=True)
class Step:
    """Planned change of one resource."""

    operation: str  # same, create, update, replace or delete
    urn: str
    before: ResourceState | None
    after: ResourceState | None
    changed: tuple[str, ...] = ()  # paths of properties, if Pulumi reports them

    @property
    def name(self) -> str:
        """Return the resource name."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def type(self) -> str:
        """Return the type without parent types, such as `kubernetes:core/v1:Namespace`."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def state(self) -> ResourceState:
        """Return the state after the change; for a deletion, the state before it."""
        state = self.after or self.before
        assert state is not None, "a step has at least one state"
        return state

    @property
    def cluster(self) -> str | None:
        """Return the name of the provider's cluster, or None for a resource on no cluster."""
        if self.type == KUBERNETES_PROVIDER_TYPE:
            return self.name
        if self.type in (SERVICE_EXPORT_TYPE, OBJECT_METADATA_TYPE):
            return str(self.state.inputs.get("cluster"))
        urn = self.state.provider.rsplit("::", 1)[0]
        kind, _, name = urn.rpartition("::")
        return name if kind.endswith(f"::{KUBERNETES_PROVIDER_TYPE}") else None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A preview with its steps sorted by URN, because Pulumi's order varies."""

    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    @property
    def stack(self) -> Step | None:
        """Return the step of the stack resource, which has the outputs."""
        return next((step for step in self.steps if step.type == STACK_TYPE), None)


def run_preview(stack: str, config_file: Path, folder: Path, environment: Mapping[str, str]) -> Preview:
    """Run `pulumi preview` and return its result.

    Args:
        stack: name of the stack.
        config_file: its stack file.
        folder: folder for temporary files.
        environment: the whole environment of the process.

    Raises:
        PreviewFailedError: the preview failed.
    """
    command = ["preview", "--json", "--show-sames", "--color=never"]
    command += ["--stack", stack, "--config-file", str(config_file)]
    captured = CapturedInputs()
    with captured.capture(folder) as variables:
        try:
            output = run_pulumi(command, environment={**environment, **variables})
        except PulumiCommandError as error:
            raise PreviewFailedError(_find_failure_reason(error)) from None
    return parse_preview(output, captured)


def parse_preview(text: str, captured: CapturedInputs | None = None) -> Preview:
    """Parse the output of `pulumi preview --json --show-sames`.

    Args:
        text: the output.
        captured: the inputs that the program registered.

    Raises:
        PreviewFailedError: the text is no preview, or the preview failed.
    """
    try:
        content = json.loads(text)
        entries = content["steps"]
        errors = _find_diagnostics(content, "error")
        by_urn: dict[str, list[Mapping[str, Any]]] = {}
        for entry in entries:
            if entry["op"] in _OPERATIONS:
                by_urn.setdefault(entry["urn"], []).append(entry)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise PreviewFailedError("this is not the output of `pulumi preview --json`") from None
    if errors:
        raise PreviewFailedError("\n".join(errors))
    inputs = captured or CapturedInputs()
    return Preview(
        steps=tuple(_parse_step(urn, by_urn[urn], inputs) for urn in sorted(by_urn)),
        warnings=tuple(_find_diagnostics(content, "warning")),
    )


def _parse_step(urn: str, entries: Sequence[Mapping[str, Any]], captured: CapturedInputs) -> Step:
    operations = {_OPERATIONS[entry["op"]] for entry in entries}
    (operation,) = operations if len(operations) == 1 else ("replace",)
    before = next((entry["oldState"] for entry in entries if entry.get("oldState")), None)
    after = next((entry["newState"] for entry in entries if entry.get("newState")), None)
    return Step(
        operation=operation,
        urn=urn,
        before=_parse_state(before, before.get("inputs") or {}) if before and operation != "create" else None,
        after=_parse_state(after, captured.add_unknowns(urn, after.get("inputs") or {}))
        if after and operation != "delete"
        else None,
        changed=tuple(sorted({path for entry in entries for path in entry.get("detailedDiff") or {}})),
    )


def _parse_state(entry: Mapping[str, Any], inputs: Mapping[str, Any]) -> ResourceState:
    return ResourceState(
        inputs=inputs,
        outputs=entry.get("outputs") or {},
        provider=entry.get("provider") or "",
        dependencies=tuple(entry.get("dependencies") or ()),
    )


def _find_diagnostics(content: Mapping[str, Any], severity: str) -> list[str]:
    entries: Iterable[Mapping[str, Any]] = content.get("diagnostics") or ()
    messages = {str(entry.get("message", "")).strip() for entry in entries if entry.get("severity") == severity}
    return sorted(filter(None, messages))


def _find_failure_reason(error: PulumiCommandError) -> str:
    """Return the errors among the preview's diagnostics; without any, all output of the command."""
    try:
        errors = _find_diagnostics(json.loads(error.stdout), "error")
    except (ValueError, AttributeError):
        errors = []
    return "\n".join(errors) or error.stderr.strip() or error.stdout.strip() or str(error)
