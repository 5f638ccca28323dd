"""What of a state stays as it is while a cluster can't be reached."""

from __future__ import annotations

from typing import Any

from components.unreachable import resources_to_retain
from mesh.stack_state import StateResource, parse_resources

STACK = "urn:pulumi:dev::mesh::pulumi:pulumi:Stack::mesh-dev"
WEST = "urn:pulumi:dev::mesh::pulumi:providers:kubernetes::west"
EAST = "urn:pulumi:dev::mesh::pulumi:providers:kubernetes::east"


def component(name: str, kind: str = "Linkerd", parent: str = STACK) -> StateResource:
    return StateResource(
        urn=f"urn:pulumi:dev::mesh::multicluster-mesh:index:{kind}::{name}",
        type=f"multicluster-mesh:index:{kind}",
        parent=parent,
        custom=False,
    )


def secret(name: str, parent: StateResource, provider: str | None, **more: Any) -> StateResource:
    kind = "kubernetes:core/v1:Secret"
    return StateResource(
        urn=f"urn:pulumi:dev::mesh::{parent.type}${kind}::{name}",
        type=kind,
        parent=parent.urn,
        provider=provider,
        **more,
    )


PROVIDERS = [StateResource(urn=urn, type="pulumi:providers:kubernetes", parent=STACK) for urn in (WEST, EAST)]
WEST_LINKERD, EAST_LINKERD = component("west-linkerd"), component("east-linkerd")
LINK, OTHER = component("link-west-to-east", "ClusterLink"), component("link-west-to-north", "ClusterLink")
STATE = [
    StateResource(urn=STACK, type="pulumi:pulumi:Stack", custom=False),
    *PROVIDERS,
    WEST_LINKERD,
    EAST_LINKERD,
    secret("west-issuer", WEST_LINKERD, WEST),
    secret("east-issuer", EAST_LINKERD, EAST),
    secret("east-key", EAST_LINKERD, None),
    secret("east-gateway", EAST_LINKERD, EAST, external=True),
    LINK,
    secret("link-west-to-east-token", LINK, EAST),
    secret("link-west-to-east-credentials", LINK, WEST),
    OTHER,
    secret("link-west-to-north-credentials", OTHER, WEST),
]


def names(*clusters: str) -> list[str]:
    return [resource.name for resource in resources_to_retain(STATE, clusters)]


def test_all_of_an_unreachable_cluster_is_kept_and_of_its_links_both_ends() -> None:
    assert names("east") == [
        "east-linkerd",
        "east-issuer",
        "east-key",
        "link-west-to-east",
        "link-west-to-east-token",
        "link-west-to-east-credentials",
    ]


def test_nothing_is_kept_where_every_cluster_can_be_reached_or_nothing_was_made_yet() -> None:
    assert names() == []
    assert resources_to_retain([], ["east"]) == []
    assert names("north") == []


def test_mirrors_are_kept_with_their_source_even_where_nothing_else_of_the_link_was_made() -> None:
    begun = component("link-east-to-west", "ClusterLink")
    mirrors = StateResource(
        urn=f"urn:pulumi:dev::mesh::{begun.type}$pulumi-python:dynamic/multicluster-mesh:MirrorCleanup::link-east-to-west-mirrors",
        type="pulumi-python:dynamic/multicluster-mesh:MirrorCleanup",
        parent=begun.urn,
        inputs={"source": "east", "target": "west"},
    )
    state = [*STATE, begun, mirrors]

    assert mirrors in resources_to_retain(state, ["east"])
    assert mirrors not in resources_to_retain(state, ["west"]), (
        "in a cluster that can be reached they are removed as they should be"
    )


def test_crds_that_helm_leaves_are_kept_with_their_cluster() -> None:
    begun = component("east-linkerd", "Linkerd")
    crds = StateResource(
        urn=f"urn:pulumi:dev::mesh::{begun.type}$pulumi-python:dynamic/multicluster-mesh:RetainedCrds::east-linkerd-retained-crds",
        type="pulumi-python:dynamic/multicluster-mesh:RetainedCrds",
        parent=begun.urn,
        inputs={"cluster": "east", "release": "linkerd-crds"},
    )

    assert crds in resources_to_retain([*STATE[:3], begun, crds], ["east"])
    assert crds not in resources_to_retain([*STATE[:3], begun, crds], ["west"])


def test_what_is_exported_is_kept_with_its_target_and_not_with_those_that_see_it() -> None:
    begun = component("east-test-podinfo", "Podinfo")
    export = StateResource(
        urn=f"urn:pulumi:dev::mesh::{begun.type}$pulumi-python:dynamic/multicluster-mesh:ExportCleanup::east-test-podinfo-service-export",
        type="pulumi-python:dynamic/multicluster-mesh:ExportCleanup",
        parent=begun.urn,
        inputs={"target": "east", "sources": {"west": {"context": "west"}}},
    )
    state = [*STATE, begun, export]

    assert export in resources_to_retain(state, ["east"]), "even where its service was not made yet"
    assert export not in resources_to_retain(state, ["west"]), "that a source is away changes nothing of it"


def test_of_a_clustermesh_only_the_part_of_the_one_that_is_away_is_kept() -> None:
    mesh = component("clustermesh", "ClusterMesh")
    west, east = (component(f"{name}-cilium", "Cilium", mesh.urn) for name in ("west", "east"))
    parts = [secret("west-cilium-ca", west, WEST), secret("east-cilium-ca", east, EAST), secret("east-key", east, None)]
    balanced = [secret("west-peers", mesh, WEST), secret("east-peers", mesh, EAST)]
    state = [*STATE[:3], mesh, component("cilium", "CiliumAuthority", mesh.urn), *balanced, west, east, *parts]

    kept = [resource.name for resource in resources_to_retain(state, ["east"])]

    assert kept == ["clustermesh", "east-peers", "east-cilium", "east-cilium-ca", "east-key"]


def test_a_cluster_is_not_taken_for_another_one_whose_name_begins_alike() -> None:
    state = [*STATE, StateResource(urn=f"{EAST}-2", type="pulumi:providers:kubernetes", parent=STACK)]
    alike = component("east-2-linkerd")
    state += [alike, secret("east-2-issuer", alike, f"{EAST}-2")]

    assert not any(resource.name.startswith("east-2") for resource in resources_to_retain(state, ["east"]))


def test_what_waits_for_its_deletion_is_no_longer_of_the_state() -> None:
    urn = "urn:pulumi:dev::mesh::kubernetes:core/v1:Secret::old"
    entry = {"urn": urn, "type": "kubernetes:core/v1:Secret", "custom": True, "provider": f"{WEST}::id"}

    (found,) = parse_resources([{**entry, "delete": True}, entry])

    assert found.provider == WEST
    assert found.name == "old"
