"""Order of recorded changes, and their replay."""

from __future__ import annotations

from tests.helpers.event_log import Event, EventLog, ObjectKey, Operation

TEA = ObjectKey("services", "test", "tea")


def event(
    version: int, arrived_s: float, operation: Operation = "modified", cluster: str = "west", key: ObjectKey = TEA
) -> Event:
    body = {"metadata": {"resourceVersion": str(version)}}
    return Event(cluster=cluster, arrived_s=arrived_s, version=version, operation=operation, key=key, body=body)


def test_changes_of_cluster_are_ordered_by_version() -> None:
    # The watch of the first change was slower than that of the second one.
    log = EventLog.from_events([event(5, 3.0), event(4, 3.5), event(6, 4.0)], ["west"], 9)

    assert [(each.version, each.arrived_s) for each in log.events] == [(4, 3.0), (5, 3.0), (6, 4.0)]


def test_changes_of_clusters_are_ordered_by_arrival() -> None:
    log = EventLog.from_events([event(7, 1.0), event(2, 2.0, cluster="east"), event(8, 3.0)], ["west", "east"], 9)

    assert [(each.cluster, each.version) for each in log.events] == [("west", 7), ("east", 2), ("west", 8)]


def test_replay_begins_with_listed_objects() -> None:
    pot = ObjectKey("services", "test", "pot")
    events = [event(3, 0, "listed"), event(9, 2.0, "deleted"), event(8, 1.0, "added", key=pot)]

    log = EventLog.from_events(events, ["west"], 5)

    steps = [(each.begin_s, each.end_s, sorted(key.name for key in each.state["west"])) for each in log.replay()]
    assert steps == [(0, 1, ["tea"]), (1, 2, ["pot", "tea"]), (2, 5, ["pot"])]
    assert log.first_state() == {"west": {TEA: {"metadata": {"resourceVersion": "3"}}}}
    assert list(log.last_state()["west"]) == [pot]
