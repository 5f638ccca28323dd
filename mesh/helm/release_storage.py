"""What Helm has written down in a cluster about a release.

Follows https://helm.sh/docs/topics/advanced/#storage-backends (the Secrets, their names and labels).
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mesh.preflight.api import ClusterApi, NotReadableError


@dataclass(frozen=True, kw_only=True)
class ReleaseRevision:
    """A release as it was installed last."""

    manifest: str = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)  # those that were given, in clear


def read_latest_revision(api: ClusterApi, namespace: str, name: str) -> ReleaseRevision | None:
    """The record of a release; None where there is none.

    Raises:
        Unseen: it can't be looked at.
        Unanswered, Unusable: nothing can.
    """
    what = f"Helm's records in namespace {namespace}"
    # What was being uninstalled when that was interrupted was deployed before.
    query = quote(f"owner=helm,name={name},status in (deployed,uninstalling)")
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets?labelSelector={query}"
    found = api.get(path, what) or {}
    records = sorted(found.get("items") or (), key=_revision_number)
    if not records:
        return None
    try:
        content = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(records[-1]["data"]["release"]))))
        return ReleaseRevision(manifest=str(content["manifest"]), values=content.get("config") or {})
    except (KeyError, TypeError, ValueError, OSError):
        raise NotReadableError(f"{what} (that of release {name} can't be read)") from None


def _revision_number(record: dict[str, Any]) -> int:
    try:
        return int(record["metadata"]["labels"]["version"])
    except (KeyError, ValueError):
        return 0
