"""Join the clusters of a stack file into one service mesh."""

from __future__ import annotations

import atexit
import gc

# Nearly all objects live until the program ends, and garbage collection takes a quarter of a preview's time.
gc.disable()
# Python collects garbage at its exit even so, but not among frozen objects.
atexit.register(gc.freeze)

import pulumi

from mesh import stack_state

# The state identifies the stack and its clusters. Pulumi's CLI exports it during the other imports.
state_reading = stack_state.start_reading()

from components import mesh_cluster, stack_outputs, unreachable
from components.cilium.clustermesh import ClusterMesh
from components.cluster import create_cluster_handle
from components.identity import create_identity_check, create_records
from components.identity_transformation import IdentityTransformation
from components.linkerd.dashboard_user import create_dashboard_user
from components.linkerd.link import ClusterLink
from components.linkerd.pki import Trust
from components.mesh_services import deploy_services
from components.sdk.resource_registry import ResourceRegistry
from components.sdk.sdk_log import disable_sdk_debug_log
from components.sdk.stack_traces import disable_stack_traces
from mesh import chart_values, config, preflight, stack_identity, traffic_changes
from mesh.gateway_spec import MULTICLUSTER_NAMESPACE

disable_sdk_debug_log()
disable_stack_traces()

# Load the stack file and the stack state, and check the clusters.
try:
    stack = config.load()
    state = state_reading.result()
    unknown_values = chart_values.find_unknown_values(stack.chart_values, stack.linkerd_release)
    for warning in (*stack.warnings, *unknown_values):
        pulumi.log.warn(warning)
    identity = stack_identity.read_identity(state, pulumi.get_project(), pulumi.get_stack())
    changes = traffic_changes.find_traffic_changes(stack, state)
    facts = preflight.check_stack(
        stack,
        identity=identity,
        changes=changes,
        namespaces=[MULTICLUSTER_NAMESPACE],
        is_update=not pulumi.runtime.is_dry_run(),
        warn=pulumi.log.warn,
    )
except (config.SettingsError, preflight.PreflightError, stack_state.StackStateError) as error:
    raise pulumi.RunError(str(error)) from None

# Install the mesh on each reachable cluster, then the links and the services.
registry = ResourceRegistry()
transformation = IdentityTransformation(state, stack)
identities = create_records(stack, identity, facts.uids)
clusters = {
    cluster.name: create_cluster_handle(cluster, identities[cluster.name], stack.image_pull_secret)
    for cluster in stack.clusters
}
for cluster in clusters.values():
    transformation.add_cluster(cluster)
unreachable_state = state if stack.unreachable_clusters else []
cluster_mesh = ClusterMesh(stack, clusters, unreachable_state) if stack.cilium is not None else None
trust = Trust("trust", stack.trust, stack.trust_domain) if stack.has_linkerd else None
user = create_dashboard_user(stack)
mesh_clusters = {
    name: mesh_cluster.install(
        cluster, stack, trust, cluster_mesh.members[name] if cluster_mesh is not None else None, user=user
    )
    for name, cluster in clusters.items()
    if cluster.settings.reachable
}
links = {
    link: ClusterLink(link, mesh_clusters[link.source], mesh_clusters[link.target], stack.options(link))
    for link in stack.links
    if {link.source, link.target} <= mesh_clusters.keys()
}
deploy_services(stack, facts, clusters, mesh_clusters, links)

# Retain the resources of unreachable clusters, and export the outputs.
retained = unreachable.register_unchanged(unreachable_state, clusters, registry) if unreachable_state else []
create_identity_check(clusters, registry)
stack_outputs.export_outputs(stack, facts, identities, trust, cluster_mesh, mesh_clusters, links, user, retained)
pulumi.run(registry.wait_until_registered)
