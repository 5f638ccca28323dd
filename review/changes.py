"""Changes of objects in each cluster, from Helm releases and from Pulumi's own Kubernetes resources."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mesh.pulumi_constants import HELM_RELEASE_TYPE, OBJECT_METADATA_TYPE, SERVICE_EXPORT_TYPE
from mesh.redaction import SECRET
from review.diff import FieldDiff, diff_fields
from review.objects import ManifestObject, NamespacedLookup, ObjectIdentity, identify
from review.preview import Preview, Step
from review.redaction import Redacted, redact, redact_text
from review.release_objects import ReviewedRelease

_SERVICE_TYPE = "kubernetes:core/v1:Service"

Verb = Literal["added", "changed", "removed", "replaced", "kept"]
_VERBS: Mapping[str, Verb] = {"create": "added", "update": "changed", "delete": "removed", "replace": "replaced"}


@dataclass(frozen=True, kw_only=True)
class ObjectChange:
    """Change of one object."""

    verb: Verb
    identity: ObjectIdentity
    before: Any = None  # redacted
    after: Any = None  # redacted
    fields: tuple[FieldDiff, ...] = ()
    restarts: bool = False  # the pods restart


@dataclass(frozen=True, kw_only=True)
class ReleaseChange:
    """Change of one Helm release."""

    cluster: str
    name: str  # namespace/name
    operation: str
    charts: tuple[str | None, str | None]  # name and version, before and after
    values: tuple[FieldDiff, ...]
    objects: tuple[ObjectChange, ...]
    hooks: tuple[ObjectIdentity, ...] = ()
    from_state: str | None = None
    failure: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResourceChange:
    """Change of one Pulumi resource."""

    cluster: str | None
    operation: str
    type: str
    name: str
    fields: tuple[FieldDiff, ...] = ()
    object: ObjectChange | None = None  # for Kubernetes objects


def compare_release(release: ReviewedRelease, secrets: Collection[str]) -> ReleaseChange:
    """Return the change of a release.

    Args:
        release: the release with its objects.
        secrets: texts to redact.
    """
    step = release.step
    before, after = release.before, release.after
    values = diff_fields(
        redact(before.inputs.get("values") or {}, secrets) if before else {},
        redact(after.inputs.get("values") or {}, secrets) if after else {},
    )
    objects = (
        []
        if release.failure
        else _compare_objects(before.objects if before else {}, after.objects if after else {}, secrets)
    )
    return ReleaseChange(
        cluster=release.cluster,
        name=release.name,
        operation=step.operation,
        charts=(_format_chart(before.inputs) if before else None, _format_chart(after.inputs) if after else None),
        values=(*values, *_find_hidden_differences(step, values, "values")) if step.operation == "update" else (),
        objects=tuple(objects),
        hooks=after.hooks if after else (),
        from_state=release.from_state,
        failure=redact_text(release.failure, secrets) if release.failure else None,
    )


def compare_resources(
    preview: Preview, lookups: Mapping[str, NamespacedLookup], secrets: Collection[str]
) -> list[ResourceChange]:
    """Return the changes of all resources except releases, sorted by URN.

    Args:
        preview: the preview.
        lookups: lookup of namespaced kinds, by cluster name.
        secrets: texts to redact.
    """
    changes = [
        _compare_resource(step, lookups.get(step.cluster or "", _no_lookup), secrets)
        for step in preview.steps
        if step.operation != "same" and step.type != HELM_RELEASE_TYPE
    ]
    # The change of a Service that is created or deleted includes its label.
    services = {
        (each.cluster, each.object.identity)
        for each in changes
        if each.object is not None and each.type == _SERVICE_TYPE and each.operation != "update"
    }
    return [
        replace(each, object=None)
        if each.type == SERVICE_EXPORT_TYPE and each.object and (each.cluster, each.object.identity) in services
        else each
        for each in changes
    ]


def _compare_objects(
    before: Mapping[ObjectIdentity, ManifestObject],
    after: Mapping[ObjectIdentity, ManifestObject],
    secrets: Collection[str],
) -> Iterable[ObjectChange]:
    for identity in sorted({*before, *after}):
        old, new = before.get(identity), after.get(identity)
        if old is None and new is not None:
            yield ObjectChange(verb="added", identity=identity, after=redact(new.body, secrets))
        elif old is not None and new is None:
            verb: Verb = "kept" if old.is_retained else "removed"
            yield ObjectChange(verb=verb, identity=identity, before=redact(old.body, secrets))
        elif old is not None and new is not None and (change := _compare_versions(old, new, secrets)):
            yield change


def _compare_versions(old: ManifestObject, new: ManifestObject, secrets: Collection[str]) -> ObjectChange | None:
    before, after = redact(old.body, secrets), redact(new.body, secrets)
    fields = diff_fields(before, after)
    if not fields:
        return None
    templates = [redact(each.pod_template, secrets) for each in (old, new)]
    return ObjectChange(
        verb="changed",
        identity=new.identity,
        before=before,
        after=after,
        fields=tuple(fields),
        restarts=templates[0] != templates[1],
    )


def _compare_resource(step: Step, lookup: NamespacedLookup, secrets: Collection[str]) -> ResourceChange:
    if step.type == SERVICE_EXPORT_TYPE:
        return _compare_metadata(step, "Service", str(step.state.inputs.get("service")), _read_exported_label)
    if step.type == OBJECT_METADATA_TYPE:
        inputs = step.state.inputs
        return _compare_metadata(step, str(inputs.get("kind")), str(inputs.get("name")), _read_declared_metadata)
    before = step.before.inputs if step.before else {}
    after = step.after.inputs if step.after else {}
    fields: list[FieldDiff] = []
    if step.operation in ("update", "replace"):
        fields = diff_fields(
            redact(_without_pulumi_fields(before), secrets), redact(_without_pulumi_fields(after), secrets)
        )
        fields += _find_hidden_differences(step, fields)
    return ResourceChange(
        cluster=step.cluster,
        operation=step.operation,
        type=step.type,
        name=step.name,
        fields=tuple(fields),
        object=_build_object_change(step, lookup, tuple(fields), secrets),
    )


def _compare_metadata(
    step: Step, kind: str, name: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> ResourceChange:
    """Return the change of labels and annotations as that of their object."""
    before, after = ({"metadata": read(state.inputs) if state else {}} for state in (step.before, step.after))
    fields = tuple(diff_fields(before, after))
    identity = ObjectIdentity(kind=kind, namespace=str(step.state.inputs.get("namespace")), name=name, group="")
    return ResourceChange(
        cluster=step.cluster,
        operation=step.operation,
        type=step.type,
        name=step.name,
        fields=fields,
        object=ObjectChange(verb="changed", identity=identity, before=before, after=after, fields=fields),
    )


def _read_exported_label(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"labels": {str(inputs.get("label")): inputs.get("value")}}


def _read_declared_metadata(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"annotations": inputs["annotations"]} if inputs.get("annotations") else {}


def _build_object_change(
    step: Step, lookup: NamespacedLookup, fields: tuple[FieldDiff, ...], secrets: Collection[str]
) -> ObjectChange | None:
    if not step.type.startswith("kubernetes:") or not step.state.inputs.get("kind"):
        return None
    objects = [
        ManifestObject(
            identity=identify(state.inputs, "default", lookup), body=_without_pulumi_fields(dict(state.inputs))
        )
        if state
        else None
        for state in (step.before, step.after)
    ]
    templates = [redact(each.pod_template, secrets) if each else None for each in objects]
    before, after = objects
    latest = after or before
    assert latest is not None, "a step has at least one state"
    return ObjectChange(
        verb=_VERBS[step.operation],
        identity=latest.identity,
        before=redact(before.body, secrets) if before else None,
        after=redact(after.body, secrets) if after else None,
        fields=fields,
        restarts=step.operation in ("update", "replace") and templates[0] != templates[1],
    )


def _find_hidden_differences(step: Step, visible: Iterable[FieldDiff], prefix: str = "") -> list[FieldDiff]:
    """Return differences that Pulumi reports although both sides look the same, such as changed secrets.

    Args:
        step: the step with the changed paths.
        visible: the visible differences.
        prefix: property to which the result is limited, such as `values`.
    """
    visible_paths = {field.path for field in visible}
    differences = []
    for path in step.changed:
        relative = path.removeprefix(f"{prefix}.") if prefix else path
        is_visible = any(_is_within(relative, each) or _is_within(each, relative) for each in visible_paths)
        if (prefix and relative == path) or is_visible:
            continue
        before = _value_at(step.before.inputs if step.before else {}, path)
        after = _value_at(step.after.inputs if step.after else {}, path)
        if SECRET in (before, after):
            differences.append(
                FieldDiff(path=relative, before=Redacted(SECRET, "before"), after=Redacted(SECRET, "after"))
            )
        elif not prefix and before == after:
            # The live object differs from both the state and the program.
            differences.append(FieldDiff(path=relative, before="(differs in the cluster)", after="(as in the stack)"))
    return differences


def _is_within(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _value_at(value: Any, path: str) -> Any:
    """Return the value at one of Pulumi's property paths, or `SECRET` if the path leads into a secret."""
    rest = path
    while rest:
        if value == SECRET:
            return SECRET
        if rest.startswith('["'):
            key, _, rest = rest[2:].partition('"]')
        elif rest.startswith("["):
            key, _, rest = rest[1:].partition("]")
        else:
            end = min((index for index in (rest.find("."), rest.find("[")) if index > 0), default=len(rest))
            key, rest = rest[:end], rest[end:]
        rest = rest.removeprefix(".")
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _without_pulumi_fields(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs without Pulumi's internal fields and annotations."""
    body = {key: value for key, value in inputs.items() if not key.startswith("__")}
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("annotations"), Mapping):
        annotations = {
            key: value for key, value in metadata["annotations"].items() if not str(key).startswith("pulumi.com/")
        }
        body["metadata"] = {**metadata, "annotations": annotations}
        if not annotations:
            del body["metadata"]["annotations"]
    return body


def _format_chart(inputs: Mapping[str, Any]) -> str:
    return f"{str(inputs.get('chart', '')).rpartition('/')[2]} {inputs.get('version') or ''}".strip()


def _no_lookup(_: str, __: str) -> bool | None:
    return None
