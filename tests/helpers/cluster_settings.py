"""A cluster's settings as a test wants them, without a stack file."""

from __future__ import annotations

from typing import Any

from mesh import config
from mesh.config.models.extensions import Extensions as ExtensionParts
from mesh.config.models.stack_file import ClusterLinkerd, Gateway
from mesh.config.resolved import Extensions, LoadBalancer
from mesh.kube.kubeconfig import Context
from mesh.linkerd_releases import LINKERD, LinkerdRelease

NEW, OLD = LINKERD["2.14.10"], LINKERD["2.13.5"]


def cluster(
    name: str = "east",
    *,
    gateway: dict[str, Any] | None = None,
    linkerd: dict[str, Any] | None = None,
    extensions: dict[str, Any] | None = None,
    release: LinkerdRelease = NEW,
) -> config.Cluster:
    """One cluster; what is said of it is said as in a stack file."""
    return config.Cluster(
        name=name,
        context=Context(name=name, server="https://192.0.2.1:6443"),
        api_server="https://192.0.2.1:6443",
        gateway=Gateway.model_validate(gateway or {}),
        linkerd=ClusterLinkerd.model_validate(linkerd or {}),
        extensions=_extensions(name, ExtensionParts.model_validate(extensions or {})),
        release=release,
    )


def _extensions(name: str, said: ExtensionParts) -> Extensions:
    metallb = said.metallb
    return Extensions(
        viz=said.viz,
        jaeger=said.jaeger is not None,
        smi=said.smi,
        metallb=LoadBalancer(version=metallb.version, pool=tuple(metallb.pools[name]), values=metallb.values)
        if metallb is not None
        else None,
        ingress_nginx=said.ingress_nginx,
        gateway_api=said.gateway_api,
    )
