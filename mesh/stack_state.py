"""Resources in the stack state, from before this preview or update.

The program identifies the stack and its clusters by them (`mesh.stack_identity`), and keeps the resources of
unreachable clusters.
Follows https://www.pulumi.com/docs/iac/cli/commands/pulumi_stack_export/.
"""

from __future__ import annotations

import contextvars
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pulumi

from mesh.pulumi_cli import PulumiCommandError, run_pulumi

# The state may come from a remote service.
EXPORT_TIMEOUT_S = 120


class StackStateError(Exception):
    """The stack state cannot be read."""


@dataclass(frozen=True, kw_only=True)
class StateResource:
    """One resource of the stack state."""

    urn: str
    type: str
    parent: str | None = None
    provider: str | None = None  # URN of its provider
    is_custom: bool = True  # False: a component
    is_external: bool = False  # the stack only reads it
    is_retained: bool = False  # Pulumi only drops it from the state
    dependencies: tuple[str, ...] = ()  # URNs
    inputs: Mapping[str, Any] = field(default_factory=dict)  # secrets are encrypted
    outputs: Mapping[str, Any] = field(default_factory=dict)  # secrets are encrypted
    secret_outputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the resource's name in the program."""
        return self.urn.rsplit("::", 1)[1]


def start_reading() -> Future[list[StateResource]]:
    """Start `read_stack_state` in a thread, so that the program can continue with its imports."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stack-state")
    # Pulumi keeps the stack's name in a context variable.
    reading = pool.submit(contextvars.copy_context().run, read_stack_state)
    pool.shutdown(wait=False)
    return reading


def read_stack_state() -> list[StateResource]:
    """Return the resources of the current stack from before this update, each after its dependencies.

    Raises:
        StackStateError: Pulumi cannot export the state.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    try:
        exported = run_pulumi(["stack", "export", "--stack", stack], timeout_s=EXPORT_TIMEOUT_S)
        deployment = json.loads(exported).get("deployment") or {}
    except (PulumiCommandError, json.JSONDecodeError) as error:
        raise StackStateError(
            f"stack state: {stack}: cannot be read, but it identifies the stack and its clusters ({error}); log in to "
            f"the backend, and try `pulumi stack export --stack {stack}`"
        ) from None
    return parse_resources(deployment.get("resources") or [])


def parse_resources(entries: Sequence[Mapping[str, Any]]) -> list[StateResource]:
    """Return the resources of an exported deployment, without those that are pending deletion."""
    return [
        StateResource(
            urn=entry["urn"],
            type=entry["type"],
            parent=entry.get("parent"),
            provider=entry["provider"].rsplit("::", 1)[0] if entry.get("provider") else None,
            is_custom=bool(entry.get("custom")),
            is_external=bool(entry.get("external")),
            is_retained=bool(entry.get("retainOnDelete")),
            dependencies=tuple(entry.get("dependencies") or ()),
            inputs=entry.get("inputs") or {},
            outputs=entry.get("outputs") or {},
            secret_outputs=tuple(entry.get("additionalSecretOutputs") or ()),
        )
        for entry in entries
        if not entry.get("delete")
    ]
