"""Identity of the stack and of its clusters, as the stack state records them.

A stack is an ID that its first `up` generates. Names are no identity: a stack can be renamed or moved to another
backend, and two backends can have stacks of the same name. A cluster is the UID of its namespace `kube-system`
(`mesh.kube.cluster_uid`). Both records are resources that exist before anything else of the stack, and until the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mesh.kube.constants import FIELD_MANAGER_ANNOTATION, STACK_ID_ANNOTATION
from mesh.kube.json_access import as_mapping, as_text
from mesh.pulumi_constants import HELM_RELEASE_TYPE, KUBERNETES_PROVIDER_TYPE
from mesh.stack_state import StateResource

# Pulumi keeps the input of a resource of this type in the state, and does nothing else with it.
RECORD_TYPE = "pulumi:index:Stash"
STACK_RECORD = "stack-identity"
TRUST_ANCHOR_RESOURCE = "trust-anchor-certificate"
_COMPLETED_TYPE = ":ClusterIdentities"
_SELF_SIGNED_TYPE = "tls:index/selfSignedCert:SelfSignedCert"
# Description of a Helm revision, from which the names in states without a record are read.
_DESCRIPTION = re.compile(r"(?P<project>[^ ]+) stack (?P<stack>[^ ,]+)")


@dataclass(frozen=True, kw_only=True)
class RecordedCluster:
    """A cluster in the stack state."""

    name: str  # in the stack file of the last `up`
    uid: str | None = None  # None: the state is older than the records
    context: str = ""
    kubeconfig: str | None = field(default=None, repr=False)  # None: a secret, which is encrypted in the state
    identifier: str | None = None  # `clusterIdentifier` of its Kubernetes provider
    objects: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)  # their inputs, without Helm releases
    is_abandoned: bool = False  # nothing is deleted on it
    unfinished_rename: str | None = None  # former name, if an interrupted update left resources that contain it

    def has_namespace(self, name: str) -> bool:
        """Return whether the stack created a namespace."""
        return any(each["kind"] == "Namespace" and each["metadata"].get("name") == name for each in self.objects)


@dataclass(frozen=True, kw_only=True)
class StackIdentity:
    """Identity of a stack, from its state."""

    id: str | None = None  # None: no `up` has started yet, or the state is older than the records
    project: str  # names of project and stack at the first `up`
    stack: str
    clusters: Mapping[str, RecordedCluster] = field(default_factory=dict)  # by name
    trust_anchor: str | None = None  # the generated anchor, as PEM

    @property
    def field_manager(self) -> str:
        """Return the field manager of the stack's objects, which a renamed stack keeps."""
        return f"{self.project}-{self.stack}"

    def owns(self, metadata: Mapping[str, Any], recorded: RecordedCluster | None) -> bool:
        """Return whether a live namespace belongs to this stack.

        Args:
            metadata: metadata of the namespace.
            recorded: its cluster in the stack state.
        """
        annotations = as_mapping(metadata.get("annotations"))
        if annotations.get(STACK_ID_ANNOTATION):
            return self.is_in(annotations)
        # An object that is older than the ID.
        is_in_state = recorded is not None and recorded.has_namespace(as_text(metadata.get("name")))
        return is_in_state and self.is_in(annotations)

    def is_in(self, annotations: Mapping[str, Any]) -> bool:
        """Return whether annotations name this stack: by its ID, or without one, by its field manager."""
        live_id = as_text(annotations.get(STACK_ID_ANNOTATION))
        if live_id:
            return live_id == self.id
        return as_text(annotations.get(FIELD_MANAGER_ANNOTATION)) == self.field_manager

    def find(self, name: str, former_name: str | None = None) -> RecordedCluster | None:
        """Return a cluster by its name in the stack file, or else by its name before a rename."""
        return self.clusters.get(name) or (self.clusters.get(former_name) if former_name is not None else None)

    def find_by_uid(self, uid: str) -> RecordedCluster | None:
        """Return the cluster with a UID."""
        return next((cluster for cluster in self.clusters.values() if cluster.uid == uid), None)


