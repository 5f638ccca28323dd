"""Updates whose changes to the clusters are recorded and checked."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from mesh.kube.constants import MULTICLUSTER_NAMESPACE
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers.event_log import EventLog
from tests.helpers.event_recorder import record_events
from tests.helpers.slow_pods import slow_pods
from tests.helpers.stack_under_test import REFUSAL, StackUnderTest, deploy, wait_until
from tests.helpers.traffic_invariants import InvariantViolation, describe_violations, find_violations
from tests.helpers.update_progress import OutputWatch

_DIAGNOSTICS = "Diagnostics:"
_ENDED = b"Duration:"

# By namespace: a sample, its settings before and after.
Changes = Mapping[str, tuple[str, dict[str, Any], dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class RecordedUpdate:
    """The changes of one `pulumi up`."""

    log: EventLog = field(repr=False)
    violations: list[InvariantViolation]
    duration_s: float
    error: str = ""  # messages of an `up` that failed

    @property
    def is_refused(self) -> bool:
        """Return whether the update did not begin."""
        return REFUSAL in self.error

    @property
    def has_changed(self) -> bool:
        """Return whether the update changed anything."""
        return any(event.operation != "listed" for event in self.log.events)

    def require_no_loss(self, namespace: str | None = None, *, ignored: Collection[str] = ()) -> None:
        """Fail with the violations in one namespace, or in all except for the ignored ones."""
        selected = [
            each
            for each in self.violations
            if namespace in (None, each.breach.namespace) and each.breach.namespace not in ignored
        ]
        assert not self.error, self.error
        if selected:
            # An assertion would cut the text.
            pytest.fail(f"requests can be lost:\n{describe_violations(self.log, selected)}", pytrace=False)


def accesses(lab_stack: StackUnderTest) -> dict[str, Access]:
    """Return the credentials of a stack's clusters by name."""
    kubeconfig = str(lab_stack.lab.kubeconfig)
    return {name: Access(context=context, kubeconfig=kubeconfig) for name, context in lab_stack.contexts.items()}


def record_up(lab_stack: StackUnderTest, config: Mapping[str, Any], *, kill_after: int | None = None) -> RecordedUpdate:
    """Update a stack to another configuration, and check each moment of the update.

    Clusters that leave the stack are recorded too.

    Args:
        lab_stack: the stack.
        config: its next configuration.
        kill_after: number of changed resources after which the `up` is killed, and another one completes it.
    """
    clusters = accesses(lab_stack)
    lab_stack.configure(dict(config))
    clusters |= accesses(lab_stack)
    error = ""
    clients = {name: kube_client.connect(access) for name, access in clusters.items()}
    with record_events(clients) as recording:
        began = time.monotonic()
        if kill_after is not None:
            _kill_up(lab_stack, kill_after)
        output = OutputWatch(lab_stack.output)
        try:
            lab_stack.up()
        except PulumiCommandError:
            error = output.output.decode().partition(_DIAGNOSTICS)[2]
        duration_s = time.monotonic() - began
    return RecordedUpdate(
        log=recording.log, violations=find_violations(recording.log), duration_s=duration_s, error=error
    )


def _kill_up(lab_stack: StackUnderTest, kill_after: int) -> None:
    output = OutputWatch(lab_stack.output)
    with lab_stack.interrupted_up():
        wait_until(lambda: output.resource_count >= kill_after or _ENDED in output.output, timeout_s=120)


@dataclass(frozen=True, kw_only=True)
class BothWays:
    """An update that makes all changes, and one that takes them back."""

    there: RecordedUpdate
    back: RecordedUpdate


def build_workloads(changes: Changes, *, is_changed: bool) -> list[dict[str, Any]]:
    """Return the samples before or after their changes."""
    return [
        {sample: {"namespace": namespace, **(after if is_changed else before)}}
        for namespace, (sample, before, after) in changes.items()
    ]


def update_both_ways(
    lab: StateDir,
    folder: Path,
    name: str,
    before: dict[str, Any],
    after: dict[str, Any],
    back: dict[str, Any] | None = None,
) -> Iterator[BothWays]:
    """Deploy a stack, yield the update to another configuration and the way back, and destroy the stack.

    Args:
        lab: the lab.
        folder: folder of the stack file.
        name: name of the stack.
        before: first configuration.
        after: second configuration.
        back: last configuration; None for the first one again.
    """
    namespaces = [settings["namespace"] for entry in before["workloads"] for settings in entry.values()]
    clusters = accesses(StackUnderTest(lab, folder, name, before)).values()
    with slow_pods(clusters, [*namespaces, MULTICLUSTER_NAMESPACE]), deploy(lab, folder, name, before) as lab_stack:
        yield BothWays(there=record_up(lab_stack, after), back=record_up(lab_stack, back or before))
