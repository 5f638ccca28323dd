"""Properties of Helm releases for rules: the chart's name and the values."""

from __future__ import annotations

import re
from typing import Any

from mesh.pulumi_constants import HELM_RELEASE_TYPE
from policy.planned_resource import PlannedResource


def chart_name(release: PlannedResource) -> str:
    """Return the name of a release's chart, from a repository, a registry, a folder or an archive."""
    last = str(release.properties.get("chart") or "").rstrip("/").rpartition("/")[2]
    return re.sub(r"(-v?\d+\.\d+\.\d+[^/]*)?\.tgz$", "", last)


def helm_values(resource: PlannedResource) -> Any:
    """Return the Helm values of a release; for other resources, an empty mapping.

    The result is a mapping, unless the values are secret or unknown as a whole.
    """
    return (resource.properties.get("values") or {}) if resource.type == HELM_RELEASE_TYPE else {}
