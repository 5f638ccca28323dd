"""Identity of the stack and of its clusters: records in the stack state, and what depends on them.

Each record is a `Stash`, which only exists in the state. A cluster's Kubernetes provider depends on the records, so
they are stored before any object is created, and removed after all are deleted.

A transformation of all resources applies the records:

* Each Kubernetes object has the stack's ID and the cluster's UID in annotations.
* A resource of a renamed cluster has its former URN as an alias, so Pulumi keeps it.
* If a cluster was rebuilt, the UID changes all objects in the stack state. Pulumi updates them in place, and a hook
  creates each object first. A replacement would delete an object by the name that the new one has too.

`ClusterIdentities` depends on all resources, so `destroy` begins with it. Its deletion fails if a context leads to
another cluster. Only a deletion can check it, because `destroy` does not run the program.

Follows https://www.pulumi.com/docs/iac/concepts/resources/options/aliases/ and
https://www.pulumi.com/docs/iac/concepts/options/hooks/.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ClusterIdentitiesProvider
from components.sdk.hooks import Hook, create_inputs_hook
from mesh import config
from mesh.helm.drift.detect import object_path, read_served_kinds
from mesh.kube import client as kube_client
from mesh.kube.client import APPLY_PATCH, KubeClient
from mesh.kube.cluster_uid import short_uid
from mesh.kube.constants import CLUSTER_UID_ANNOTATION, STACK_ID_ANNOTATION
from mesh.kube.json_access import as_mapping, as_mappings
from mesh.pulumi_constants import HELM_RELEASE_TYPE, UNKNOWN_VALUE
from mesh.stack_identity import STACK_RECORD, StackIdentity
from mesh.stack_state import StateResource

if TYPE_CHECKING:
    from components.cluster import Cluster
    from components.sdk.resource_registry import ResourceRegistry

_ESTABLISHED_TIMEOUT_S = 30


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
                _object_key(each)
                for each in (recorded.objects if recorded is not None else ())
                if _is_on_former_cluster(each, uid)
            ),
            records=[stack_record, *record],
        )
    return identities


def list_aliases(state: Iterable[StateResource], renamed: Mapping[str, str]) -> dict[tuple[str, str], list[str]]:
    """Return the former URNs of the resources of renamed clusters, by type and new name.

    Args:
        state: the resources of the stack state.
        renamed: the new name of each renamed cluster, by its former name.
    """
    if not renamed:
        return {}
    resources = list(state)
    current = {(resource.type, resource.name) for resource in resources}
    aliases: dict[tuple[str, str], list[str]] = {}
    for resource in resources:
        for name in _rename_variants(resource.name, renamed):
            if (resource.type, name) not in current:
                aliases.setdefault((resource.type, name), []).append(resource.urn)
    return aliases


def _rename_variants(name: str, renamed: Mapping[str, str]) -> Iterator[str]:
    """Yield a resource's possible new names; a part can equal a cluster's name by chance, as in `east-test-east`."""
    for words in _replace_words(name.split("-"), {tuple(old.split("-")): new for old, new in renamed.items()}):
        if "-".join(words) != name:
            yield "-".join(words)


def _replace_words(words: Sequence[str], renamed: Mapping[tuple[str, ...], str]) -> Iterator[list[str]]:
    """Yield the words with each choice of replacements; former names can overlap, as `prod` and `prod-east` do."""
    if not words:
        yield []
        return
    for rest in _replace_words(words[1:], renamed):
        yield [words[0], *rest]
    for old, new in renamed.items():
        if tuple(words[: len(old)]) == old:
            for rest in _replace_words(words[len(old) :], renamed):
                yield [new, *rest]


class IdentityTransformation:
    """Transformation that gives each resource the properties and options that follow from its cluster's identity.

    Args:
        state: the resources of the stack state.
        stack: settings of the stack.
    """

    def __init__(self, state: Sequence[StateResource], stack: config.Settings) -> None:
        renamed = {cluster.renamed_from: cluster.name for cluster in stack.clusters if cluster.renamed_from is not None}
        self._aliases = list_aliases(state, renamed)
        self._by_urn = {resource.urn: resource for resource in state}
        self._by_name = {(resource.type, resource.name): resource for resource in state}
        self._clusters: dict[pulumi.ProviderResource, Cluster] = {}
        pulumi.runtime.register_stack_transformation(self._transform)

    def add_cluster(self, cluster: Cluster) -> None:
        """Add a cluster, before any resource that uses its provider."""
        self._clusters[cluster.provider] = cluster

    def _transform(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        aliases = self._aliases.get((args.type_, args.name), [])
        cluster = self._find_cluster(args)
        if not aliases and cluster is None:
            return None
        former = next((self._by_urn[urn] for urn in aliases), self._by_name.get((args.type_, args.name)))
        props, options = args.props, pulumi.ResourceOptions(aliases=list(aliases) or None)
        if cluster is not None:
            is_missing = former is not None and _is_on_former_cluster(former.inputs, cluster.identity.uid)
            props = _with_identity(args.props, cluster.identity, is_missing=is_missing)
            if is_missing:
                options.hooks = _create_missing_binding(args.name, cluster)
        return pulumi.ResourceTransformationResult(props, pulumi.ResourceOptions.merge(args.opts, options))

    def _find_cluster(self, args: pulumi.ResourceTransformationArgs) -> Cluster | None:
        """Return the cluster of a Kubernetes object; None for other resources, and for objects that are only read."""
        is_object = args.type_.startswith("kubernetes:") and args.type_ != HELM_RELEASE_TYPE
        if not is_object or args.opts.id is not None or not isinstance(args.props.get("metadata"), dict):
            return None
        provider = args.opts.provider
        if provider is None and args.opts.parent is not None:
            provider = args.opts.parent.get_provider(args.type_)
        return self._clusters.get(provider) if provider is not None else None


def manifest_transform(
    cluster: Cluster, adapt: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _, props: props
) -> Callable[[pulumi.ResourceTransformArgs], pulumi.ResourceTransformResult]:
    """Return a transform for a manifest's objects, which do not pass through `IdentityTransformation`.

    The provider registers them, and only the newer kind of transforms reaches them. Their aliases follow from the
    manifest's name.

    Args:
        cluster: the cluster of the manifest.
        adapt: returns other inputs for an object, from its type and its inputs.
    """

    def transform(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
        props, options = adapt(args.type_, dict(args.props)), args.opts
        if isinstance(props.get("metadata"), dict) and "kind" in props:
            is_missing = _object_key(props) in cluster.identity.former_objects
            props = _with_identity(props, cluster.identity, is_missing=is_missing)
            if is_missing:
                binding = _create_missing_binding(args.name, cluster)
                options = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(hooks=binding))
        return pulumi.ResourceTransformResult(props=props, opts=options)

    return transform


def _object_key(body: Mapping[str, Any]) -> tuple[str, ...]:
    metadata = as_mapping(body.get("metadata"))
    return tuple(map(str, (body.get("apiVersion"), body.get("kind"), metadata.get("namespace"), metadata.get("name"))))


def _is_on_former_cluster(inputs: Mapping[str, Any], uid: str | None) -> bool:
    annotations = as_mapping(inputs.get("metadata"), "annotations")
    return uid is not None and annotations.get(CLUSTER_UID_ANNOTATION) not in (None, uid)


def _with_identity(props: Mapping[str, Any], identity: ClusterIdentity, *, is_missing: bool) -> dict[str, Any]:
    """Return an object's properties with the annotations of its stack and its cluster."""
    annotations = {STACK_ID_ANNOTATION: identity.stack_id}
    if identity.uid is not None:
        # With an unknown value, Pulumi does not ask the cluster to preview the update of a missing object.
        is_unknown = is_missing and pulumi.runtime.is_dry_run()
        annotations[CLUSTER_UID_ANNOTATION] = UNKNOWN_VALUE if is_unknown else identity.uid
    metadata = props["metadata"]
    return {**props, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **annotations}}}


