"""Objects of each Helm release, before and after the change."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mesh.helm.release_storage import ReleaseRevision
from mesh.kube.errors import NotReadableError
from mesh.pulumi_constants import HELM_RELEASE_TYPE
from mesh.redaction import SECRET
from mesh.strict_yaml import StrictYamlError
from review import unknown_values
from review.cluster_snapshot import ClusterSnapshot
from review.discovery import ApiResources
from review.helm_template import ReleaseSpec, Renderer, RenderError
from review.objects import ManifestObject, ObjectIdentity, index_objects, parse_manifest
from review.preview import Preview, ResourceState, Step


@dataclass(frozen=True, kw_only=True)
class ReleaseSide:
    """A release before the change, or after it."""

    inputs: Mapping[str, Any]
    objects: Mapping[ObjectIdentity, ManifestObject] = field(default_factory=dict, repr=False)
    hooks: tuple[ObjectIdentity, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReviewedRelease:
    """A release that changes."""

    step: Step
    cluster: str
    before: ReleaseSide | None
    after: ReleaseSide | None
    from_state: str | None = None  # reason why `before` was rendered from the state and not read from the cluster
    failure: str | None = None  # reason why there are no objects to compare

    @property
    def name(self) -> str:
        """Return the namespace and the name of the release, separated by a slash."""
        inputs = self.step.state.inputs
        return f"{inputs.get('namespace')}/{inputs.get('name')}"


def find_changed_releases(preview: Preview) -> list[Step]:
    """Return the steps of all releases that change."""
    return [step for step in preview.steps if step.type == HELM_RELEASE_TYPE and step.operation != "same"]


class ReleaseInspector:
    """Reader and renderer of the objects of releases.

    Args:
        preview: the whole preview.
        clusters: snapshots by cluster name.
        renderer: renderer of charts.
    """

    def __init__(self, preview: Preview, clusters: Mapping[str, ClusterSnapshot], renderer: Renderer) -> None:
        self._steps = {step.urn: step for step in preview.steps}
        self._clusters = clusters
        self._renderer = renderer
        self._crds: dict[str, list[dict[str, Any]]] = {}

    def inspect(self, step: Step) -> ReviewedRelease:
        """Return a release with its objects. A failure does not raise: it is part of the result."""
        name = step.cluster or ""
        cluster = self._clusters.get(name, ClusterSnapshot(name=name, error="not in the stack file"))
        try:
            before, from_state = self._read_before(step, cluster)
            after = self._render_after(step, cluster)
        except RenderError as error:
            return ReviewedRelease(
                step=step,
                cluster=name,
                before=ReleaseSide(inputs=step.before.inputs) if step.before else None,
                after=ReleaseSide(inputs=step.after.inputs) if step.after else None,
                failure=str(error),
            )
        return ReviewedRelease(step=step, cluster=name, before=before, after=after, from_state=from_state)

    def _read_before(self, step: Step, cluster: ClusterSnapshot) -> tuple[ReleaseSide | None, str | None]:
        if step.before is None:
            return None, None
        release = ReleaseSpec.from_inputs(step.before.inputs, is_new=False)
        api_resources = self._predict_api_resources(step, cluster)
        try:
            revision = cluster.read_revision(release.namespace, release.name)
            if revision is not None:
                bodies = parse_manifest(_redact_manifest(revision, step.before.inputs))
                return self._build_side(step.before, bodies, release, api_resources), None
            reason = f"the cluster has no revision of release {release.name}"
        except NotReadableError as error:
            reason = f"not readable: {error}"
        except StrictYamlError:
            reason = f"the manifest of release {release.name} is not valid YAML"
        bodies = self._renderer.render(release, api_resources, cluster.access)
        return self._build_side(step.before, bodies, release, api_resources), reason

    def _render_after(self, step: Step, cluster: ClusterSnapshot) -> ReleaseSide | None:
        if step.after is None:
            return None
        release = ReleaseSpec.from_inputs(step.after.inputs, is_new=step.operation != "update")
        api_resources = self._predict_api_resources(step, cluster)
        return self._build_side(step.after, self._render(release, api_resources, cluster), release, api_resources)

    def _render(
        self, release: ReleaseSpec, api_resources: ApiResources, cluster: ClusterSnapshot
    ) -> list[dict[str, Any]]:
        """Return the objects of a release, with `UNKNOWN_VALUE` in place of texts that depend on unknown values."""
        if not unknown_values.contains_unknown(release.values):
            return self._renderer.render(release, api_resources, cluster.access)
        # Two renderings find every text that depends on an unknown value, even through a checksum or an encoding.
        first, second = (
            self._renderer.render(
                replace(release, values=unknown_values.fill_unknowns(release.values, text)),
                api_resources,
                cluster.access,
            )
            for text in unknown_values.PLACEHOLDERS
        )
        return [unknown_values.merge_renderings(*pair) for pair in zip(first, second, strict=False)]

    def _build_side(
        self,
        state: ResourceState,
        bodies: Iterable[Mapping[str, Any]],
        release: ReleaseSpec,
        api_resources: ApiResources,
    ) -> ReleaseSide:
        indexed = index_objects(bodies, release.namespace, api_resources.is_namespaced)
        hooks = tuple(sorted(identity for identity, each in indexed.items() if each.is_hook))
        objects = {identity: each for identity, each in indexed.items() if not each.is_hook}
        return ReleaseSide(inputs=state.inputs, objects=objects, hooks=hooks if release.has_hooks else ())

    def _predict_api_resources(self, step: Step, cluster: ClusterSnapshot) -> ApiResources:
        """Return the kinds of a cluster, with the CRDs that the release's dependencies install before it."""
        crds: list[dict[str, Any]] = []
        for urn in self._find_dependencies(step):
            dependency = self._steps[urn]
            if dependency.cluster == step.cluster and dependency.after is not None:
                crds += self._find_installed_crds(dependency, cluster)
        return cluster.api_resources.with_crds(crds)

    def _find_dependencies(self, step: Step) -> Sequence[str]:
        """Return the URNs of all direct and indirect dependencies of a resource."""
        urns: set[str] = set()
        waiting = list(step.state.dependencies)
        while waiting:
            urn = waiting.pop()
            if urn not in urns and urn in self._steps:
                urns.add(urn)
                waiting += self._steps[urn].state.dependencies
        return sorted(urns)

    def _find_installed_crds(self, step: Step, cluster: ClusterSnapshot) -> list[dict[str, Any]]:
        """Return the CustomResourceDefinitions that a changing resource installs."""
        if step.after is None or step.operation == "same":
            return []
        if step.type != HELM_RELEASE_TYPE:
            inputs = dict(step.after.inputs)
            return [inputs] if inputs.get("kind") == "CustomResourceDefinition" else []
        if step.urn not in self._crds:
            try:
                release = ReleaseSpec.from_inputs(step.after.inputs, is_new=step.operation != "update")
                bodies = self._render(release, cluster.api_resources, cluster)
            except RenderError:
                bodies = []
            self._crds[step.urn] = [body for body in bodies if body.get("kind") == "CustomResourceDefinition"]
        return self._crds[step.urn]


def _redact_manifest(revision: ReleaseRevision, inputs: Mapping[str, Any]) -> str:
    """Return the manifest of a revision with `SECRET` in place of values that Pulumi stores as secrets."""
    manifest = revision.manifest
    for secret in _find_secret_texts(revision.values, inputs.get("values")):
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            manifest = manifest.replace(form, SECRET)
    return manifest


def _find_secret_texts(values: Any, inputs: Any) -> list[str]:
    """Return the texts of a revision's values that are secret in a resource's inputs, longest first."""
    texts: list[str] = []
    if inputs == SECRET:
        texts = [values] if isinstance(values, str) and values else []
    elif isinstance(inputs, Mapping) and isinstance(values, Mapping):
        texts = [text for key in inputs for text in _find_secret_texts(values.get(key), inputs[key])]
    elif isinstance(inputs, list) and isinstance(values, list):
        texts = [text for pair in zip(values, inputs, strict=False) for text in _find_secret_texts(*pair)]
    return sorted(texts, key=len, reverse=True)
