"""The spec of a Link, as each generation of Linkerd has it.

Follows what `linkerd multicluster link` prints up to 2.17, and `linkerd multicluster link-gen` from 2.18
(https://linkerd.io/2/reference/cli/multicluster/#link-gen).
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.linkerd.gateway_spec import GATEWAY_SERVICE, MULTICLUSTER_NAMESPACE, gateway_ports, gateway_values
from mesh import config
from mesh.config.models.links import LinkOptions


def link_spec(
    target: config.ClusterSettings,
    *,
    gateway_address: pulumi.Input[str] | None,
    discovers: bool = True,
    options: LinkOptions | None = None,
) -> dict[str, Any]:
    """The spec of a Link.

    Args:
        target: the target cluster.
        gateway_address: IPs or host names of its gateway; None for a link without one.
        discovers: whether services are seen that are reached pod by pod.
        options: what the stack file says of the link.
    """
    options = options or LinkOptions()
    release, selectors = target.release, options.selectors
    spec: dict[str, Any] = {
        "targetClusterName": target.name,
        "targetClusterDomain": target.linkerd.cluster_domain,
        "targetClusterLinkerdNamespace": target.linkerd.namespace,
        "clusterCredentialsSecret": f"cluster-credentials-{target.name}",
    }
    if gateway_address is not None:
        spec |= _through_gateway(target, gateway_address, options)
    elif release.link_controllers:
        spec["probeSpec"] = {}
    else:
        # What Linkerd's own command wrote where there is nothing to say.
        spec |= {"gatewayAddress": "", "gatewayPort": "0", "gatewayIdentity": "", "selector": {}}
        spec["probeSpec"] = {"path": "", "port": "0", "period": "0s"}
    if release.remote_discovery and discovers:
        spec["remoteDiscoverySelector"] = {"matchLabels": selectors.remote_discovery}
    if release.federation and discovers:
        spec["federatedServiceSelector"] = {"matchLabels": selectors.federated}
    if options.excluded_labels:
        spec["excludedLabels"] = options.excluded_labels
    if options.excluded_annotations:
        spec["excludedAnnotations"] = options.excluded_annotations
    return spec


def _through_gateway(
    target: config.ClusterSettings, address: pulumi.Input[str], options: LinkOptions
) -> dict[str, Any]:
    port, probe_port = gateway_ports(target)
    values = gateway_values(target)["probe"]
    probe = {"path": values["path"], "port": str(probe_port), "period": f"{values['seconds']}s"}
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
