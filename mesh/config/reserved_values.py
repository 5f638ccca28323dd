"""The values of charts that this program sets itself: a stack file that sets them too is told of the setting for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.config.base_model import Values
from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.stack_file import ClusterLinkerdConfig

# Values that this program sets itself, because other parts depend on them: and the setting that is meant for them.
_WEBHOOK = "its certificate is pinned by this program"
_AUTHORITY = "one authority signs for all clusters"
_PINNED = ("externalSecret", "crtPEM", "keyPEM", "caBundle", "injectCaFrom", "injectCaFromSecret")
RESERVED_VALUES: Mapping[str, Mapping[str, str]] = {
    "linkerd-control-plane": {
        "linkerdVersion": "set linkerd.version",
        "clusterDomain": "set linkerd.clusterDomain",
        "identityTrustDomain": "set linkerd.trustDomain",
        "identityTrustAnchorsPEM": "set trust.anchor",
        "identity.issuer.scheme": "set trust.issuers",
        "identity.issuer.tls": "set trust.issuers",
        "identity.externalCA": "set trust.anchor",
        "cniEnabled": "set linkerd.cni",
        **{
            f"{webhook}.{key}": _WEBHOOK
            for webhook in ("proxyInjector", "profileValidator", "policyValidator")
            for key in _PINNED
        },
    },
    "linkerd-multicluster": {
        "linkerdVersion": "set linkerd.version",
        "linkerdNamespace": "set linkerd.namespace",
        "identityTrustDomain": "set linkerd.trustDomain",
        "gateway.enabled": "set gateway.enabled of the cluster",
        "gateway.name": "it is part of the links",
        "gateway.serviceType": "set gateway.nodePort of the cluster",
        "gateway.nodePort": "set gateway.nodePort of the cluster",
        "gateway.probe.nodePort": "set gateway.nodePort of the cluster",
        "remoteMirrorServiceAccount": "links need the account",
        "remoteMirrorServiceAccountName": "it is part of the links",
    },
    "linkerd-viz": {
        "linkerdVersion": "set linkerd.version",
        "linkerdNamespace": "set linkerd.namespace",
        "clusterDomain": "set linkerd.clusterDomain",
        "identityTrustDomain": "set linkerd.trustDomain",
        "prometheusUrl": "set extensions.viz.prometheusUrl",
        **{f"{part}.{key}": _WEBHOOK for part in ("tap", "tapInjector") for key in _PINNED},
    },
    "linkerd-jaeger": {
        "linkerdVersion": "set linkerd.version",
        "linkerdNamespace": "set linkerd.namespace",
        "clusterDomain": "set linkerd.clusterDomain",
        **{f"webhook.{key}": _WEBHOOK for key in _PINNED},
    },
    "cilium": {
        "cluster.name": "it is the cluster's name in the stack file",
        "cluster.id": "set cilium.id of the cluster",
        "tls.ca": _AUTHORITY,
        "hubble.enabled": "set cilium.hubble",
        "hubble.tls": _AUTHORITY,
        "hubble.relay.enabled": "set cilium.hubble.relay",
        "clustermesh.useAPIServer": "it is what the others connect to",
        "clustermesh.config": "the other clusters are those of the stack file",
        "clustermesh.maxConnectedClusters": "set cilium.maxConnectedClusters",
        "clustermesh.apiserver.tls": _AUTHORITY,
        "clustermesh.apiserver.service.type": "set cilium.service",
        "clustermesh.apiserver.service.nodePort": "set cilium.nodePort",
        "clustermesh.apiserver.kvstoremesh.enabled": "set cilium.kvstoremesh",
    },
    "service-mirror": {
        "target": "it is the link's",
        "tag": "set linkerd.version",
        "leaderElection": "it is the release's",
        "credentialsChecksum": "it is the link's",
        "probePort": "set gateway.probePort of the target",
    },
}


def check_linkerd_values(path: tuple[str, ...], linkerd: ClusterLinkerdConfig, faults: ValidationErrors) -> None:
    """A fault for each such value of Linkerd's charts.

    Args:
        path: where the charts' values stand.
        linkerd: the part of the stack file that has them.
        faults: where faults go.
    """
    for chart, values in linkerd.values.items():
        check_chart_values((*path, chart), chart, values, faults)


def check_chart_values(path: tuple[str, ...], chart: str, values: Values, faults: ValidationErrors) -> None:
    """A fault for each such value of one chart.

    Args:
        path: where its values stand.
        chart: its name.
        values: what the stack file says.
        faults: where faults go.
    """
    for key, remedy in RESERVED_VALUES.get(chart, {}).items():
        *outer, last = key.split(".")
        found: Any = values
        for part in outer:
            found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, dict) and last in found:
            faults.add((*path, *outer, last), ELLIPSIS, "this program sets this value itself", remedy)
