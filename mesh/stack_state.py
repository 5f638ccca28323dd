"""What the stack has already made, as Pulumi's own state records it.

Only asked for where a cluster can't be reached: what is there must then be told from what is still to be made.
Follows https://www.pulumi.com/docs/iac/cli/commands/pulumi_stack_export/.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

# Seconds that the state may take to arrive, from a service far away.
EXPORT_TIMEOUT_S = 120


class StackStateError(Exception):
    """The state can't be read."""


@dataclass(frozen=True, kw_only=True)
class StateResource:
    """One resource of the state."""

    urn: str
    type: str
    parent: str | None = None
    provider: str | None = None  # the URN of its provider
    custom: bool = True  # False: a component
    external: bool = False  # read, and not made by this stack
    dependencies: tuple[str, ...] = ()  # URNs
    inputs: Mapping[str, Any] = field(default_factory=dict)  # secrets are encrypted
    outputs: Mapping[str, Any] = field(default_factory=dict)  # secrets are encrypted
    secret_outputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that the program has given it."""
        return self.urn.rsplit("::", 1)[1]


def read_stack_state() -> list[StateResource]:
    """The resources that the running stack had made before, each after those that it depends on.

    Raises:
        RecordError: Pulumi doesn't give the state.
    """
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    command = ["pulumi", "stack", "export", "--stack", stack]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=EXPORT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"no answer in {EXPORT_TIMEOUT_S} seconds" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise _export_error(command, why) from None
    if ended.returncode != 0:
        said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
        why = said[-1] if said else f"ended with {ended.returncode}"
        raise _export_error(command, why)
    deployment = json.loads(ended.stdout).get("deployment") or {}
    return parse_resources(deployment.get("resources") or [])


def _export_error(command: Sequence[str], why: str) -> StackStateError:
    return StackStateError(
        f"{' '.join(command)}: {why}: while a cluster is declared unreachable, what the stack has made is read; "
        "let this command work where it runs (the backend's login, and PULUMI_CONFIG_PASSPHRASE or its _FILE)"
    )


def parse_resources(found: Sequence[Mapping[str, Any]]) -> list[StateResource]:
    """Resources from an exported deployment; what waits for its deletion is left out."""
    return [
        StateResource(
            urn=entry["urn"],
            type=entry["type"],
            parent=entry.get("parent"),
            provider=entry["provider"].rsplit("::", 1)[0] if entry.get("provider") else None,
            custom=bool(entry.get("custom")),
            external=bool(entry.get("external")),
            dependencies=tuple(entry.get("dependencies") or ()),
            inputs=entry.get("inputs") or {},
            outputs=entry.get("outputs") or {},
            secret_outputs=tuple(entry.get("additionalSecretOutputs") or ()),
        )
        for entry in found
        if not entry.get("delete")
    ]
