"""Identity of the stack and of its clusters: records in the stack state, and what depends on them.

Each record is a `Stash`, which only exists in the state. A cluster's Kubernetes provider depends on the records, so
they are stored before any object is created, and removed after all are deleted.

`components.identity_transformation` applies the records to all resources.

`ClusterIdentities` depends on all resources, so `destroy` begins with it. Its deletion fails if a context leads to
another cluster. Only a deletion can check it, because `destroy` does not run the program.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ClusterIdentitiesProvider
from components.rebuilt_objects import is_on_former_cluster
from mesh import config
from mesh.kube.cluster_uid import short_uid
from mesh.kube.object_path import object_key
from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.stack_identity import STACK_RECORD, StackIdentity

if TYPE_CHECKING:
    from components.cluster import Cluster
    from components.sdk.resource_registry import ResourceRegistry


@dataclass(frozen=True, kw_only=True)
class ClusterIdentity:
    """Identity of a cluster, as its resources need it."""

    uid: str | None  # None: no check has read it, and the state does not contain it
    stack_id: str  # ID of the stack; Pulumi's unknown value in a preview before the first `up`
    field_manager: str
    provider_identifier: str  # constant for all contexts and names of the cluster
    revision_description: str  # description of the stack's Helm revisions
    # Keys of the objects in the stack state that are on the cluster before its rebuild.
    former_objects: frozenset[tuple[str, ...]] = frozenset()
    records: Sequence[pulumi.Resource] = ()


class ClusterIdentities(Resource, module="multicluster-mesh", name="ClusterIdentities"):
    """The identities of all clusters, which `destroy` and the removal of a cluster check first.

    Args:
        name: name of the Pulumi resource.
        clusters: access (`context`, `kubeconfig`) and `uid` of each cluster, by name.
        uids: the UIDs again, which are no secret.
        keep: names of the clusters that this update does not remove, with the former names of renamed ones.
        opts: resource options; the resource depends on all others.
    """

    def __init__(
        self,
        name: str,
        *,
        clusters: Mapping[str, Mapping[str, pulumi.Input[str]]],
        uids: Mapping[str, str],
        keep: Sequence[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        # One text, so that a secret kubeconfig in it makes all of it secret.
        props = {"clusters": pulumi.Output.json_dumps(clusters), "uids": dict(uids), "keep": list(keep)}
        super().__init__(ClusterIdentitiesProvider(), name, props, opts)


def create_records(
    stack: config.Settings, identity: StackIdentity, uids: Mapping[str, str]
) -> dict[str, ClusterIdentity]:
    """Register the records of the stack and its clusters, and return the identities of the clusters by name.

    Args:
        stack: settings of the stack.
        identity: the records in the stack state.
        uids: UIDs that the preflight has read, by name.
    """
    # In a preview of the first `up`, the ID is unknown: the `up` will generate another one.
    stack_id = identity.id or (UNKNOWN_VALUE if pulumi.runtime.is_dry_run() else str(uuid.uuid4()))
    names = {"project": identity.project, "stack": identity.stack}
    stack_record = pulumi.Stash(STACK_RECORD, input={"id": stack_id, **names})
    identities: dict[str, ClusterIdentity] = {}
    for cluster in stack.clusters:
        recorded = identity.find(cluster.name, cluster.renamed_from)
        uid = uids.get(cluster.name) or (recorded.uid if recorded is not None else None)
        record = [pulumi.Stash(f"{cluster.name}-identity", input={"uid": uid})] if uid is not None else []
        on_cluster = f", cluster {short_uid(uid)}" if uid is not None else ""
        identities[cluster.name] = ClusterIdentity(
            uid=uid,
            stack_id=stack_id,
            field_manager=identity.field_manager,
            provider_identifier=(recorded.identifier if recorded is not None else None) or cluster.name,
            # On a rebuilt cluster, the changed description makes Helm install each release.
            revision_description=f"{identity.project} stack {identity.stack}{on_cluster}",
            former_objects=frozenset(
                object_key(each)
                for each in (recorded.objects if recorded is not None else ())
                if is_on_former_cluster(each, uid)
            ),
            records=[stack_record, *record],
        )
    return identities


def create_identity_check(clusters: Mapping[str, Cluster], registry: ResourceRegistry) -> None:
    """Register the resource that `destroy` deletes first; call this function after all registrations.

    Args:
        clusters: all clusters, by name.
        registry: registry of all other resources.
    """
    if all(cluster.identity.uid is None for cluster in clusters.values()):
        return
    # A cluster that cannot be reached now may be reachable, or be another one, when the stack is destroyed.
    # Nothing of an abandoned cluster is deleted.
    checked = {name: cluster for name, cluster in clusters.items() if not cluster.settings.is_abandoned}
    uids = {name: cluster.identity.uid for name, cluster in checked.items() if cluster.identity.uid is not None}
    former_names = [cluster.settings.renamed_from for cluster in clusters.values()]
    ClusterIdentities(
        "cluster-identities",
        clusters={name: clusters[name].access_inputs for name in uids},
        uids=uids,
        keep=[*clusters, *filter(None, former_names)],
        # Hidden dependencies: all resources, so that Pulumi deletes none before this check.
        opts=pulumi.ResourceOptions(depends_on=registry.custom_resources),
    )
