"""Outputs of the stack: clusters, links, certificate expiry, dashboards, services and the topology diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cilium.clustermesh import CLUSTERMESH_OUTPUT, ClusterMesh
from components.identity import ClusterIdentity
from components.linkerd.dashboard_user import DashboardUser
from components.linkerd.link import ClusterLink
from components.linkerd.pki import Trust
from components.mesh_cluster import MeshCluster
from mesh import config, topology
from mesh.service_facts import ClusterFacts, ServiceKey
from mesh.service_summary import build_services_output, summarize_services
from mesh.service_topology import render_service_topology
from mesh.topology import Link

# Replaces the data of a link while one of its clusters cannot be reached.
PENDING = "pending"


def export_outputs(
    stack: config.Settings,
    facts: ClusterFacts,
    identities: Mapping[str, ClusterIdentity],
    trust: Trust | None,
    cluster_mesh: ClusterMesh | None,
    mesh_clusters: Mapping[str, MeshCluster],
    links: Mapping[Link, ClusterLink],
    user: DashboardUser | None,
    retained: Sequence[str],
) -> None:
    """Export the outputs, and log each unreachable cluster.

    Args:
        stack: settings of the stack.
        facts: facts about the clusters.
        identities: identities of the clusters, by name.
        trust: authorities of the Linkerd mesh; None without Linkerd.
        cluster_mesh: the ClusterMesh; None without Cilium.
        mesh_clusters: the reachable clusters, by name.
        links: the links between reachable clusters.
        user: user of the dashboards; None without dashboards.
        retained: names of the resources that stay unchanged because their cluster cannot be reached.
    """
    pulumi.export(
        "clusters",
        {cluster.name: _cluster_output(cluster, identities[cluster.name], stack) for cluster in stack.clusters},
    )
    pulumi.export("links", {link.name: links[link].spec if link in links else PENDING for link in stack.links})
    for name in stack.unreachable_clusters:
        pending = ", ".join(link.name for link in stack.links if name in (link.source, link.target))
        pulumi.log.warn(
            f"clusters.{name}: declared unreachable: its resources stay unchanged; pending links: {pending or 'none'}"
        )
    if retained:
        pulumi.log.info(f"{len(retained)} resources stay unchanged until their cluster is reachable")
    expiry: dict[str, Any] = {}
    if trust is not None:
        expiry |= {
            "trustAnchor": trust.anchor.expiry,
            "webhookAuthority": trust.webhooks.expiry,
            "issuers": {name: each.linkerd.issuer_expiry for name, each in mesh_clusters.items()},
            "webhooks": {name: each.webhook_expiry for name, each in mesh_clusters.items()},
        }
    if cluster_mesh is not None:
        expiry["ciliumAuthority"] = cluster_mesh.authority.ca.expiry
        expiry["cilium"] = {name: cilium.expiry for name, cilium in cluster_mesh.members.items()}
        peers = {name: {"addresses": peer.addresses, "port": peer.port} for name, peer in cluster_mesh.peers.items()}
        pulumi.export(CLUSTERMESH_OUTPUT, peers)
    pulumi.export("certificateExpiry", expiry)
    if user is not None:
        pulumi.export("dashboards", {"clusters": stack.dashboards, "user": user.user})
        # A separate output, because a secret in `dashboards` would make all of `dashboards` secret.
        pulumi.export("dashboardPassword", user.password)
    names = [cluster.name for cluster in stack.clusters]
    pulumi.export("topology", topology.render_mermaid(names, stack.links, pending=set(stack.links) - set(links)))
    _export_services(stack, facts, names)
    _warn_of_missing_namespaces(stack, facts)


def _export_services(stack: config.Settings, facts: ClusterFacts, clusters: Sequence[str]) -> None:
    """Export the services, and log each one that is pending; a stack without services has no such outputs."""
    # A cluster that cannot be reached keeps its services, and nothing is known about them.
    existing = {*facts.services, *_list_services(stack, stack.unreachable_clusters)}
    summaries = summarize_services(stack, existing)
    if not summaries:
        return
    pulumi.export("services", build_services_output(summaries))
    pulumi.export("serviceTopology", render_service_topology(clusters, summaries))
    for each in summaries:
        if each.is_pending:
            rule = "does not exist yet, so its settings are pending"
            pulumi.log.warn(f"services.{each.service}: {each.cluster}: {rule}; run `pulumi up` once it exists")


def _warn_of_missing_namespaces(stack: config.Settings, facts: ClusterFacts) -> None:
    """Log each optional namespace that does not exist yet."""
    for namespace in stack.namespaces:
        for cluster in namespace.clusters:
            is_known = cluster not in stack.unreachable_clusters
            if namespace.config.optional and is_known and (cluster, namespace.name) not in facts.namespaces:
                rule = "does not exist yet, so its settings are pending"
                pulumi.log.warn(f"namespaces.{namespace.name}: {cluster}: {rule}; run `pulumi up` once it exists")


def _list_services(stack: config.Settings, clusters: Sequence[str]) -> set[ServiceKey]:
    return {(cluster, service.namespace, service.name) for service in stack.services for cluster in clusters}


def _cluster_output(
    cluster: config.ClusterSettings, identity: ClusterIdentity, stack: config.Settings
) -> dict[str, Any]:
    linkerd_release, linkerd, extensions = stack.linkerd_release, cluster.linkerd, cluster.extensions
    charts = {
        "cilium": stack.cilium.version if stack.cilium is not None else None,
        "linkerd-crds": linkerd_release.crds if stack.has_linkerd else None,
        "linkerd-control-plane": linkerd_release.control_plane if stack.has_linkerd else None,
        "linkerd-multicluster": linkerd_release.multicluster if cluster.has_multicluster else None,
        "linkerd2-cni": linkerd_release.cni if stack.has_linkerd and linkerd.cni else None,
        "linkerd-viz": linkerd_release.viz if extensions.viz is not None else None,
        "linkerd-jaeger": linkerd_release.jaeger if extensions.jaeger else None,
        "linkerd-smi": extensions.smi.version if extensions.smi is not None else None,
        "metallb": extensions.metallb.version if extensions.metallb is not None else None,
    }
    if extensions.ingress_nginx is not None and extensions.ingress_nginx.install:
        charts["ingress-nginx"] = extensions.ingress_nginx.version
    overrides: dict[str, dict[str, Any]] = {str(chart): values for chart, values in linkerd.values.items()}
    if cluster.cilium is not None:
        overrides["cilium"] = cluster.cilium.values
    output: dict[str, Any] = {
        "context": cluster.context.name,
        "charts": {chart: version for chart, version in charts.items() if version is not None},
        "overrides": {chart: config.value_paths(values) for chart, values in overrides.items() if values},
    }
    if identity.uid is not None:
        output["uid"] = identity.uid
    if stack.has_linkerd:
        output["linkerd"] = linkerd_release.tag
    if cluster.cilium is not None:
        output["cilium"] = {"id": cluster.cilium.id}
    if not cluster.reachable:
        output["reachable"] = "never" if cluster.is_abandoned else False
    return output
