"""Spec of a Link, up to Linkerd 2.17 and from 2.18.

Follows the output of `linkerd multicluster link` up to 2.17, and of `linkerd multicluster link-gen` from 2.18
(https://linkerd.io/2/reference/cli/multicluster/#link-gen).
"""

from __future__ import annotations

from typing import Any

import pulumi

from mesh import config
from mesh.config.models.links import LinkOptions
from mesh.gateway_spec import GATEWAY_SERVICE, MULTICLUSTER_NAMESPACE, gateway_ports, gateway_values


def link_spec(
    target: config.ClusterSettings,
    *,
    gateway_address: pulumi.Input[str] | None,
    has_remote_discovery: bool = True,
    options: LinkOptions | None = None,
) -> dict[str, Any]:
    """Return the spec of a Link.

    Args:
        target: settings of the target cluster.
        gateway_address: IPs or host names of the target's gateway; None for a link without a gateway.
        has_remote_discovery: whether the link mirrors services whose pods the source reaches directly.
        options: options of the link.
    """
    options = options or LinkOptions()
    linkerd_release, selectors = target.linkerd_release, options.selectors
    spec: dict[str, Any] = {
        "targetClusterName": target.name,
        "targetClusterDomain": target.linkerd.cluster_domain,
        "targetClusterLinkerdNamespace": target.linkerd.namespace,
        "clusterCredentialsSecret": f"cluster-credentials-{target.name}",
    }
    if gateway_address is not None:
        spec |= _gateway_spec(target, gateway_address, options)
    elif linkerd_release.has_link_controllers:
        spec["probeSpec"] = {}
    else:
        # `linkerd multicluster link` writes empty values for a link without a gateway. Its `selector: {}` would be an
        # error for a Link that had a gateway: server-side apply removes `matchLabels`, and `null` remains.
        spec |= {"gatewayAddress": "", "gatewayPort": "0", "gatewayIdentity": "", "selector": {"matchExpressions": []}}
        spec["probeSpec"] = {"path": "", "port": "0", "period": "0s"}
    if linkerd_release.has_remote_discovery and has_remote_discovery:
        spec["remoteDiscoverySelector"] = {"matchLabels": selectors.remote_discovery}
    if linkerd_release.has_federated_services and has_remote_discovery:
        spec["federatedServiceSelector"] = {"matchLabels": selectors.federated}
    if options.excluded_labels:
        spec["excludedLabels"] = options.excluded_labels
    if options.excluded_annotations:
        spec["excludedAnnotations"] = options.excluded_annotations
    return spec


def _gateway_spec(target: config.ClusterSettings, address: pulumi.Input[str], options: LinkOptions) -> dict[str, Any]:
    port, probe_port = gateway_ports(target)
    probe_values = gateway_values(target)["probe"]
    probe = {"path": probe_values["path"], "port": str(probe_port), "period": f"{probe_values['seconds']}s"}
    if options.probe.failure_threshold is not None:
        probe["failureThreshold"] = str(options.probe.failure_threshold)
    if options.probe.timeout is not None:
        probe["timeout"] = options.probe.timeout
    return {
        "gatewayAddress": address,
        "gatewayPort": str(port),
        "gatewayIdentity": f"{GATEWAY_SERVICE}.{MULTICLUSTER_NAMESPACE}.serviceaccount.{target.identity}",
        "probeSpec": probe,
        "selector": {"matchLabels": options.selectors.gateway},
    }
