"""Chart values that a stack file may not set, each with the setting that replaces it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.config.base_model import Values
from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.stack_file import ClusterLinkerdConfig

_WEBHOOK = "remove it: the program creates the webhook's certificate"
_AUTHORITY = "remove it: one authority signs for all clusters"
_CERTIFICATE_KEYS = ("externalSecret", "crtPEM", "keyPEM", "caBundle", "injectCaFrom", "injectCaFromSecret")
# Remedies by chart and value. Other parts of the program depend on these values.
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
            for key in _CERTIFICATE_KEYS
        },
    },
    "linkerd-multicluster": {
        "linkerdVersion": "set linkerd.version",
        "linkerdNamespace": "set linkerd.namespace",
        "identityTrustDomain": "set linkerd.trustDomain",
        "gateway.enabled": "set gateway.enabled of the cluster",
        "gateway.name": "remove it: the links depend on it",
        "gateway.serviceType": "set gateway.loadBalancer or gateway.nodePort of the cluster",
        "gateway.nodePort": "set gateway.nodePort of the cluster",
        "gateway.probe.nodePort": "set gateway.nodePort of the cluster",
        "remoteMirrorServiceAccount": "remove it: links need the account",
        "remoteMirrorServiceAccountName": "remove it: the links depend on it",
    },
    "linkerd-viz": {
        "linkerdVersion": "set linkerd.version",
        "linkerdNamespace": "set linkerd.namespace",
        "clusterDomain": "set linkerd.clusterDomain",
        "identityTrustDomain": "set linkerd.trustDomain",
        "prometheusUrl": "set extensions.viz.prometheusUrl",
        **{f"{part}.{key}": _WEBHOOK for part in ("tap", "tapInjector") for key in _CERTIFICATE_KEYS},
    },
    "linkerd-jaeger": {
        "linkerdVersion": "set linkerd.version",
        "linkerdNamespace": "set linkerd.namespace",
        "clusterDomain": "set linkerd.clusterDomain",
        **{f"webhook.{key}": _WEBHOOK for key in _CERTIFICATE_KEYS},
    },
    "cilium": {
        "cluster.name": "remove it: the name is the key below `clusters`",
        "cluster.id": "set cilium.id of the cluster",
        "tls.ca": _AUTHORITY,
        "hubble.enabled": "set cilium.hubble",
        "hubble.tls": _AUTHORITY,
        "hubble.relay.enabled": "set cilium.hubble.relay",
        "clustermesh.useAPIServer": "remove it: the other clusters connect to the API server",
        "clustermesh.config": "remove it: the other clusters are those of the stack file",
        "clustermesh.maxConnectedClusters": "set cilium.maxConnectedClusters",
        "clustermesh.apiserver.tls": _AUTHORITY,
        "clustermesh.apiserver.service.type": "set cilium.service",
        "clustermesh.apiserver.service.nodePort": "set cilium.nodePort",
        "clustermesh.apiserver.kvstoremesh.enabled": "set cilium.kvstoremesh",
    },
    "service-mirror": {
        "target": "remove it: the link determines it",
        "tag": "set linkerd.version",
        "leaderElection": "set linkerd.version",
        "credentialsChecksum": "remove it: the link determines it",
        "probePort": "set gateway.probePort of the target",
    },
}

# Remedies that differ for a cluster's own values, because the cluster has a setting of its own.
_CLUSTER_REMEDIES: Mapping[str, Mapping[str, str]] = {
    "cilium": {
        "clustermesh.apiserver.service.type": "set cilium.service of the cluster",
        "clustermesh.apiserver.service.nodePort": "set cilium.nodePort of the cluster",
    },
}


def check_linkerd_values(path: tuple[str, ...], linkerd: ClusterLinkerdConfig, errors: ValidationErrors) -> None:
    """Report every reserved value of Linkerd's charts.

    Args:
        path: path of the charts' values in the stack file.
        linkerd: the part of the stack file with the values.
        errors: collects validation errors.
    """
    for chart, values in linkerd.values.items():
        check_chart_values((*path, chart), chart, values, errors)


def check_chart_values(path: tuple[str, ...], chart: str, values: Values, errors: ValidationErrors) -> None:
    """Report every reserved value of one chart.

    Args:
        path: path of the chart's values in the stack file.
        chart: the chart's name.
        values: the values in the stack file.
        errors: collects validation errors.
    """
    cluster_remedies = _CLUSTER_REMEDIES.get(chart, {}) if path[0] == "clusters" else {}
    for key, remedy in {**RESERVED_VALUES.get(chart, {}), **cluster_remedies}.items():
        *parents, last = key.split(".")
        mapping: Any = values
        for parent in parents:
            mapping = mapping.get(parent) if isinstance(mapping, dict) else None
        if isinstance(mapping, dict) and last in mapping:
            errors.add((*path, *parents, last), ELLIPSIS, "chart value reserved for the program", remedy)
