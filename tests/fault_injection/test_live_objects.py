"""Comparison of a cluster's objects: reported and ignored differences."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.live_objects import diff_objects, normalize_objects

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def build_object(kind: str, name: str, *, metadata: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"namespace": "linkerd", "name": name, **(metadata or {})}, **fields}


def build_release_secret(release: str, revision: int, status: str) -> dict[str, Any]:
    labels = {"name": release, "version": str(revision), "status": status, "owner": "helm"}
    name = f"sh.helm.release.v1.{release}.v{revision}"
    return build_object("Secret", name, metadata={"labels": labels}, type="helm.sh/release.v1", data={"release": "…"})


def build_pod(name: str, *, owner: str = "ReplicaSet", is_terminating: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "labels": {"pod-template-hash": "5d4f"},
        "ownerReferences": [{"kind": owner, "name": "linkerd-identity-5d4f"}],
    }
    return build_object(
        "Pod", name, metadata=metadata | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if is_terminating else {})
    )


def compare(expected: list[dict[str, Any]], live: list[dict[str, Any]]) -> list[str]:
    def normalize(items: list[dict[str, Any]]) -> dict[str, Any]:
        return normalize_objects(
            {f"{i['kind']}/{i['metadata']['namespace']}/{i['metadata']['name']}": i for i in items}
        )

    return diff_objects(normalize(expected), normalize(live))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (build_object("Namespace", "a", metadata={"uid": "1"}), build_object("Namespace", "a", metadata={"uid": "2"})),
        (build_object("Secret", "a", data={"tls.key": "MQ=="}), build_object("Secret", "a", data={"tls.key": "Mg=="})),
        (
            build_object("ConfigMap", "a", data={"ca": PEM.format("MQ")}),
            build_object("ConfigMap", "a", data={"ca": PEM.format("Mg")}),
        ),
        (
            build_object("Service", "a", spec={"clusterIP": "10.0.0.1"}),
            build_object("Service", "a", spec={"clusterIP": "10.0.0.2"}),
        ),
        (
            build_object("Deployment", "a", metadata={"annotations": {"checksum/config": "0" * 64}}),
            build_object("Deployment", "a", metadata={"annotations": {"checksum/config": "1" * 64}}),
        ),
        (build_release_secret("linkerd-crds", 1, "deployed"), build_release_secret("linkerd-crds", 2, "deployed")),
        (build_pod("linkerd-identity-5d4f-aaaaa"), build_pod("linkerd-identity-5d4f-bbbbb")),
    ],
)
def test_fields_that_differ_per_run_are_ignored(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert compare([first], [second]) == []


@pytest.mark.parametrize(
    ("expected", "live", "line"),
    [
        ([build_object("Secret", "a")], [], "missing: Secret/linkerd/a"),
        ([], [build_object("Secret", "a")], "extra: Secret/linkerd/a"),
        (
            [build_object("Secret", "a", data={"k": ""})],
            [build_object("Secret", "a", data={})],
            ".data: [], expected ['k']",
        ),
        (
            [build_object("Deployment", "a", spec={"replicas": 1})],
            [build_object("Deployment", "a", spec={"replicas": 0})],
            ".spec.replicas: 0, expected 1",
        ),
        (
            [build_release_secret("crds", 1, "deployed")],
            [build_release_secret("crds", 1, "pending-install")],
            "pending-install",
        ),
        (
            [build_release_secret("crds", 1, "deployed")],
            [build_release_secret("crds", 1, "deployed"), build_release_secret("crds", 2, "failed")],
            "failed",
        ),
        ([build_pod("a")], [build_pod("a"), build_pod("b")], "pods of linkerd/linkerd-identity: 2, expected 1"),
    ],
)
def test_missing_extra_and_incomplete_objects_are_reported(
    expected: list[dict[str, Any]], live: list[dict[str, Any]], line: str
) -> None:
    (difference,) = compare(expected, live)
    assert line in difference


def test_terminating_pods_and_pods_of_jobs_are_ignored() -> None:
    assert (
        compare([build_pod("a")], [build_pod("a"), build_pod("b", is_terminating=True), build_pod("c", owner="Job")])
        == []
    )
