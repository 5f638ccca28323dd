"""Preflight checks of the clusters' UIDs against the stack state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from mesh.kube.cluster_uid import KUBE_SYSTEM_PATH
from mesh.kube.connection import Access
from mesh.preflight import Finding, Severity, runner
from mesh.stack_identity import RecordedCluster, StackIdentity
from tests.helpers.fake_api_server import (
    IDENTITY,
    FakeApiServer,
    build_client,
    build_kube_client,
    check_clusters,
    check_target,
    healthy_server,
    serve,
)

WEST, EAST, NORTH = "11111111-west", "22222222-east", "33333333-north"


def server_with_uid(uid: str | None) -> FakeApiServer:
    server = healthy_server()
    if uid is not None:
        server.objects[KUBE_SYSTEM_PATH] = {"metadata": {"name": "kube-system", "uid": uid}}
    return server


def identity(**uids: str | None) -> StackIdentity:
    clusters = {
        name: RecordedCluster(name=name, uid=uid, context=f"ctx-{name}", kubeconfig="") for name, uid in uids.items()
    }
    return replace(IDENTITY, clusters=clusters)


def check(
    live: Mapping[str, str | None], state: StackIdentity, targets: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Finding]:
    """Return the findings for clusters with these UIDs.

    Args:
        live: the UID of each reachable cluster, by its name in the stack file.
        state: the identity in the stack state.
        targets: further fields of the check targets, by name.
    """
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serve(server_with_uid(uid))) for name, uid in live.items()}
        return check_clusters(
            [check_target(name, identity=state, **(targets or {}).get(name, {})) for name in live],
            lambda name: build_client(servers[name].server),
            timeout_s=20,
            identity=state,
            names=list(live),
        )


def test_clusters_of_stack_state_have_no_findings() -> None:
    assert check({"west": WEST, "east": EAST}, identity(west=WEST, east=EAST)) == []


def test_first_update_accepts_any_cluster() -> None:
    assert check({"west": WEST, "east": EAST}, StackIdentity(project="mesh", stack="dev")) == []


def test_state_without_uids_accepts_any_cluster() -> None:
    assert check({"west": WEST}, identity(west=None)) == []


def test_missing_uid_is_not_compared() -> None:
    assert check({"west": None}, identity(west=WEST)) == []


def test_unreadable_uid_is_warning() -> None:
    server = server_with_uid(WEST)
    server.statuses[KUBE_SYSTEM_PATH] = 403
    with serve(server):
        [finding] = check_clusters(
            [check_target(identity=identity(west=WEST))],
            lambda name: build_client(server.server),
            timeout_s=20,
            identity=identity(west=WEST),
            names=["west"],
        )

    assert finding.severity is Severity.WARNING
    assert finding.rule.startswith("could not be read: the identity of the cluster (namespace kube-system)")


def test_same_cluster_under_two_names_is_error() -> None:
    findings = check({"west": WEST, "again": WEST}, identity())

    assert [finding.path for finding in findings] == ["clusters.west", "clusters.again"]
    assert all(finding.severity is Severity.ERROR for finding in findings)
    assert findings[0].rule == (
        "the same cluster as clusters.again (https://west.example.com): both lead to 11111111, and a mesh needs each "
        "cluster once"
    )


def test_another_cluster_is_error_with_two_remedies() -> None:
    [finding] = check({"west": NORTH, "east": EAST}, identity(west=WEST, east=EAST))

    assert str(finding) == (
        "clusters.west: https://west.example.com: another cluster than at the last `up`: 33333333 instead of 11111111; "
        'if 11111111 no longer exists and this is its rebuilt successor, set clusters.west.replaces: "11111111"; '
        "otherwise correct clusters.west.context or the kubeconfig"
    )


def test_other_findings_about_another_cluster_are_omitted() -> None:
    server = server_with_uid(NORTH)
    server.add_namespace("test", "somebody")
    state = identity(west=WEST)

    with serve(server):
        findings = check_clusters(
            [check_target(identity=state)],
            lambda name: build_client(server.server),
            timeout_s=20,
            identity=state,
            names=["west"],
        )

    assert ["another cluster" in finding.rule for finding in findings] == [True]


def test_swapped_contexts_are_errors() -> None:
    findings = check({"west": EAST, "east": WEST}, identity(west=WEST, east=EAST))

    assert [finding.rule for finding in findings] == [
        "this is cluster east of this stack (22222222), and the stack file's name stands for 11111111",
        "this is cluster west of this stack (11111111), and the stack file's name stands for 22222222",
    ]


def test_known_cluster_under_new_name_is_error() -> None:
    [finding] = check({"prod-east": EAST}, identity(east=EAST))

    assert finding.severity is Severity.ERROR
    assert finding.rule.startswith("cluster east of this stack (22222222) under a new name")
    assert finding.remedy.startswith("set clusters.prod-east.renamedFrom: east")


def test_announced_rename_is_warning_about_mirrors() -> None:
    settings = {"prod-east": {"renamed_from": "east", "sources": ("west",)}}

    [finding] = check({"west": WEST, "prod-east": EAST}, identity(west=WEST, east=EAST), settings)

    assert (finding.path, finding.value, finding.severity) == (
        "clusters.prod-east.renamedFrom",
        "east",
        Severity.WARNING,
    )
    assert "in west, new mirror services `<service>-prod-east` are created" in finding.rule


def test_finished_rename_has_no_findings() -> None:
    assert check({"prod-east": EAST}, identity(**{"prod-east": EAST}), {"prod-east": {"renamed_from": "east"}}) == []


def test_rename_of_another_cluster_is_error() -> None:
    [finding] = check({"prod-east": NORTH}, identity(east=EAST), {"prod-east": {"renamed_from": "east"}})

    assert (finding.severity, "33333333 instead of 22222222" in finding.rule) == (Severity.ERROR, True)


def test_rename_to_name_of_another_cluster_is_error() -> None:
    [finding] = check({"west": EAST}, identity(west=WEST, east=EAST), {"west": {"renamed_from": "east"}})

    assert finding.path == "clusters.west.renamedFrom"
    assert finding.rule == "the stack already has another cluster of the new name (11111111)"


def test_rename_with_unreachable_peer_is_error() -> None:
    settings = {"prod-east": {"renamed_from": "east", "unreachable_peers": ("west",)}}

    [finding] = check({"prod-east": EAST}, identity(west=WEST, east=EAST), settings)

    assert finding.severity is Severity.ERROR
    assert finding.rule == "its links to unreachable clusters (west) cannot be renamed"


def test_rename_with_rebuilt_source_is_error() -> None:
    settings: dict[str, Mapping[str, Any]] = {
        "west": {"replaces": "11111111"},
        "prod-east": {"renamed_from": "east", "sources": ("west",)},
    }

    findings = check({"west": NORTH, "prod-east": EAST}, identity(west=WEST, east=EAST), settings)

    [error] = [finding for finding in findings if finding.severity is Severity.ERROR]
    assert error.path == "clusters.prod-east.renamedFrom"
    assert error.rule.startswith("sources of its links were rebuilt (west)")


@pytest.mark.parametrize("replaces", ["11111111", "11111111-west"])
def test_rebuilt_cluster_is_warning(replaces: str) -> None:
    [finding] = check({"west": NORTH}, identity(west=WEST), {"west": {"replaces": replaces}})

    assert (finding.path, finding.severity) == ("clusters.west.replaces", Severity.WARNING)
    assert finding.rule == "rebuilt: everything is created on 33333333, and nothing is asked of 11111111"


def test_replacement_of_another_cluster_is_error() -> None:
    [finding] = check({"west": NORTH}, identity(west=WEST), {"west": {"replaces": "44444444"}})

    assert finding.severity is Severity.ERROR
    assert "and clusters.west.replaces names 44444444" in finding.rule


def test_remaining_replaces_setting_has_no_findings() -> None:
    assert check({"west": NORTH}, identity(west=NORTH), {"west": {"replaces": "11111111"}}) == []


def test_object_of_others_on_rebuilt_cluster_is_error() -> None:
    server = server_with_uid(NORTH)
    server.objects["/api/v1"] = {"resources": [{"name": "namespaces", "kind": "Namespace", "namespaced": False}]}
    server.add_namespace("ours", "multicluster-mesh-dev")
    server.add_namespace("theirs", "somebody")
    names = ("ours", "theirs", "missing")
    objects = tuple({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names)
    state = identity(west=WEST)

    with serve(server):
        findings = check_clusters(
            [check_target(identity=state, replaces="11111111", recorded_objects=objects)],
            lambda name: build_client(server.server),
            timeout_s=20,
            identity=state,
            names=["west"],
        )

    assert [finding.value for finding in findings if finding.severity is Severity.ERROR] == ["Namespace theirs"]


@pytest.fixture
def serve_removed(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeApiServer], None]:
    """Return a function that sets the server at the context of a removed cluster."""

    def use(server: FakeApiServer) -> None:
        def connect(access: Access, *, timeout_s: float) -> Any:
            assert access == Access(context="ctx-east", kubeconfig="")
            return build_kube_client(server.server, timeout_s)

        monkeypatch.setattr(runner, "connect", connect)

    return use


@pytest.mark.parametrize(("live", "count"), [(EAST, 0), (NORTH, 1), (None, 0), (WEST, 1)])
def test_removed_cluster_must_be_at_its_context(
    serve_removed: Callable[[FakeApiServer], None], live: str | None, count: int
) -> None:
    with serve(server_with_uid(live)) as removed:
        serve_removed(removed)
        findings = check({"west": WEST}, identity(west=WEST, east=EAST))

    assert len(findings) == count
    for finding in findings:
        assert (finding.path, finding.value) == ("clusters.east", "context ctx-east")
        assert f"{str(live)[:8]} instead of 22222222" in finding.rule


def test_abandoned_cluster_is_removed_without_its_context(serve_removed: Callable[[FakeApiServer], None]) -> None:
    state = identity(west=WEST, east=EAST)
    abandoned = replace(state.clusters["east"], is_abandoned=True)

    with serve(server_with_uid(NORTH)) as removed:
        serve_removed(removed)
        findings = check({"west": WEST}, replace(state, clusters={**state.clusters, "east": abandoned}))

    assert findings == []


@pytest.mark.parametrize(
    ("name", "former", "is_refused"),
    [
        ("prod-east", None, True),
        ("prod-east", "east", False),
        ("east", "prod-east", False),
        ("third", "prod-east", True),
        ("prod-east", "north", True),
    ],
)
def test_interrupted_rename_must_be_continued(name: str, former: str | None, is_refused: bool) -> None:
    state = identity(**{"prod-east": EAST})
    cluster = replace(state.clusters["prod-east"], unfinished_rename="east")

    findings = check({name: EAST}, replace(state, clusters={"prod-east": cluster}), {name: {"renamed_from": former}})

    refusals = [finding.remedy for finding in findings if finding.severity is Severity.ERROR]
    remedy = "set clusters.prod-east.renamedFrom: east, and run `pulumi up` before any other change of the name"
    assert refusals == ([remedy] if is_refused else [])
