"""The objects behind each Helm release, before and after."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mesh.helm.release_storage import ReleaseRevision
from mesh.preflight.api import NotReadableError
from mesh.strict_yaml import StrictYamlError
from policy.planned_resource import SECRET
from review import unknown_values
from review.cluster_snapshot import ClusterSnapshot
from review.discovery import ApiResources
from review.helm_template import ReleaseSpec, Renderer, RenderError
from review.objects import Object, ObjectIdentity, documents, index_objects
from review.preview import RELEASE, Preview, State, Step


@dataclass(frozen=True, kw_only=True)
class Side:
    """A release before the change, or after it."""

    inputs: Mapping[str, Any]
    objects: Mapping[ObjectIdentity, Object] = field(default_factory=dict, repr=False)
    hooks: tuple[ObjectIdentity, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release that changes."""

    step: Step
    cluster: str
    before: Side | None
    after: Side | None
    from_state: str | None = None  # why what is there was rendered from the state and not read from the cluster
    failure: str | None = None  # why there are no objects to compare

    @property
    def name(self) -> str:
        """What Helm calls it, with its namespace."""
        inputs = self.step.state.inputs
        return f"{inputs.get('namespace')}/{inputs.get('name')}"


def changed(preview: Preview) -> list[Step]:
    """The releases of a preview that don't stay as they are."""
    return [step for step in preview.steps if step.type == RELEASE and step.operation != "same"]


class Releases:
    """Finds out what is behind releases.

    Args:
        preview: the whole preview.
        clusters: what is known of the clusters, by their names.
        renderer: renders charts.
    """

    def __init__(self, preview: Preview, clusters: Mapping[str, ClusterSnapshot], renderer: Renderer) -> None:
        self._steps = {step.urn: step for step in preview.steps}
        self._clusters = clusters
        self._renderer = renderer
        self._definitions: dict[str, list[dict[str, Any]]] = {}

    def look(self, step: Step) -> Release:
        """One release with its objects. Never raises: what fails is told in its place."""
        cluster = step.cluster or ""
        seen = self._clusters.get(cluster, ClusterSnapshot(name=cluster, unseen="it is no cluster of the stack file"))
        try:
            before, from_state = self._before(step, seen)
            after = self._after(step, seen)
        except RenderError as error:
            return Release(
                step=step,
                cluster=cluster,
                before=Side(inputs=step.before.inputs) if step.before else None,
                after=Side(inputs=step.after.inputs) if step.after else None,
                failure=str(error),
            )
        return Release(step=step, cluster=cluster, before=before, after=after, from_state=from_state)

    def _before(self, step: Step, seen: ClusterSnapshot) -> tuple[Side | None, str | None]:
        if step.before is None:
            return None, None
        wanted = ReleaseSpec.of(step.before.inputs, first=False)
        offer = self._offer(step, seen)
        why = None
        try:
            record = seen.record(wanted.namespace, wanted.name)
            if record is not None:
                found = documents(_without_secrets(record, step.before.inputs))
                return self._side(step.before, found, wanted, offer), None
            why = f"Helm has no record of release {wanted.name} there"
        except NotReadableError as error:
            why = f"can't be seen: {error}"
        except StrictYamlError:
            why = f"Helm's record of release {wanted.name} can't be read"
        found = self._renderer.render(wanted, offer, seen.way)
        return self._side(step.before, found, wanted, offer), why

    def _after(self, step: Step, seen: ClusterSnapshot) -> Side | None:
        if step.after is None:
            return None
        wanted = ReleaseSpec.of(step.after.inputs, first=step.operation != "update")
        offer = self._offer(step, seen)
        return self._side(step.after, self._rendered(wanted, offer, seen), wanted, offer)

    def _rendered(self, wanted: ReleaseSpec, offer: ApiResources, seen: ClusterSnapshot) -> list[dict[str, Any]]:
        """The objects of a release, with the sign for what nobody knows wherever something of that is in them."""
        if not unknown_values.contains_unknown(wanted.values):
            return self._renderer.render(wanted, offer, seen.way)
        # What comes out otherwise for another value depends on it, through a checksum or an encoding too.
        one, other = (
            self._renderer.render(
                replace(wanted, values=unknown_values.fill_unknowns(wanted.values, text)), offer, seen.way
            )
            for text in unknown_values.PLACEHOLDERS
        )
        return [unknown_values.common(*pair) for pair in zip(one, other, strict=False)]

    def _side(
        self, state: State, bodies: Iterable[Mapping[str, Any]], wanted: ReleaseSpec, offer: ApiResources
    ) -> Side:
        found = index_objects(bodies, wanted.namespace, offer.namespaced)
        hooks = tuple(sorted(identity for identity, each in found.items() if each.hook))
        objects = {identity: each for identity, each in found.items() if not each.hook}
        return Side(inputs=state.inputs, objects=objects, hooks=hooks if wanted.hooks else ())

    def _offer(self, step: Step, seen: ClusterSnapshot) -> ApiResources:
        """What the cluster will offer when the release's turn comes: also what is made before it."""
        definitions: list[dict[str, Any]] = []
        for urn in self._needs(step):
            needed = self._steps[urn]
            if needed.cluster == step.cluster and needed.after is not None:
                definitions += self._defined(needed, seen)
        return seen.offer.with_definitions(definitions)

    def _needs(self, step: Step) -> Sequence[str]:
        """The URNs of all that a resource depends on, near or far."""
        found: set[str] = set()
        waiting = list(step.state.dependencies)
        while waiting:
            urn = waiting.pop()
            if urn not in found and urn in self._steps:
                found.add(urn)
                waiting += self._steps[urn].state.dependencies
        return sorted(found)

    def _defined(self, step: Step, seen: ClusterSnapshot) -> list[dict[str, Any]]:
        """The CustomResourceDefinitions that a resource brings."""
        if step.after is None or step.operation == "same":
            return []
        if step.type != RELEASE:
            inputs = dict(step.after.inputs)
            return [inputs] if inputs.get("kind") == "CustomResourceDefinition" else []
        if step.urn not in self._definitions:
            try:
                wanted = ReleaseSpec.of(step.after.inputs, first=step.operation != "update")
                bodies = self._rendered(wanted, seen.offer, seen)
            except RenderError:
                bodies = []
            self._definitions[step.urn] = [body for body in bodies if body.get("kind") == "CustomResourceDefinition"]
        return self._definitions[step.urn]


def _without_secrets(record: ReleaseRevision, inputs: Mapping[str, Any]) -> str:
    """A record's manifest with Pulumi's sign in place of the values that Pulumi holds as secrets."""
    manifest = record.manifest
    for secret in _secrets_in(record.values, inputs.get("values")):
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            manifest = manifest.replace(form, SECRET)
    return manifest


def _secrets_in(clear: Any, shown: Any) -> list[str]:
    """The texts in a record's values of which Pulumi shows a sign alone; longest first."""
    found: list[str] = []
    if shown == SECRET:
        found = [clear] if isinstance(clear, str) and clear else []
    elif isinstance(shown, Mapping) and isinstance(clear, Mapping):
        found = [text for key in shown for text in _secrets_in(clear.get(key), shown[key])]
    elif isinstance(shown, list) and isinstance(clear, list):
        found = [text for pair in zip(clear, shown, strict=False) for text in _secrets_in(*pair)]
    return sorted(found, key=len, reverse=True)
