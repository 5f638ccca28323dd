"""Check for objects of the stack's Helm releases that belong to no Helm release, or to another one.

Helm adopts only objects with the release's name and namespace in their annotations, and fails at the first other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import NotReadableError, to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.ownership import LINKERD_CRDS_RELEASE, helm_ownership_metadata
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget, ReleaseTarget


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each release whose objects Helm would refuse to adopt."""
    for release in target.releases:
        if release.name != LINKERD_CRDS_RELEASE:  # recognized by the control plane's account
            yield from _check_release(target, release, client)
    if any(release.crd_groups for release in target.releases):
        crd_list = client.get(CRDS_PATH, "the owner of Linkerd's CRDs", METADATA_LIST_MEDIA_TYPE) or {}
        crds = [as_mapping(crd, "metadata") for crd in as_mappings(crd_list.get("items"))]
        for release in target.releases:
            yield from _check_crds(target, release, crds, client)


def _check_release(target: CheckTarget, release: ReleaseTarget, client: KubeClient) -> Iterator[Finding]:
    owner = _read_account(release, client) if target.adopt or release.own_secret is not None else None
    if target.adopt and owner is not None and not _is_adoptable(owner, release):
        yield from _report_release(target, release, owner, client)
    elif not target.adopt and owner is not None and release.own_secret is not None:
        yield from _check_own_secret(target, release, release.own_secret, client)
    elif release.cluster_object is not None:
        # A release in another namespace has no such account, but the same cluster-scoped object.
        live = client.get(release.cluster_object, f"the owner of {release.name}", METADATA_MEDIA_TYPE)
        metadata = as_mapping(live, "metadata")
        if live is not None and not metadata.get("deletionTimestamp") and not _is_adoptable(metadata, release):
            yield from _report_release(target, release, metadata, client)


def _read_account(release: ReleaseTarget, client: KubeClient) -> dict[str, Any] | None:
    """Return the metadata of the ServiceAccount by which an existing release is recognized; None without one."""
    path = f"/api/v1/namespaces/{release.namespace}/serviceaccounts/{release.account}"
    live = client.get(path, f"the owner of {release.name} in namespace {release.namespace}", METADATA_MEDIA_TYPE)
    return as_mapping(live, "metadata") if live is not None else None


def _report_release(
    target: CheckTarget, release: ReleaseTarget, metadata: Mapping[str, Any], client: KubeClient
) -> Iterator[Finding]:
    annotations = as_mapping(metadata.get("annotations"))
    name, namespace = (
        to_single_line(as_text(annotations.get(f"meta.helm.sh/release-{key}")), 63) for key in ("name", "namespace")
    )
    if not name and release.namespace == target.control_plane_namespace and not _has_revisions(release, client):
        return  # mesh.preflight.ownership reports it
    installer = f"by the Helm release {name} in namespace {namespace}" if name else "without Helm"
    uninstall = f"helm uninstall --namespace {namespace} {name}" if name else release.uninstall
    yield target.finding(
        f"is installed already {installer}, so Helm would refuse to install a release {release.name} in namespace "
        f"{release.namespace}",
        f"remove it ({uninstall}); `up` installs it again",
        value=release.name,
    )


def _check_own_secret(target: CheckTarget, release: ReleaseTarget, name: str, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding if this stack's Secret is missing in the namespace of a release."""
    path = f"/api/v1/namespaces/{release.namespace}/secrets/{name}"
    try:
        secret = client.get(path, f"the owner of {release.name}", METADATA_MEDIA_TYPE)
    except NotReadableError:
        return  # a user who only previews may not read Secrets
    if not target.identity.is_in(as_mapping(secret, "metadata", "annotations")):
        yield target.finding(
            f"is already installed in namespace {release.namespace} and does not belong to this stack",
            f"uninstall it ({release.uninstall}), or set {target.path}.adopt: true to adopt it",
            value=release.name,
        )


def _has_revisions(release: ReleaseTarget, client: KubeClient) -> bool:
    path = f"/api/v1/namespaces/{release.namespace}/secrets?labelSelector=owner%3Dhelm&limit=1"
    secrets = client.get(path, f"Helm's revisions in namespace {release.namespace}", METADATA_LIST_MEDIA_TYPE) or {}
    return bool(as_mappings(secrets.get("items")))


def _check_crds(
    target: CheckTarget, release: ReleaseTarget, crds: Sequence[Mapping[str, Any]], client: KubeClient
) -> Iterator[Finding]:
    names = [
        to_single_line(as_text(crd.get("name")), 253)
        for crd in crds
        if as_text(crd.get("name")).partition(".")[2] in release.crd_groups
        and not crd.get("deletionTimestamp")  # `up` waits until it is gone
        and not _is_adoptable(crd, release)
    ]
    if not names:
        return
    owner = _read_account(release, client)
    if owner is not None and "meta.helm.sh/release-name" not in as_mapping(owner.get("annotations")):
        return  # Linkerd's CLI has installed both, and removes both; the finding about the rest has the command
    metadata = helm_ownership_metadata(release.name, release.namespace)
    labels, annotations = (" ".join(f"{key}={value}" for key, value in each.items()) for each in metadata.values())
    yield target.finding(
        f"exists already and does not belong to the Helm release {release.name} in namespace {release.namespace}, so "
        "Helm would refuse to install that release",
        f"give it to the release (kubectl label --overwrite crd {' '.join(names)} {labels}; kubectl annotate "
        f"--overwrite crd {' '.join(names)} {annotations}), or, if nothing uses it, delete it",
        value=", ".join(names),
    )


def _is_adoptable(metadata: Mapping[str, Any], release: ReleaseTarget) -> bool:
    live = dict(metadata)
    return all(
        expected.items() <= as_mapping(live, kind).items()
        for kind, expected in helm_ownership_metadata(release.name, release.namespace).items()
    )
