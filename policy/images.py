"""Images pinned: what runs tomorrow is what was looked at today.

Follows https://kubernetes.io/docs/concepts/containers/images/#image-names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policy.charts import RELEASE, values
from policy.limits import Bounds
from policy.planned_resource import SECRET, UNKNOWN, PlannedResource, at, items
from policy.rule import Found, Rule
from policy.violation import Path

_POD: tuple[str, ...] = ("spec",)
_TEMPLATE = ("spec", "template", "spec")
# Where each kind has the spec of its pods.
_SPECS = {
    "Pod": _POD,
    **dict.fromkeys(
        ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job"), _TEMPLATE
    ),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
}
_GROUPS = ("kubernetes:core/", "kubernetes:apps/", "kubernetes:batch/")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# By which charts name an image and its tag, where these are apart.
_NAMES = ("repository", "name", "image")
_TAGS = ("tag", "imageTag", "version", "digest")
_REMEDY = "name a release's tag, as in image:1.0, or a digest"


def unpinned(image: str) -> str | None:
    """What is wrong with the name of an image; None: nothing.

    Args:
        image: its name, with or without a registry.
    """
    name, at_sign, digest = image.partition("@")
    if at_sign:
        return None if re.fullmatch(r"[a-z0-9+._-]+:[0-9a-fA-F]{32,}", digest) else f"{_shown(name)}: not a digest"
    # What stands before the last slash may be a registry with its port.
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag:
        return f"{_shown(name)}: no tag, and so the newest, whatever that is"
    return f"{_shown(name)}: latest is another one every time" if tag == "latest" else None


def _shown(image: str) -> str:
    """An image's name, unless somebody has pasted something else there."""
    return image if re.fullmatch(r"[a-z0-9][a-z0-9./_:-]{0,150}", image) else "…"


def _find(resource: PlannedResource, bounds: Bounds) -> Iterator[Found]:
    path = _SPECS.get(resource.kind.removesuffix("Patch"))
    if path is not None and resource.type.startswith(_GROUPS):
        yield from _in_pods(at(resource.properties, *path), path)
    if resource.type == RELEASE:
        yield from _version(resource)
        yield from _in_values(values(resource), ("values",))


def _in_pods(spec: Any, path: Path) -> Iterator[Found]:
    for group in _CONTAINERS:
        for number, container in enumerate(items(at(spec, group))):
            yield from _judged(at(container, "image"), (*path, group, number, "image"))


def _version(resource: PlannedResource) -> Iterator[Found]:
    """A chart pins the images that no value names: so its own version must be."""
    remote = at(resource.properties, "repositoryOpts", "repo") or str(resource.properties.get("chart")).startswith(
        "oci:"
    )
    if remote and not resource.properties.get("version"):
        yield ("version",), "the chart is the newest, with whatever images it has", "name the chart's version"


def _in_values(value: Any, path: Path) -> Iterator[Found]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            here = (*path, key)
            if key.lower().endswith("image") and isinstance(item, str):
                # Beside the name there may be a tag of its own, which is judged then.
                yield from _tagged(value, item, path) if _has_tag(value) and item else _judged(item or None, here)
            elif key.lower().endswith("image") and isinstance(item, Mapping):
                yield from _tagged(item, next((item[name] for name in _NAMES if item.get(name)), ""), here)
                yield from _in_values({name: each for name, each in item.items() if name not in _NAMES}, here)
            else:
                yield from _in_values(item, here)
    for number, item in enumerate(items(value)):
        yield from _in_values(item, (*path, number))


def _has_tag(value: Mapping[str, Any]) -> bool:
    return any(value.get(key) for key in _TAGS)


def _tagged(value: Mapping[str, Any], name: Any, path: Path) -> Iterator[Found]:
    """An image whose tag is apart; where none is given, it is the chart's own."""
    for key in _TAGS:
        if value.get(key) == "latest":
            yield (*path, key), "latest is another one every time", _REMEDY
    if isinstance(name, str) and name.endswith(":latest"):
        yield path, f"{_shown(name)}: latest is another one every time", _REMEDY


def _judged(image: Any, path: Path) -> Iterator[Found]:
    if isinstance(image, str) and image not in (SECRET, UNKNOWN):
        wrong = unpinned(image)
        if wrong is not None:
            yield path, wrong, _REMEDY


RULE = Rule(
    name="images",
    description="Each image has a tag that isn't latest, or a digest.",
    level="mandatory",
    find=_find,
)
