"""Names of the dynamic providers, which every stack state refers to."""

from __future__ import annotations

import base64
import json
import pickletools
import sys
from collections.abc import Iterator

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
from components.services.export_cleanup import ExportCleanup
from components.services.namespace_membership import ProxyCleanup
from components.services.object_metadata import ObjectMetadata
from components.services.service_export import ServiceExport
from mesh.kube import client
from mesh.kube.cluster_uid import KUBE_SYSTEM_PATH, WrongClusterError
from tests.helpers.fake_api_server import build_kube_client, healthy_server, serve

# Type token after the provider. A change in either breaks `refresh` and `destroy` of existing stacks.
FROZEN = {
    "ReleaseDriftProvider": "dynamic/multicluster-mesh:ReleaseDrift",
    "RetainedCrdsProvider": "dynamic/multicluster-mesh:RetainedCrds",
    "MirrorCleanupProvider": "dynamic/multicluster-mesh:MirrorCleanup",
    "ExportCleanupProvider": "dynamic/multicluster-mesh:ExportCleanup",
    "ServiceExportProvider": "dynamic/multicluster-mesh:ServiceExport",
    "ObjectMetadataProvider": "dynamic/multicluster-mesh:ObjectMetadata",
    "ProxyCleanupProvider": "dynamic/multicluster-mesh:ProxyCleanup",
    "NamespaceDeletionProvider": "dynamic/multicluster-mesh:NamespaceDeletion",
    "ClusterIdentitiesProvider": "dynamic/multicluster-mesh:ClusterIdentities",
    "DashboardUserProvider": "dynamic/multicluster-mesh:DashboardUser",
}
RESOURCES: tuple[type[Resource], ...] = (
    ReleaseDrift,
    RetainedCrds,
    MirrorCleanup,
    ExportCleanup,
    ServiceExport,
    ObjectMetadata,
    ProxyCleanup,
    NamespaceDeletion,
    ClusterIdentities,
    DashboardUser,
)


@pytest.fixture(autouse=True)
def traceback_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the limit after each test: a provider hides the traceback of an error of the user."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)


@pytest.mark.parametrize("name", FROZEN)
def test_serialized_provider_refers_to_frozen_name(name: str) -> None:
    provider: ResourceProvider = getattr(dynamic_providers, name)()

    serialized = base64.b64decode(serialize_provider(provider))

    arguments = {argument for _, argument, _ in pickletools.genops(serialized) if isinstance(argument, str)}
    assert f"components.dynamic_providers {name}" in arguments or {"components.dynamic_providers", name} <= arguments
    assert len(serialized) < 200, "the class must be stored by reference, not by value"


@pytest.fixture
def wrong_context(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let every context lead to one cluster, and return the properties of a ClusterIdentities with another one."""
    server = healthy_server()
    server.objects[KUBE_SYSTEM_PATH] = {"metadata": {"uid": "99999999-live"}}
    with serve(server):
        monkeypatch.setattr(client, "connect", lambda *_, **__: build_kube_client(server.server))
        yield json.dumps({"east": {"context": "east", "kubeconfig": "", "uid": "22222222-east"}})
    assert set(server.requests) == {f"GET {KUBE_SYSTEM_PATH}"} or not server.requests


def test_removed_cluster_with_wrong_context_is_refused(wrong_context: str) -> None:
    with pytest.raises(WrongClusterError, match=r"clusters.east: its context leads to cluster 99999999"):
        dynamic_providers.ClusterIdentitiesProvider().update(
            "id", {"clusters": wrong_context}, {"clusters": "{}", "keep": ["west"]}
        )


def test_kept_cluster_needs_no_former_context(wrong_context: str) -> None:
    news = {"clusters": "{}", "uids": {}, "keep": ["west", "east"]}

    result = dynamic_providers.ClusterIdentitiesProvider().update("id", {"clusters": wrong_context}, news)

    assert result.outs == {"clusters": "{}", "uids": {}}, "the names are not part of the state"


@pytest.mark.parametrize(("source", "replaces"), [("11111111-old", ["target"]), ("33333333-new", [])])
def test_mirrors_on_rebuilt_source_are_not_deleted(source: str, replaces: list[str]) -> None:
    olds = {"source": "west", "uid": "11111111-old", "target": "east"}

    diff = dynamic_providers.MirrorCleanupProvider().diff("id", olds, {**olds, "uid": source, "target": "prod-east"})

    assert (diff.changes, diff.replaces) == (True, replaces)


@pytest.mark.usefixtures("wrong_context")
@pytest.mark.parametrize(
    "name",
    [
        *("ReleaseDrift", "RetainedCrds", "MirrorCleanup", "NamespaceDeletion", "ExportCleanup", "ServiceExport"),
        *("ObjectMetadata", "ProxyCleanup"),
    ],
)
def test_deletion_on_another_cluster_changes_nothing(name: str) -> None:
    props = {
        **{"context": "east", "uid": "22222222-east", "cluster": "east", "source": "east", "target": "west"},
        **{"namespace": "test", "release": "viz", "service": "podinfo"},
        **{"kind": "Namespace", "name": "test", "fieldManager": "stack"},
        **{f"{end}{key}": value for end in ("target", "source") for key, value in (("Context", "x"), ("Uid", "2"))},
    }

    # The fixture requires that nothing but the UID is read.
    getattr(dynamic_providers, f"{name}Provider")().delete("id", props)


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
