"""Settings of a single cluster, built without a stack file."""

from __future__ import annotations

from typing import Any, cast

import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.identity import ClusterIdentity
from mesh import config
from mesh.config.models.extensions import ExtensionsConfig
from mesh.config.models.stack_file import ClusterLinkerdConfig, GatewayConfig
from mesh.config.resolved import ClusterExtensions, MetalLbSettings
from mesh.kube.kubeconfig import Context
from mesh.linkerd_releases import LINKERD_RELEASES, LinkerdRelease

NEWER_RELEASE, OLDER_RELEASE = LINKERD_RELEASES["2.14.10"], LINKERD_RELEASES["2.13.5"]


def build_cluster_settings(
    name: str = "east",
    *,
    gateway: dict[str, Any] | None = None,
    linkerd: dict[str, Any] | None = None,
    extensions: dict[str, Any] | None = None,
    linkerd_release: LinkerdRelease = NEWER_RELEASE,
) -> config.ClusterSettings:
    """Return a cluster's settings; the arguments have the form of a stack file."""
    return config.ClusterSettings(
        name=name,
        context=Context(name=name, server="https://192.0.2.1:6443"),
        api_server="https://192.0.2.1:6443",
        gateway=GatewayConfig.model_validate(gateway or {}),
        linkerd=ClusterLinkerdConfig.model_validate(linkerd or {}),
        extensions=_resolve_extensions(name, ExtensionsConfig.model_validate(extensions or {})),
        linkerd_release=linkerd_release,
    )


def build_cluster(name: str) -> Cluster:
    """Return a cluster without a Kubernetes provider, for functions that register nothing."""
    identity = ClusterIdentity(
        uid=None,
        stack_id="stack-id",
        field_manager="multicluster-mesh-test",
        provider_identifier=name,
        revision_description="multicluster-mesh stack test",
    )
    return Cluster(settings=build_cluster_settings(name), identity=identity, provider=cast(kubernetes.Provider, None))


def _resolve_extensions(name: str, extensions: ExtensionsConfig) -> ClusterExtensions:
    metallb = extensions.metallb
    return ClusterExtensions(
        viz=extensions.viz,
        jaeger=extensions.jaeger is not None,
        smi=extensions.smi,
        metallb=MetalLbSettings(version=metallb.version, pool=tuple(metallb.pools[name]), values=metallb.values)
        if metallb is not None
        else None,
        ingress_nginx=extensions.ingress_nginx,
        gateway_api=extensions.gateway_api,
    )