def _create_missing_binding(name: str, cluster: Cluster) -> pulumi.ResourceHookBinding:
    create = pulumi.ResourceHook(f"{name}-create-missing", create_missing_object_hook(cluster))
    return pulumi.ResourceHookBinding(before_update=[create])


def create_missing_object_hook(cluster: Cluster) -> Hook:
    """Return a hook that creates the object of its resource if the cluster does not have it."""
    access, field_manager = cluster.access, cluster.identity.field_manager

    def create(body: Mapping[str, Any]) -> None:
        create_missing_object(kube_client.connect(access), body, field_manager)

    return create_inputs_hook(create)


def create_missing_object(client: KubeClient, body: Mapping[str, Any], field_manager: str) -> None:
    """Create an object with server-side apply, as Pulumi does, if it does not exist.

    Args:
        client: the cluster's client.
        body: the object.
        field_manager: field manager of the stack.
    """
    path = object_path(read_served_kinds(client, body["apiVersion"]), body, "default")
    # Pulumi itself reports an unknown kind.
    if path is not None and client.request("GET", path.path) is None:
        query = f"fieldManager={quote(field_manager, safe='')}"
        client.request("PATCH", f"{path.path}?{query}", body=body, patch_type=APPLY_PATCH)
        if body["kind"] == "CustomResourceDefinition":
            _wait_until_established(client, path.path)


def _wait_until_established(client: KubeClient, path: str) -> None:
    """Wait until the API server no longer changes a new CRD, because Pulumi's update would be a conflict.

    Pulumi itself reports a CRD that is not established in time.
    """
    deadline = time.monotonic() + _ESTABLISHED_TIMEOUT_S
    while time.monotonic() < deadline:
        conditions = as_mappings(as_mapping(client.request("GET", path), "status").get("conditions"))
        if any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions):
            return
        time.sleep(0.2)


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
