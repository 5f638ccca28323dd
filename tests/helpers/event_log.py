"""Log of the changes to the objects of several clusters, and its replay moment by moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple

Operation = Literal["listed", "added", "modified", "deleted"]
Body = Mapping[str, Any]


class ObjectKey(NamedTuple):
    """An object of one cluster; `resource` has the form of kubectl, such as `deployments.apps`."""

    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.resource} {self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One change of an object, or its state at the start of the recording."""

    cluster: str
    arrived_s: float  # since the start of the recording
    version: int
    operation: Operation
    key: ObjectKey
    body: Body


# All objects by cluster.
MeshState = Mapping[str, Mapping[ObjectKey, Body]]


@dataclass(frozen=True, kw_only=True)
class ReplayStep:
    """The objects from one event until the next one.

    The replay changes `state` afterwards, so it must be read before the next step.
    """

    begin_s: float
    end_s: float
    state: MeshState


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """All events of a recording, in the order in which the API servers wrote them.

    A resourceVersion orders all objects of a cluster, because all of them are in one etcd. The order of two clusters is
    that of arrival.
    """

    events: Sequence[Event]
    clusters: Sequence[str]
    end_s: float

    @classmethod
    def from_events(cls, events: Iterable[Event], clusters: Sequence[str], end_s: float) -> EventLog:
        """Return the log of events in any order."""
        ordered: list[tuple[float, Event]] = []
        for _, group in groupby(sorted(events, key=lambda each: each.cluster), key=lambda each: each.cluster):
            by_version = sorted(group, key=lambda each: (each.operation != "listed", each.version))
            # An event happened before each later one, also if its own watch was slower.
            written_s = end_s
            for event in reversed(by_version):
                written_s = min(written_s, event.arrived_s)
                ordered.append((written_s, event))
        # The sort is stable, and the events of each cluster are in reverse order.
        ordered.reverse()
        ordered.sort(key=lambda pair: pair[0])
        return cls(
            events=[_at(event, written_s) for written_s, event in ordered], clusters=tuple(clusters), end_s=end_s
        )

    def replay(self) -> Iterator[ReplayStep]:
        """Yield the objects between the events; the first step has those that existed before the recording."""
        state: dict[str, dict[ObjectKey, Body]] = {cluster: {} for cluster in self.clusters}
        changes = [event for event in self.events if event.operation != "listed"]
        for event in self.events:
            if event.operation == "listed":
                state[event.cluster][event.key] = event.body
        begin_s = 0.0
        for event in changes:
            yield ReplayStep(begin_s=begin_s, end_s=event.arrived_s, state=state)
            if event.operation == "deleted":
                state[event.cluster].pop(event.key, None)
            else:
                state[event.cluster][event.key] = event.body
            begin_s = event.arrived_s
        yield ReplayStep(begin_s=begin_s, end_s=self.end_s, state=state)

    def first_state(self) -> MeshState:
        """Return the objects before the first event."""
        return _copy(next(self.replay()).state)

    def last_state(self) -> MeshState:
        """Return the objects after the last event."""
        *_, last = self.replay()
        return _copy(last.state)


def _at(event: Event, arrived_s: float) -> Event:
    return Event(**{**vars(event), "arrived_s": arrived_s})


def _copy(state: MeshState) -> MeshState:
    return {cluster: dict(objects) for cluster, objects in state.items()}
