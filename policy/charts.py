"""Helm releases, as rules on charts' values need to see them."""

from __future__ import annotations

import re
from typing import Any

from policy.planned_resource import PlannedResource

RELEASE = "kubernetes:helm.sh/v3:Release"


def chart(resource: PlannedResource) -> str:
    """The name of a release's chart, whether it comes from a repository, a registry, a folder or an archive.

    Args:
        resource: a release.
    """
    last = str(resource.properties.get("chart") or "").rstrip("/").rpartition("/")[2]
    return re.sub(r"(-v?\d+\.\d+\.\d+[^/]*)?\.tgz$", "", last)


def values(resource: PlannedResource) -> Any:
    """The values that a release gives its chart; a mapping, unless they are secret or unknown as a whole.

    Args:
        resource: any resource; only releases have any.
    """
    return (resource.properties.get("values") or {}) if resource.type == RELEASE else {}
