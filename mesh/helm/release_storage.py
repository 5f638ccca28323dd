"""Helm's release storage: one Secret for each revision of a release.

Follows https://helm.sh/docs/topics/advanced/#storage-backends and helm/helm `pkg/storage/driver/secrets.go`.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.json_access import as_mapping, as_mappings, as_text

_SECRET_TYPE = "helm.sh/release.v1"
# A release that Helm was uninstalling had been deployed before.
_INSTALLED_STATUSES = ("deployed", "uninstalling")


@dataclass(frozen=True, kw_only=True)
class ReleaseRevision:
    """The manifest and the values of one revision."""

    manifest: str = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)  # as the user set them, unencrypted
    chart_version: str = ""  # empty: not stored


def secrets_path(namespace: str) -> str:
    """Return the path of a namespace's Secrets."""
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets"


def revision_selector(name: str, statuses: Sequence[str] = ()) -> str:
    """Return the label selector of a release's revisions, limited to some statuses if given."""
    limit = f",status in ({','.join(statuses)})" if statuses else ""
    return f"owner=helm,name={name}{limit}"


def list_revisions(client: KubeClient, namespace: str, name: str, statuses: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the Secrets of a release's revisions, limited to some statuses if given; raise as `client.request` does.

    Args:
        client: the cluster's client.
        namespace: namespace of the release.
        name: name of the release.
        statuses: Helm's words, such as `deployed` or `pending-install`.
    """
    return client.list_objects(secrets_path(namespace), revision_selector(name, statuses))


def read_latest_revision(client: KubeClient, namespace: str, name: str) -> ReleaseRevision | None:
    """Return the latest installed revision of a release, or None if there is none.

    Raises:
        NotReadableError: this release cannot be read.
        ApiUnreachableError, BadCredentialsError: no release can be read.
    """
    subject = f"Helm's revisions in namespace {namespace}"
    query = quote(revision_selector(name, _INSTALLED_STATUSES))
    secret_list = client.get(f"{secrets_path(namespace)}?labelSelector={query}", subject) or {}
    secrets = sorted(as_mappings(secret_list.get("items")), key=revision_number)
    if not secrets:
        return None
    try:
        release = decode_release(secrets[-1])
        return ReleaseRevision(
            manifest=str(release["manifest"]),
            values=release.get("config") or {},
            chart_version=as_text(as_mapping(release, "chart", "metadata").get("version")),
        )
    except (KeyError, TypeError, ValueError, OSError, EOFError, zlib.error):
        raise NotReadableError(f"{subject} (that of release {name} cannot be read)") from None


def update_revision(client: KubeClient, secret: Mapping[str, Any]) -> None:
    """Replace the Secret of a revision; raise as `client.request` does."""
    client.request("PUT", _secret_path(secret), body=secret)


def create_revision(client: KubeClient, secret: Mapping[str, Any]) -> None:
    """Create the Secret of a revision; raise as `client.request` does."""
    client.request("POST", secrets_path(secret["metadata"]["namespace"]), body=secret)


def delete_revision(client: KubeClient, secret: Mapping[str, Any]) -> None:
    """Delete the Secret of a revision; raise as `client.request` does."""
    client.request("DELETE", _secret_path(secret))


def revision_secret(name: str, namespace: str, number: int, release: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Secret in which Helm stores a revision.

    Args:
        name: name of the release.
        namespace: namespace of the release.
        number: number of the revision.
        release: the release, with its status in `info`.
    """
    labels = {"name": name, "owner": "helm", "status": release["info"]["status"], "version": str(number)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": _SECRET_TYPE,
        "metadata": {"name": secret_name(name, number), "namespace": namespace, "labels": labels},
        "data": {"release": encode_release(release)},
    }


def secret_name(name: str, number: int) -> str:
    """Return the name of the Secret of one revision."""
    return f"sh.helm.release.v1.{name}.v{number}"


def revision_number(secret: Mapping[str, Any]) -> int:
    """Return the number of a revision from its labels; 0 if there is none."""
    try:
        return int(secret["metadata"]["labels"]["version"])
    except (KeyError, TypeError, ValueError):
        return 0


def revision_status(secret: Mapping[str, Any]) -> str:
    """Return the status of a revision from its labels."""
    return str(secret["metadata"]["labels"]["status"])


def decode_release(secret: Mapping[str, Any]) -> dict[str, Any]:
    """Return the release in the Secret of a revision."""
    compressed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    release: dict[str, Any] = json.loads(gzip.decompress(compressed))
    return release


def encode_release(release: Mapping[str, Any]) -> str:
    """Return a release as Helm stores it in a Secret: JSON in gzip, in base64 twice."""
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()


def _secret_path(secret: Mapping[str, Any]) -> str:
    metadata = secret["metadata"]
    return f"{secrets_path(metadata['namespace'])}/{metadata['name']}"
