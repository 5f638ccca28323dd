"""What changes in each cluster, object by object, whoever makes the object: Helm, or Pulumi itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from policy.planned_resource import SECRET
from review.diff import Field, fields
from review.objects import Object, ObjectIdentity, Scope, identify
from review.preview import RELEASE, Preview, Step
from review.redaction import Masked, masked, scrubbed
from review.release_objects import Release

Verb = Literal["added", "changed", "removed", "replaced", "kept"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of one object."""

    verb: Verb
    identity: ObjectIdentity
    before: Any = None  # masked
    after: Any = None  # masked
    fields: tuple[Field, ...] = ()
    restarts: bool = False  # its pods start anew


@dataclass(frozen=True, kw_only=True)
class ReleaseChange:
    """What becomes of a release."""

    cluster: str
    name: str  # with its namespace
    operation: str
    charts: tuple[str | None, str | None]  # before and after, with version
    values: tuple[Field, ...]
    objects: tuple[Change, ...]
    hooks: tuple[ObjectIdentity, ...] = ()
    from_state: str | None = None
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResourceChange:
    """What becomes of one resource of Pulumi's."""

    cluster: str | None
    operation: str
    type: str
    name: str
    fields: tuple[Field, ...] = ()
    object: Change | None = None  # what it is in its cluster, if it is a Kubernetes object


def of_release(release: Release, known: Collection[str]) -> ReleaseChange:
    """The change of a release.

    Args:
        release: with its objects on both sides.
        known: secrets, wherever they stand.
    """
    step = release.step
    before, after = release.before, release.after
    values = fields(
        masked(before.inputs.get("values") or {}, known) if before else {},
        masked(after.inputs.get("values") or {}, known) if after else {},
    )
    found = (
        [] if release.failure else _of_objects(before.objects if before else {}, after.objects if after else {}, known)
    )
    return ReleaseChange(
        cluster=release.cluster,
        name=release.name,
        operation=step.operation,
        charts=(_chart(before.inputs) if before else None, _chart(after.inputs) if after else None),
        values=(*values, *_secrets_changed(step, values, "values")) if step.operation == "update" else (),
        objects=tuple(found),
        hooks=after.hooks if after else (),
        from_state=release.from_state,
        failure=scrubbed(release.failure, known) if release.failure else None,
    )


def of_resources(preview: Preview, scopes: Mapping[str, Scope], known: Collection[str]) -> list[ResourceChange]:
    """The changes of all resources that aren't releases, in the order of their URNs.

    Args:
        preview: the preview.
        scopes: for each cluster, which kinds are in namespaces.
        known: secrets, wherever they stand.
    """
    return [
        _of_resource(step, scopes.get(step.cluster or "", _unknown), known)
        for step in preview.steps
        if step.operation != "same" and step.type != RELEASE
    ]


def _of_objects(
    before: Mapping[ObjectIdentity, Object], after: Mapping[ObjectIdentity, Object], known: Collection[str]
) -> Iterable[Change]:
    for identity in sorted({*before, *after}):
        old, new = before.get(identity), after.get(identity)
        if old is None and new is not None:
            yield Change(verb="added", identity=identity, after=masked(new.body, known))
        elif old is not None and new is None:
            yield Change(verb="kept" if old.kept else "removed", identity=identity, before=masked(old.body, known))
        elif old is not None and new is not None and (change := _of_pair(old, new, known)):
            yield change


def _of_pair(old: Object, new: Object, known: Collection[str]) -> Change | None:
    before, after = masked(old.body, known), masked(new.body, known)
    found = fields(before, after)
    if not found:
        return None
    templates = [masked(each.pod_template, known) for each in (old, new)]
    return Change(
        verb="changed",
        identity=new.identity,
        before=before,
        after=after,
        fields=tuple(found),
        restarts=templates[0] != templates[1],
    )


def _of_resource(step: Step, scope: Scope, known: Collection[str]) -> ResourceChange:
    before = step.before.inputs if step.before else {}
    after = step.after.inputs if step.after else {}
    found: list[Field] = []
    if step.operation in ("update", "replace"):
        found = fields(masked(_own(before), known), masked(_own(after), known))
        found += _secrets_changed(step, found)
    return ResourceChange(
        cluster=step.cluster,
        operation=step.operation,
        type=step.type,
        name=step.name,
        fields=tuple(found),
        object=_object(step, scope, tuple(found), known),
    )


def _object(step: Step, scope: Scope, found: tuple[Field, ...], known: Collection[str]) -> Change | None:
    state = step.state
    if not step.type.startswith("kubernetes:") or not state.inputs.get("kind"):
        return None
    bodies = {side: dict(each.inputs) for side, each in (("before", step.before), ("after", step.after)) if each}
    verbs: dict[str, Verb] = {"create": "added", "update": "changed", "delete": "removed", "replace": "replaced"}
    made = {side: Object(identity=identify(body, "default", scope), body=_own(body)) for side, body in bodies.items()}
    templates = [masked(made[side].pod_template, known) if side in made else None for side in ("before", "after")]
    latest = made.get("after") or made["before"]
    return Change(
        verb=verbs[step.operation],
        identity=latest.identity,
        before=masked(made["before"].body, known) if "before" in made else None,
        after=masked(made["after"].body, known) if "after" in made else None,
        fields=found,
        restarts=step.operation in ("update", "replace") and templates[0] != templates[1],
    )


def _secrets_changed(step: Step, found: Iterable[Field], below: str = "") -> list[Field]:
    """What Pulumi knows to change while it shows the same sign on both sides."""
    told = {field.path for field in found}
    more = []
    for path in step.changed:
        relative = path.removeprefix(f"{below}.") if below else path
        if (below and relative == path) or any(_within(relative, each) or _within(each, relative) for each in told):
            continue
        before = _at(step.before.inputs if step.before else {}, path)
        after = _at(step.after.inputs if step.after else {}, path)
        if SECRET in (before, after):
            more.append(Field(path=relative, before=Masked(SECRET, "before"), after=Masked(SECRET, "after")))
        elif not below and before == after:
            # What is in the cluster differs from what both the state and the program say.
            more.append(Field(path=relative, before="(differs in the cluster)", after="(as in the stack)"))
    return more


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _at(value: Any, path: str) -> Any:
    """What stands at one of Pulumi's paths; of what stands in a secret, its sign."""
    rest = path
    while rest:
        if value == SECRET:
            return SECRET
        if rest.startswith('["'):
            key, _, rest = rest[2:].partition('"]')
        elif rest.startswith("["):
            key, _, rest = rest[1:].partition("]")
        else:
            end = min((found for found in (rest.find("."), rest.find("[")) if found > 0), default=len(rest))
            key, rest = rest[:end], rest[end:]
        rest = rest.removeprefix(".")
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _own(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs without what Pulumi keeps in them for itself."""
    found = {key: value for key, value in inputs.items() if not key.startswith("__")}
    metadata = found.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("annotations"), Mapping):
        own = {key: value for key, value in metadata["annotations"].items() if not str(key).startswith("pulumi.com/")}
        found["metadata"] = {**metadata, "annotations": own}
        if not own:
            del found["metadata"]["annotations"]
    return found


def _chart(inputs: Mapping[str, Any]) -> str:
    return f"{str(inputs.get('chart', '')).rpartition('/')[2]} {inputs.get('version') or ''}".strip()


def _unknown(_: str, __: str) -> bool | None:
    return None
