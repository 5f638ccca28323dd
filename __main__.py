"""One service mesh out of the clusters that a stack file names."""

from __future__ import annotations

import gc

# Nearly all that a program makes stays until it ends, and to look for what doesn't is a quarter of a preview's time.
gc.disable()

import pulumi

from components import stack_outputs
from components.cilium.clustermesh import ClusterMesh
from components.cluster import cluster_handle, field_manager
from components.linkerd import gateway_spec
from components.linkerd.dashboard_user import dashboard_user
from components.linkerd.link import ClusterLink
from components.linkerd.pki import Trust
from components.mesh_cluster import install
from components.sdk import sdk_log
from components.sdk.resource_registry import ResourceRegistry
from components.unreachable import register_unchanged
from components.workloads import samples
from mesh import config, preflight, stack_state

sdk_log.disable_sdk_debug_log()
try:
    stack = config.load()
    for warning in stack.warnings:
        pulumi.log.warn(warning)
    preflight.require(
        stack,
        owner=field_manager(),
        namespaces=[gateway_spec.MULTICLUSTER_NAMESPACE],
        updating=not pulumi.runtime.is_dry_run(),
        warn=pulumi.log.warn,
    )
    made = stack_state.read_stack_state() if stack.unreachable_clusters else []
except (config.SettingsError, preflight.PreflightError, stack_state.StackStateError) as error:
    raise pulumi.RunError(str(error)) from None

registered = ResourceRegistry()
clusters = {cluster.name: cluster_handle(cluster, stack.image_pull_secret) for cluster in stack.clusters}
mesh = ClusterMesh(stack, clusters, made) if stack.cilium is not None else None
trust = Trust("trust", stack.trust, stack.trust_domain) if stack.linkerd else None
user = dashboard_user(stack)
members = {
    name: install(cluster, stack, trust, mesh.members[name] if mesh is not None else None, user=user)
    for name, cluster in clusters.items()
    if cluster.settings.reachable
}
links = {
    link: ClusterLink(link, members[link.source], members[link.target], stack.options(link))
    for link in stack.links
    if {link.source, link.target} <= members.keys()
}
samples.deploy_samples(stack, clusters, members, links)

kept = register_unchanged(made, clusters, registered) if stack.unreachable_clusters else []
stack_outputs.export_outputs(stack, trust, mesh, members, links, user, kept)
pulumi.run(registered.wait_until_registered)
