"""Updates whose changes to the clusters are recorded and checked."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from mesh.kube.connection import Access
from tests.helpers.event_log import EventLog
from tests.helpers.event_recorder import record_events
from tests.helpers.stack_under_test import StackUnderTest
from tests.helpers.traffic_invariants import InvariantViolation, describe_violations, find_violations


@dataclass(frozen=True, kw_only=True)
class RecordedUpdate:
    """The changes of one `pulumi up`."""

    log: EventLog
    violations: list[InvariantViolation]
    duration_s: float

    def require_no_loss(self, namespace: str | None = None, *, ignored: Collection[str] = ()) -> None:
        """Fail with the violations in one namespace, or in all except for the ignored ones."""
        selected = [
            each
            for each in self.violations
            if namespace in (None, each.finding.namespace) and each.finding.namespace not in ignored
        ]
        if selected:
            # An assertion would cut the text.
            pytest.fail(f"requests can be lost:\n{describe_violations(self.log, selected)}", pytrace=False)


def accesses(lab_stack: StackUnderTest) -> dict[str, Access]:
    """Return the credentials of a stack's clusters by name."""
    kubeconfig = str(lab_stack.lab.kubeconfig)
    return {name: Access(context=context, kubeconfig=kubeconfig) for name, context in lab_stack.contexts.items()}


def record_up(lab_stack: StackUnderTest, config: Mapping[str, Any]) -> RecordedUpdate:
    """Update a stack to another configuration, and check each moment of the update.

    Clusters that leave the stack are recorded too.
    """
    clusters = accesses(lab_stack)
    lab_stack.configure(dict(config))
    clusters |= accesses(lab_stack)
    with record_events(clusters) as recording:
        began = time.monotonic()
        lab_stack.up()
        duration_s = time.monotonic() - began
    return RecordedUpdate(log=recording.log, violations=find_violations(recording.log), duration_s=duration_s)
