"""The values of a link's service mirror: of our own chart up to Linkerd 2.17, and of linkerd-multicluster from 2.18.

Linkerd publishes no chart for it before 2.18; its CLI prints the objects (`linkerd multicluster link`). From 2.18 it
is an entry in `controllers` of linkerd-multicluster (https://linkerd.io/2/tasks/installing-multicluster/).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pulumi

from components.linkerd.control_plane import tolerations
from components.linkerd.gateway_spec import gateway_ports
from mesh import config
from mesh.config.models.links import LinkOptions
from mesh.topology import Link

# What a stack file may say of the values of our own chart, which the other one calls the same.
_SHARED_KEYS = (
    "replicas",
    "enablePodAntiAffinity",
    "logLevel",
    "logFormat",
    "resources",
    "nodeSelector",
    "tolerations",
)


def service_mirror_values(
    source: config.ClusterSettings,
    target: config.ClusterSettings,
    *,
    credentials_checksum: pulumi.Input[str],
    gateway: bool = True,
    options: LinkOptions | None = None,
    pull: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """The values of our service-mirror chart.

    Args:
        source: where it goes.
        target: whose services it mirrors.
        credentials_checksum: changes with the credentials.
        gateway: whether the target is reached through its gateway.
        options: what the stack file says of the link.
        pull: references to credentials for images.
    """
    linkerd, release = source.linkerd, source.release
    values: dict[str, Any] = {
        "target": target.name,
        "tag": release.tag,
        "leaderElection": release.mirror_lease,
        "linkStatus": release.link_status,
        "credentialsChecksum": credentials_checksum,
        "probePort": gateway_ports(target)[1] if gateway else 0,
        "nodeSelector": linkerd.node_selector,
        "tolerations": tolerations(source),
        **_common_values(source, options or LinkOptions()),
    }
    if linkerd.registry is not None:
        values["image"] = f"{linkerd.registry}/controller"
    if pull:
        values["imagePullSecrets"] = pull
    return config.merge_values(values, source.values("service-mirror"))


def controllers_values(
    source: config.ClusterSettings, links: Iterable[tuple[Link, config.ClusterSettings, LinkOptions]]
) -> dict[str, Any]:
    """The values of linkerd-multicluster for the service mirrors of a cluster's links, from 2.18.

    Args:
        source: the cluster.
        links: those that it is the source of, with their targets and what the stack file says of them.
    """
    linkerd, said = source.linkerd, source.values("service-mirror")
    entries = []
    for link, target, options in sorted(links, key=lambda each: each[0].target):
        gateway: dict[str, Any] = {"enabled": link.gateway}
        if link.gateway:
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
        entries.append(config.merge_values(entry, {key: said[key] for key in _SHARED_KEYS if key in said}))
    values: dict[str, Any] = {"controllers": entries}
    if linkerd.registry is not None:
        values["controllerDefaults"] = {"image": {"name": f"{linkerd.registry}/controller"}}
    return values


def _common_values(source: config.ClusterSettings, options: LinkOptions) -> dict[str, Any]:
    """What both charts call by the same names."""
    mirror = options.service_mirror
    values: dict[str, Any] = {}
    if source.linkerd.high_availability and source.release.mirror_lease:
        # Without a leader, three would get in each other's way.
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
