"""Check for objects of the stack's Helm releases that belong to no Helm release, or to another one.

Helm adopts only objects with the release's name and namespace in their annotations, and fails at the first other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.ownership import helm_ownership_metadata
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget, ReleaseTarget


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each release whose objects Helm would refuse to adopt."""
    for release in target.releases:
        if release.account is not None and target.adopt:
            yield from _check_account(target, release, release.account, client)
    if any(release.crd_groups for release in target.releases):
        subject = "the owner of Linkerd's CRDs"
        crd_list = client.get(CRDS_PATH, subject, METADATA_LIST_MEDIA_TYPE) or {}
        crds = [as_mapping(crd, "metadata") for crd in as_mappings(crd_list.get("items"))]
        for release in target.releases:
            yield from _check_crds(target, release, crds)


def _check_account(target: CheckTarget, release: ReleaseTarget, account: str, client: KubeClient) -> Iterator[Finding]:
    path = f"/api/v1/namespaces/{release.namespace}/serviceaccounts/{account}"
    live = client.get(path, f"the owner of {release.name} in namespace {release.namespace}", METADATA_MEDIA_TYPE)
    if live is None or _is_adoptable(as_mapping(live, "metadata"), release):
        return
    annotations = as_mapping(live, "metadata", "annotations")
    name, namespace = (
        to_single_line(as_text(annotations.get(f"meta.helm.sh/release-{key}")), 63) for key in ("name", "namespace")
    )
    installer = f"by the Helm release {name} in namespace {namespace}" if name else "without Helm"
    uninstall = f"helm uninstall --namespace {namespace} {name}" if name else release.uninstall
    yield target.finding(
        f"is installed {installer}, and {target.path}.adopt adopts only a Helm release {release.name} in namespace "
        f"{release.namespace}",
        f"remove it, and `up` installs it again ({uninstall})",
        value=release.name,
    )


def _check_crds(target: CheckTarget, release: ReleaseTarget, crds: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    names = [
        to_single_line(as_text(crd.get("name")), 253)
        for crd in crds
        if as_text(crd.get("name")).partition(".")[2] in release.crd_groups and not _is_adoptable(crd, release)
    ]
    if not names:
        return
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
