"""Rule for images: each is pinned by a tag or a digest, so that the reviewed image is the one that runs later.

Follows https://kubernetes.io/docs/concepts/containers/images/#image-names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mesh.pulumi_constants import HELM_RELEASE_TYPE, UNKNOWN_VALUE
from mesh.redaction import SECRET
from policy.charts import helm_values
from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource, list_items, value_at
from policy.rule import Rule, RuleFinding
from policy.violation import PropertyPath

_POD_SPEC: tuple[str, ...] = ("spec",)
_TEMPLATE_SPEC = ("spec", "template", "spec")
_POD_SPEC_PATHS = {
    "Pod": _POD_SPEC,
    **dict.fromkeys(
        ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job"), _TEMPLATE_SPEC
    ),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE_SPEC),
}
_TYPE_PREFIXES = ("kubernetes:core/", "kubernetes:apps/", "kubernetes:batch/")
_CONTAINER_FIELDS = ("initContainers", "containers", "ephemeralContainers")
# Keys of chart values with the name and the tag of an image.
_NAME_KEYS = ("repository", "name", "image")
_TAG_KEYS = ("tag", "imageTag", "version", "digest")
_LATEST = "latest changes over time"
_REMEDY = "set a release's tag, as in image:1.0, or a digest"


def check_image_name(image: str) -> str | None:
    """Return the reason why an image name is not pinned, or None if it is.

    Args:
        image: name of the image, with or without a registry.
    """
    name, at_sign, digest = image.partition("@")
    if at_sign:
        return None if re.fullmatch(r"[a-z0-9+._-]+:[0-9a-fA-F]{32,}", digest) else f"{_sanitize(name)}: invalid digest"
    # A colon before the last slash belongs to the port of a registry.
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag:
        return f"{_sanitize(name)}: no tag, which means latest"
    return f"{_sanitize(name)}: {_LATEST}" if tag == "latest" else None


def _sanitize(image: str) -> str:
    """Return an image name; an ellipsis for text that is no image name and could be a pasted secret."""
    return image if re.fullmatch(r"[a-z0-9][a-z0-9./_:-]{0,150}", image) else "…"


def _check_resource(resource: PlannedResource, limits: LifetimeLimits) -> Iterator[RuleFinding]:
    path = _POD_SPEC_PATHS.get(resource.kind.removesuffix("Patch"))
    if path is not None and resource.type.startswith(_TYPE_PREFIXES):
        yield from _check_pod_spec(value_at(resource.properties, *path), path)
    if resource.type == HELM_RELEASE_TYPE:
        yield from _check_chart_version(resource)
        yield from _check_values(helm_values(resource), ("values",))


def _check_pod_spec(spec: Any, path: PropertyPath) -> Iterator[RuleFinding]:
    for field in _CONTAINER_FIELDS:
        for number, container in enumerate(list_items(value_at(spec, field))):
            yield from _check_image(value_at(container, "image"), (*path, field, number, "image"))


def _check_chart_version(release: PlannedResource) -> Iterator[RuleFinding]:
    """Yield a finding for a remote chart without a version, because the chart pins the images that no value sets."""
    is_remote = value_at(release.properties, "repositoryOpts", "repo") or str(
        release.properties.get("chart")
    ).startswith("oci:")
    if is_remote and not release.properties.get("version"):
        yield ("version",), "no chart version, so the newest chart and its images are used", "set the chart's version"


def _check_values(value: Any, path: PropertyPath) -> Iterator[RuleFinding]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            key_path = (*path, key)
            if key.lower().endswith("image") and isinstance(item, str):
                # A separate tag in the same mapping is checked instead of the name.
                has_separate_tag = _has_tag(value) and item
                yield from _check_tags(value, item, path) if has_separate_tag else _check_image(item or None, key_path)
            elif key.lower().endswith("image") and isinstance(item, Mapping):
                name = next((item[name_key] for name_key in _NAME_KEYS if item.get(name_key)), "")
                yield from _check_tags(item, name, key_path)
                yield from _check_values(
                    {name: each for name, each in item.items() if name not in _NAME_KEYS}, key_path
                )
            else:
                yield from _check_values(item, key_path)
    for number, item in enumerate(list_items(value)):
        yield from _check_values(item, (*path, number))


def _has_tag(value: Mapping[str, Any]) -> bool:
    return any(value.get(key) for key in _TAG_KEYS)


def _check_tags(value: Mapping[str, Any], name: Any, path: PropertyPath) -> Iterator[RuleFinding]:
    """Yield findings for an image with separate name and tag. Without a tag, the chart's own one is used."""
    for key in _TAG_KEYS:
        if value.get(key) == "latest":
            yield (*path, key), _LATEST, _REMEDY
    if isinstance(name, str) and name.endswith(":latest"):
        yield path, f"{_sanitize(name)}: {_LATEST}", _REMEDY


def _check_image(image: Any, path: PropertyPath) -> Iterator[RuleFinding]:
    if isinstance(image, str) and image not in (SECRET, UNKNOWN_VALUE):
        message = check_image_name(image)
        if message is not None:
            yield path, message, _REMEDY


RULE = Rule(
    name="images",
    description="Each image has a tag other than latest, or a digest.",
    level="mandatory",
    find=_check_resource,
)
