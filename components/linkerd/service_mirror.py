"""Helm values of a link's service mirror: this program's chart up to Linkerd 2.17, linkerd-multicluster from 2.18.

Linkerd publishes no chart for the service mirror before 2.18; `linkerd multicluster link` prints the objects. From
2.18, each link is an entry in the value `controllers` (https://linkerd.io/2/tasks/installing-multicluster/).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pulumi

from components.linkerd.control_plane import tolerations
from mesh import config
from mesh.chart_values import CONTROLLER_VALUES
from mesh.config.models.links import LinkOptions
from mesh.gateway_spec import gateway_ports
from mesh.topology import Link


def service_mirror_values(
    source: config.ClusterSettings,
    target: config.ClusterSettings,
    *,
    credentials_checksum: pulumi.Input[str],
    has_gateway: bool = True,
    options: LinkOptions | None = None,
    pull_secrets: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """Return the values of the service-mirror chart.

    Args:
        source: settings of the source cluster, which runs the service mirror.
        target: settings of the target cluster, which exports the services.
        credentials_checksum: checksum that changes with the credentials.
        has_gateway: whether the source reaches the target through the target's gateway.
        options: options of the link.
        pull_secrets: references to image pull secrets.
    """
    linkerd, linkerd_release = source.linkerd, source.linkerd_release
    values: dict[str, Any] = {
        "target": target.name,
        "tag": linkerd_release.tag,
        "leaderElection": linkerd_release.has_mirror_lease,
        "linkStatus": linkerd_release.has_link_status,
        "credentialsChecksum": credentials_checksum,
        "probePort": gateway_ports(target)[1] if has_gateway else 0,
        "nodeSelector": linkerd.node_selector,
        "tolerations": tolerations(source),
        **_common_values(source, options or LinkOptions()),
    }
    if linkerd.registry is not None:
        values["image"] = f"{linkerd.registry}/controller"
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    return config.merge_values(values, source.values("service-mirror"))


def controllers_values(
    source: config.ClusterSettings, links: Iterable[tuple[Link, config.ClusterSettings, LinkOptions]]
) -> dict[str, Any]:
    """Return the values of linkerd-multicluster for the service mirrors of a cluster's links, from Linkerd 2.18.

    Args:
        source: settings of the source cluster.
        links: links that have the cluster as their source, each with its target's settings and its options.
    """
    linkerd, overrides = source.linkerd, source.values("service-mirror")
    entries = []
    for link, target, options in sorted(links, key=lambda each: each[0].target):
        gateway: dict[str, Any] = {"enabled": link.has_gateway}
        if link.has_gateway:
            gateway["probe"] = {"port": gateway_ports(target)[1]}
        entry: dict[str, Any] = {
            "link": {"ref": {"name": link.target}},
            "gateway": gateway,
            **_common_values(source, options),
        }
        if linkerd.node_selector:
            entry["nodeSelector"] = linkerd.node_selector
        if linkerd.tolerations:
            entry["tolerations"] = tolerations(source)
        entries.append(
            config.merge_values(entry, {key: overrides[key] for key in CONTROLLER_VALUES if key in overrides})
        )
    values: dict[str, Any] = {"controllers": entries}
    if linkerd.registry is not None:
        values["controllerDefaults"] = {"image": {"name": f"{linkerd.registry}/controller"}}
    return values


def _common_values(source: config.ClusterSettings, options: LinkOptions) -> dict[str, Any]:
    """Return the values that have the same name in both charts."""
    mirror = options.service_mirror
    values: dict[str, Any] = {}
    if source.linkerd.high_availability and source.linkerd_release.has_mirror_lease:
        # Without leader election, several replicas would write the same mirror services.
        values |= {"replicas": 3, "enablePodAntiAffinity": True}
    if mirror.replicas is not None:
        values["replicas"] = mirror.replicas
    if mirror.log_level is not None:
        values["logLevel"] = mirror.log_level
    if mirror.log_format is not None:
        values["logFormat"] = mirror.log_format
    if mirror.retry_limit is not None:
        values["retryLimit"] = mirror.retry_limit
    if mirror.resources:
        values["resources"] = mirror.resources
    if mirror.headless_services:
        values["enableHeadlessServices"] = True
    return values
