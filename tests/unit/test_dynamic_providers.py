"""Names of the dynamic providers, which every stack state refers to."""

from __future__ import annotations

import base64
import pickletools

import pytest
from pulumi.dynamic import Resource, ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider

from components import dynamic_providers
from components.helm.release_drift import ReleaseDrift
from components.helm.retained_crds import RetainedCrds
from components.identity import ClusterIdentities
from components.linkerd.dashboard_user import DashboardUser
from components.linkerd.mirror_cleanup import MirrorCleanup
from components.namespace import NamespaceDeletion
from components.workloads.export_cleanup import ExportCleanup

# Type token after the provider. A change in either breaks `refresh` and `destroy` of existing stacks.
FROZEN = {
    "ReleaseDriftProvider": "dynamic/multicluster-mesh:ReleaseDrift",
    "RetainedCrdsProvider": "dynamic/multicluster-mesh:RetainedCrds",
    "MirrorCleanupProvider": "dynamic/multicluster-mesh:MirrorCleanup",
    "ExportCleanupProvider": "dynamic/multicluster-mesh:ExportCleanup",
    "NamespaceDeletionProvider": "dynamic/multicluster-mesh:NamespaceDeletion",
    "ClusterIdentitiesProvider": "dynamic/multicluster-mesh:ClusterIdentities",
    "DashboardUserProvider": "dynamic/multicluster-mesh:DashboardUser",
}
RESOURCES: tuple[type[Resource], ...] = (
    ReleaseDrift,
    RetainedCrds,
    MirrorCleanup,
    ExportCleanup,
    NamespaceDeletion,
    ClusterIdentities,
    DashboardUser,
)


@pytest.mark.parametrize("name", FROZEN)
def test_serialized_provider_refers_to_frozen_name(name: str) -> None:
    provider: ResourceProvider = getattr(dynamic_providers, name)()

    serialized = base64.b64decode(serialize_provider(provider))

    arguments = {argument for _, argument, _ in pickletools.genops(serialized) if isinstance(argument, str)}
    assert f"components.dynamic_providers {name}" in arguments or {"components.dynamic_providers", name} <= arguments
    assert len(serialized) < 200, "the class must be stored by reference, not by value"


def test_type_tokens_are_frozen() -> None:
    assert {resource._resource_type_name for resource in RESOURCES} == set(FROZEN.values())


def test_every_dynamic_provider_is_frozen() -> None:
    providers = {
        name
        for name, value in vars(dynamic_providers).items()
        if isinstance(value, type) and issubclass(value, dynamic_providers.StateProvider)
    }

    assert providers - {"StateProvider"} == set(FROZEN)


def test_every_dynamic_provider_is_defined_in_the_frozen_module() -> None:
    modules = {kind.__module__ for kind in subclasses(ResourceProvider)}

    assert {name for name in modules if name.startswith("components")} == {"components.dynamic_providers"}


def subclasses(kind: type) -> set[type]:
    """Return all classes derived from a class."""
    direct: list[type] = kind.__subclasses__()
    return {each for child in direct for each in (child, *subclasses(child))}