def read_identity(state: Sequence[StateResource], project: str, stack: str) -> StackIdentity:
    """Return the identity in a stack state.

    Args:
        state: the resources of the state.
        project: current name of the project.
        stack: current name of the stack.
    """
    records = [resource for resource in state if resource.type == RECORD_TYPE]
    record = next((as_mapping(each.inputs, "input") for each in records if each.name == STACK_RECORD), {})
    names = record if record.get("project") else next(_described_names(state), {"project": project, "stack": stack})
    uids = {each.urn: as_text(as_mapping(each.inputs, "input").get("uid")) for each in records}
    objects = _list_objects(state)
    retaining = {each.provider for each in state if each.is_retained}
    clusters = {
        provider.name: RecordedCluster(
            name=provider.name,
            # A killed update can leave a renamed record and a provider with the old name.
            uid=next(filter(None, (uids.get(urn) for urn in provider.dependencies)), None),
            context=as_text(provider.inputs.get("context")),
            kubeconfig=kubeconfig if isinstance(kubeconfig := provider.inputs.get("kubeconfig"), str) else None,
            identifier=as_text(provider.inputs.get("clusterIdentifier")) or None,
            objects=tuple(objects.get(provider.urn, ())),
            is_abandoned=provider.urn in retaining,
        )
        for provider in state
        if provider.type == KUBERNETES_PROVIDER_TYPE
    }
    for current, former in _unfinished_renames(state, clusters):
        clusters[current] = replace(clusters[current], unfinished_rename=former)
    return StackIdentity(
        id=as_text(record.get("id")) or None,
        project=as_text(names.get("project")),
        stack=as_text(names.get("stack")),
        clusters=clusters,
        trust_anchor=next(_trust_anchors(state), None),
    )


def _unfinished_renames(
    state: Iterable[StateResource], clusters: Mapping[str, RecordedCluster]
) -> Iterator[tuple[str, str]]:
    """Yield the current and the former name of each cluster whose rename was interrupted.

    An update changes the record of all clusters last, and their Kubernetes providers first.
    """
    completed = next((as_mapping(each.inputs, "uids") for each in state if each.type.endswith(_COMPLETED_TYPE)), {})
    former_names = [name for name in completed if name not in clusters]
    current_names = [name for name in clusters if name not in completed]
    for former in former_names:
        by_uid = [name for name in current_names if clusters[name].uid == completed[former]]
        # A cluster that is rebuilt in the same update has another UID.
        candidates = by_uid or (current_names if len(former_names) == 1 else [])
        if len(candidates) == 1:
            yield candidates[0], former


def _described_names(state: Iterable[StateResource]) -> Iterator[dict[str, str]]:
    for resource in state:
        if resource.type == HELM_RELEASE_TYPE:
            match = _DESCRIPTION.fullmatch(as_text(resource.inputs.get("description")))
            if match is not None:
                yield match.groupdict()


def _trust_anchors(state: Iterable[StateResource]) -> Iterator[str]:
    for resource in state:
        if resource.type == _SELF_SIGNED_TYPE and resource.name == TRUST_ANCHOR_RESOURCE:
            yield as_text(resource.outputs.get("certPem"))


def _list_objects(state: Iterable[StateResource]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the inputs of the stack's Kubernetes objects, by the URN of the Kubernetes provider."""
    objects: dict[str, list[Mapping[str, Any]]] = {}
    for resource in state:
        inputs = resource.inputs
        names = (inputs.get("apiVersion"), inputs.get("kind"), as_mapping(inputs.get("metadata")).get("name"))
        # An encrypted value is a mapping.
        has_object = all(isinstance(name, str) and name for name in names)
        if has_object and resource.provider is not None and not resource.is_external:
            objects.setdefault(resource.provider, []).append(inputs)
    return objects
