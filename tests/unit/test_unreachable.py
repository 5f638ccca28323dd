"""Resources of the stack state that stay unchanged while their cluster is unreachable."""

from __future__ import annotations

from typing import Any

from components.unreachable import select_resources_to_retain
from mesh.stack_state import StateResource, parse_resources

STACK = "urn:pulumi:dev::mesh::pulumi:pulumi:Stack::mesh-dev"
WEST = "urn:pulumi:dev::mesh::pulumi:providers:kubernetes::west"
EAST = "urn:pulumi:dev::mesh::pulumi:providers:kubernetes::east"


def component(name: str, kind: str = "Linkerd", parent: str = STACK) -> StateResource:
    return StateResource(
        urn=f"urn:pulumi:dev::mesh::multicluster-mesh:index:{kind}::{name}",
        type=f"multicluster-mesh:index:{kind}",
        parent=parent,
        is_custom=False,
    )


def secret(name: str, parent: StateResource, provider: str | None, **properties: Any) -> StateResource:
    kind = "kubernetes:core/v1:Secret"
    return StateResource(
        urn=f"urn:pulumi:dev::mesh::{parent.type}${kind}::{name}",
        type=kind,
        parent=parent.urn,
        provider=provider,
        **properties,
    )


PROVIDERS = [StateResource(urn=urn, type="pulumi:providers:kubernetes", parent=STACK) for urn in (WEST, EAST)]
WEST_LINKERD, EAST_LINKERD = component("west-linkerd"), component("east-linkerd")
LINK_TO_EAST, LINK_TO_NORTH = (
    component("link-west-to-east", "ClusterLink"),
    component("link-west-to-north", "ClusterLink"),
)
STATE = [
    StateResource(urn=STACK, type="pulumi:pulumi:Stack", is_custom=False),
    *PROVIDERS,
    WEST_LINKERD,
    EAST_LINKERD,
    secret("west-issuer", WEST_LINKERD, WEST),
    secret("east-issuer", EAST_LINKERD, EAST),
    secret("east-key", EAST_LINKERD, None),
    secret("east-gateway", EAST_LINKERD, EAST, is_external=True),
    LINK_TO_EAST,
    secret("link-west-to-east-token", LINK_TO_EAST, EAST),
    secret("link-west-to-east-credentials", LINK_TO_EAST, WEST),
    LINK_TO_NORTH,
    secret("link-west-to-north-credentials", LINK_TO_NORTH, WEST),
]


def retained_names(*clusters: str) -> list[str]:
    return [resource.name for resource in select_resources_to_retain(STATE, clusters)]


def test_resources_of_unreachable_cluster_and_its_links_are_retained() -> None:
    assert retained_names("east") == [
        "east-linkerd",
        "east-issuer",
        "east-key",
        "link-west-to-east",
        "link-west-to-east-token",
        "link-west-to-east-credentials",
    ]


def test_nothing_is_retained_without_unreachable_clusters_or_state() -> None:
    assert retained_names() == []
    assert select_resources_to_retain([], ["east"]) == []
    assert retained_names("north") == []


def test_mirror_cleanup_is_retained_with_its_source() -> None:
    link = component("link-east-to-west", "ClusterLink")
    mirrors = StateResource(
        urn=f"urn:pulumi:dev::mesh::{link.type}$pulumi-python:dynamic/multicluster-mesh:MirrorCleanup::link-east-to-west-mirrors",
        type="pulumi-python:dynamic/multicluster-mesh:MirrorCleanup",
        parent=link.urn,
        inputs={"source": "east", "target": "west"},
    )
    state = [*STATE, link, mirrors]

    assert mirrors in select_resources_to_retain(state, ["east"])
    assert mirrors not in select_resources_to_retain(state, ["west"]), "a reachable source deletes its mirrors as usual"


def test_retained_crds_resource_stays_with_its_cluster() -> None:
    linkerd = component("east-linkerd", "Linkerd")
    crds = StateResource(
        urn=f"urn:pulumi:dev::mesh::{linkerd.type}$pulumi-python:dynamic/multicluster-mesh:RetainedCrds::east-linkerd-retained-crds",
        type="pulumi-python:dynamic/multicluster-mesh:RetainedCrds",
        parent=linkerd.urn,
        inputs={"cluster": "east", "release": "linkerd-crds"},
    )

    assert crds in select_resources_to_retain([*STATE[:3], linkerd, crds], ["east"])
    assert crds not in select_resources_to_retain([*STATE[:3], linkerd, crds], ["west"])


def test_export_cleanup_is_retained_with_its_target_only() -> None:
    sample = component("east-test-podinfo", "Podinfo")
    export = StateResource(
        urn=f"urn:pulumi:dev::mesh::{sample.type}$pulumi-python:dynamic/multicluster-mesh:ExportCleanup::east-test-podinfo-service-export",
        type="pulumi-python:dynamic/multicluster-mesh:ExportCleanup",
        parent=sample.urn,
        inputs={"target": "east", "sources": {"west": {"context": "west"}}},
    )
    state = [*STATE, sample, export]

    assert export in select_resources_to_retain(state, ["east"]), "even before its service exists"
    assert export not in select_resources_to_retain(state, ["west"]), "an unreachable source does not matter"


def test_only_unreachable_members_of_clustermesh_are_retained() -> None:
    mesh = component("clustermesh", "ClusterMesh")
    west, east = (component(f"{name}-cilium", "Cilium", mesh.urn) for name in ("west", "east"))
    parts = [secret("west-cilium-ca", west, WEST), secret("east-cilium-ca", east, EAST), secret("east-key", east, None)]
    balanced = [secret("west-peers", mesh, WEST), secret("east-peers", mesh, EAST)]
    state = [*STATE[:3], mesh, component("cilium", "CiliumAuthority", mesh.urn), *balanced, west, east, *parts]

    retained = [resource.name for resource in select_resources_to_retain(state, ["east"])]

    assert retained == ["clustermesh", "east-peers", "east-cilium", "east-cilium-ca", "east-key"]


def test_cluster_names_with_common_prefix_are_distinguished() -> None:
    state = [*STATE, StateResource(urn=f"{EAST}-2", type="pulumi:providers:kubernetes", parent=STACK)]
    similar = component("east-2-linkerd")
    state += [similar, secret("east-2-issuer", similar, f"{EAST}-2")]

    assert not any(resource.name.startswith("east-2") for resource in select_resources_to_retain(state, ["east"]))


def test_resources_pending_deletion_are_ignored() -> None:
    urn = "urn:pulumi:dev::mesh::kubernetes:core/v1:Secret::old"
    entry = {"urn": urn, "type": "kubernetes:core/v1:Secret", "custom": True, "provider": f"{WEST}::id"}

    (resource,) = parse_resources([{**entry, "delete": True}, entry])

    assert resource.provider == WEST
    assert resource.name == "old"
