"""Whether what a fault has left is seen: what is compared of a cluster's objects, and what isn't."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.live_objects import comparable, difference

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def item(kind: str, name: str, *, metadata: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"namespace": "linkerd", "name": name, **(metadata or {})}, **more}


def record(release: str, revision: int, status: str) -> dict[str, Any]:
    labels = {"name": release, "version": str(revision), "status": status, "owner": "helm"}
    name = f"sh.helm.release.v1.{release}.v{revision}"
    return item("Secret", name, metadata={"labels": labels}, type="helm.sh/release.v1", data={"release": "…"})


def pod(name: str, *, owner: str = "ReplicaSet", going: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "labels": {"pod-template-hash": "5d4f"},
        "ownerReferences": [{"kind": owner, "name": "linkerd-identity-5d4f"}],
    }
    return item("Pod", name, metadata=metadata | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}))


def compared(wanted: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    def of(items: list[dict[str, Any]]) -> dict[str, Any]:
        return comparable({f"{i['kind']}/{i['metadata']['namespace']}/{i['metadata']['name']}": i for i in items})

    return difference(of(wanted), of(found))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (item("Namespace", "a", metadata={"uid": "1"}), item("Namespace", "a", metadata={"uid": "2"})),
        (item("Secret", "a", data={"tls.key": "MQ=="}), item("Secret", "a", data={"tls.key": "Mg=="})),
        (item("ConfigMap", "a", data={"ca": PEM.format("MQ")}), item("ConfigMap", "a", data={"ca": PEM.format("Mg")})),
        (item("Service", "a", spec={"clusterIP": "10.0.0.1"}), item("Service", "a", spec={"clusterIP": "10.0.0.2"})),
        (
            item("Deployment", "a", metadata={"annotations": {"checksum/config": "0" * 64}}),
            item("Deployment", "a", metadata={"annotations": {"checksum/config": "1" * 64}}),
        ),
        (record("linkerd-crds", 1, "deployed"), record("linkerd-crds", 2, "deployed")),
        (pod("linkerd-identity-5d4f-aaaaa"), pod("linkerd-identity-5d4f-bbbbb")),
    ],
)
def test_what_differs_from_one_run_to_the_next_is_not_compared(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert compared([one], [other]) == []


@pytest.mark.parametrize(
    ("wanted", "found", "line"),
    [
        ([item("Secret", "a")], [], "missing: Secret/linkerd/a"),
        ([], [item("Secret", "a")], "too much: Secret/linkerd/a"),
        ([item("Secret", "a", data={"k": ""})], [item("Secret", "a", data={})], ".data: [] in place of ['k']"),
        (
            [item("Deployment", "a", spec={"replicas": 1})],
            [item("Deployment", "a", spec={"replicas": 0})],
            ".spec.replicas: 0 in place of 1",
        ),
        ([record("crds", 1, "deployed")], [record("crds", 1, "pending-install")], "pending-install"),
        ([record("crds", 1, "deployed")], [record("crds", 1, "deployed"), record("crds", 2, "failed")], "failed"),
        ([pod("a")], [pod("a"), pod("b")], "pods of linkerd/linkerd-identity: 2 in place of 1"),
    ],
)
def test_what_is_lost_doubled_or_half_made_is_seen(
    wanted: list[dict[str, Any]], found: list[dict[str, Any]], line: str
) -> None:
    (only,) = compared(wanted, found)
    assert line in only


def test_pods_that_go_and_those_of_jobs_are_not_counted() -> None:
    assert compared([pod("a")], [pod("a"), pod("b", going=True), pod("c", owner="Job")]) == []
