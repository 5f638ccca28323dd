"""Helm releases that recover from interrupted updates.

Helm stores each revision in a Secret. Three states block the next update; hooks clear them:

* pending: the process died. Helm would refuse every operation indefinitely, so the revision is deleted. Before a
  create, all revisions that this stack owns are deleted: Helm may have installed the release before Pulumi died.
* no deployed or failed revision: Helm refuses to upgrade. A failed revision is written first.
* uninstalling, or installed but not marked as deployed (a webhook can reject the update of the Secret): missing
  objects are repaired (`mesh.helm.drift`), then the revision is marked. Dependent resources wait until then.

Helm itself waits for nothing: Helm polls every two seconds, and its error names no object and no reason. A hook of the
drift resource waits (`mesh.readiness`), so a failed wait fails `up`, and the next `up` waits again.

Deleting is safe: Pulumi holds the stack lock, so this is the only running update of the stack. Releases that others own
are never touched. Existing objects have the release's name in an annotation, by which Helm adopts them. After the
create, they are compared with the manifest and repaired (`mesh.helm.former_release`). Before a create, CRDs that are
still Terminating must be gone, because Helm would adopt them too.

Follows https://helm.sh/docs/topics/advanced/#storage-backends (the Secrets, their names and labels).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from components.cluster import Cluster
from components.helm import terminating_crds
from components.helm.release_drift import ReleaseDrift
from components.sdk.hooks import Hook, HookStep, create_namespace_hook, create_step_hook

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.helm import drift, former_release, release_storage
from mesh.helm.manifest import find_objects
from mesh.kube import client as kube_client
from mesh.kube.client import KubeClient
from mesh.kube.errors import ApiStatusError, ApiUnreachableError, to_single_line
from mesh.readiness.conditions import WAITED_KINDS
from mesh.readiness.diagnosis import RemedySettings
from mesh.readiness.wait import ReadinessWait

# Helm upgrades a release only if at least one revision has one of these statuses.
_UPGRADABLE_STATUSES = {"deployed", "failed", "superseded"}
_INTERRUPTED_DESCRIPTION = "an update was interrupted before Helm stored the result"


OnReady = Callable[[KubeClient, Callable[[str], None]], None]


class ReleaseOwnedElsewhereError(Exception):
    """A release of this name exists and does not belong to this stack."""


class ReleaseNotFinalizedError(Exception):
    """Helm installed the release, but its revision could not be marked as deployed, or its objects not be read."""


@dataclass(frozen=True, kw_only=True)
class HelmRelease:
    """A Helm release and the resource for its drift."""

    # When this resource is done, the objects exist, unless an earlier `destroy` was interrupted while it deleted them.
    release: Release
    # When this resource is done, missing objects of the release are repaired, and all objects are ready.
    ready: ReleaseDrift


def create_helm_release(
    resource_name: str,
    *,
    cluster: Cluster,
    name: str,
    namespace: pulumi.Input[str],
    chart: str,
    version: str | None,
    source: str | None,
    values: Mapping[str, Any],
    opts: pulumi.ResourceOptions,
    awaits_address: bool = True,
    on_installed: Callable[[str], None] | None = None,
    on_ready: OnReady | None = None,
) -> HelmRelease:
    """Register a Helm release of one chart, its recovery hooks and its drift resource.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: the cluster.
        name: name of the release, at most 53 characters.
        namespace: namespace of the release; it must exist.
        chart: name of the chart, or its folder if there is no source.
        version: version of the chart, if there is a source.
        source: URL of a chart repository, an `oci://` reference, or a folder of chart archives.
        values: values that differ from the chart's defaults.
        opts: further resource options; the provider is the cluster's.
        awaits_address: whether a Service of type LoadBalancer is ready only with an address.
        on_installed: called with the namespace after each update, and after a create on a cluster that adopts objects.
        on_ready: called with a client, and a function that reports a status line, when all objects are ready.
    """
    location: dict[str, Any]
    if source is None:
        location = {"chart": chart}
    elif source.startswith("oci://"):
        location = {"chart": f"{source.rstrip('/')}/{chart}", "version": version}
    elif Path(source).is_dir():
        location = {"chart": str(Path(source) / f"{chart}-{version}.tgz")}
    else:
        location = {"chart": chart, "version": version, "repository_opts": RepositoryOptsArgs(repo=source)}
    after = pulumi.ResourceHook(f"{resource_name}-after", create_namespace_hook(on_installed)) if on_installed else None
    before_create = _create_clear_pending_hook(cluster, name, is_create=True)
    before_update = _create_clear_pending_hook(cluster, name, is_create=False)
    take_over = pulumi.ResourceHook(f"{resource_name}-take-over", _create_take_over_hook(cluster, name))
    hooks = pulumi.ResourceHookBinding(
        before_create=[pulumi.ResourceHook(f"{resource_name}-clear-pending-create", before_create)],
        before_update=[pulumi.ResourceHook(f"{resource_name}-clear-pending-update", before_update)],
        # If it is interrupted, the drift resource's hook continues it.
        after_create=[*([after] if after is not None and cluster.settings.adopt else ()), take_over],
        after_update=[after] if after is not None else None,
    )
    release = Release(
        resource_name,
        name=name,
        namespace=namespace,
        values=dict(values),
        description=cluster.identity.revision_description,
        create_namespace=False,
        # The hooks of Linkerd's charts only label a namespace, which this program has already done.
        disable_webhooks=True,
        skip_await=True,
        # From Kubernetes 1.25 on, Helm's validation accepts any field, and after a new CRD it takes up to two seconds.
        disable_openapi_validation=True,
        # Helm deletes objects that a failed upgrade created.
        cleanup_on_fail=True,
        max_history=5,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=cluster.provider, hooks=hooks)),
        **location,
    )
    settle = pulumi.ResourceHook(
        f"{resource_name}-settle",
        _create_settle_hook(cluster, name, Path(chart).name, awaits_address=awaits_address, on_ready=on_ready),
    )
    ready = ReleaseDrift(
        f"{resource_name}-drift",
        cluster=cluster,
        namespace=namespace,
        release=name,
        revision=release.status.revision,
        opts=pulumi.ResourceOptions(
            parent=opts.parent,
            hooks=pulumi.ResourceHookBinding(before_create=[settle], before_update=[settle]),
        ),
    )
    return HelmRelease(release=release, ready=ready)


def is_stale_revision(secret: Mapping[str, Any], *, is_create: bool, description: str, adopt: bool = False) -> bool:
    """Return whether a revision blocks the next operation and may be deleted.

    Args:
        secret: the Secret of the revision.
        is_create: whether Pulumi is about to create the release, or else to update it.
        description: description of this stack's revisions.
        adopt: whether to adopt a release of another owner.

    Raises:
        ReleaseOwnedElsewhereError: Pulumi is about to create a release that another owner has created.
    """
    status = release_storage.revision_status(secret)
    if status.startswith("pending-"):
        return True
    if not is_create:
        return status == "uninstalling"
    if adopt:
        return True
    release = release_storage.decode_release(secret)
    # Helm sets the description of a failed revision itself. Pulumi keeps failed releases in its state, so it died
    # before it could save this one.
    if release["info"].get("description") != description and status != "failed":
        metadata = secret["metadata"]
        raise ReleaseOwnedElsewhereError(
            f"release {metadata['labels']['name']} in namespace {metadata['namespace']} exists already and does "
            "not belong to this stack; uninstall it (helm uninstall), or set `adopt: true` on the cluster to adopt it"
        )
    return True


def failed_revision(secrets: Sequence[Mapping[str, Any]], name: str, namespace: str) -> dict[str, Any] | None:
    """Return the failed revision that Helm needs before an upgrade, or None if Helm can upgrade without it.

    Args:
        secrets: Secrets of all revisions of the release.
        name: name of the release.
        namespace: namespace of the release.
    """
    if any(release_storage.revision_status(secret) in _UPGRADABLE_STATUSES for secret in secrets):
        return None
    if secrets:
        latest = max(secrets, key=release_storage.revision_number)
        release, number = release_storage.decode_release(latest), release_storage.revision_number(latest)
    else:
        never = "0001-01-01T00:00:00Z"
        release, number = {"name": name, "namespace": namespace, "version": 1, "manifest": ""}, 1
        release["info"] = {"first_deployed": never, "last_deployed": never, "deleted": ""}
    release["info"] |= {"status": "failed", "description": _INTERRUPTED_DESCRIPTION}
    return release_storage.revision_secret(name, namespace, number, release)


def deployed_revision(secret: Mapping[str, Any], *, description: str) -> dict[str, Any]:
    """Return the revision of an installed release with the status that Helm failed to store.

    Args:
        secret: Secret of the revision, in status `pending-install` or `uninstalling`.
        description: description of this stack's revisions.
    """
    release, metadata = release_storage.decode_release(secret), secret["metadata"]
    release["info"] |= {"status": "deployed", "description": description, "deleted": ""}
    return {
        **secret,
        "metadata": {**metadata, "labels": {**metadata["labels"], "status": "deployed"}},
        "data": {"release": release_storage.encode_release(release)},
    }


def _create_clear_pending_hook(cluster: Cluster, name: str, *, is_create: bool) -> Hook:
    description = cluster.identity.revision_description
    access, adopt = cluster.access, cluster.settings.adopt

    def clear_pending(namespace: str) -> None:
        client = kube_client.connect(access)
        secrets = release_storage.list_revisions(client, namespace, name)
        failed = None if is_create else failed_revision(secrets, name, namespace)
        stale = [
            secret
            for secret in secrets
            if is_stale_revision(secret, is_create=is_create, description=description, adopt=adopt)
        ]
        if is_create:
            former_release.keep_former_release(client, namespace, name, stale)
        for secret in stale:
            release_storage.delete_revision(client, secret)
            number = release_storage.revision_number(secret)
            if adopt and is_create:
                pulumi.log.info(f"{cluster.name}: adopted revision {number} of release {name}")
            else:
                pulumi.log.info(
                    f"{cluster.name}: deleted revision {number} of release {name}, left by an interrupted update"
                )
        if failed is not None:
            release_storage.create_revision(client, failed)
        if is_create:
            terminating_crds.wait_for_crd_deletion(client, cluster.name, name, namespace)

    return create_namespace_hook(clear_pending)


def _create_settle_hook(
    cluster: Cluster,
    name: str,
    chart: str,
    *,
    awaits_address: bool,
    on_ready: OnReady | None,
) -> Hook:
    """Return the hook that finalizes a release, repairs its objects, and waits until they are ready."""
    access, limits = cluster.access, cluster.wait_limits
    settings = RemedySettings(cluster=cluster.name, owner=name, chart=chart, context=cluster.settings.context.name)

    def settle(step: HookStep) -> None:
        namespace = str(step.inputs["namespace"])
        client = kube_client.connect(access)
        try:
            _finalize_release(client, cluster, namespace, name)
            _take_over_objects(client, cluster.name, namespace, name)
            if step.old_outputs.get("drift"):
                _repair_drift(client, cluster.name, namespace, name)
            revision = release_storage.read_latest_revision(client, namespace, name)
        except ApiUnreachableError as error:
            raise ReleaseNotFinalizedError(
                f"{cluster.name}: release {name}: {error}; start the cluster again, then run `pulumi up` again"
            ) from None
        ReadinessWait(
            client,
            find_objects(revision.manifest, WAITED_KINDS) if revision is not None else (),
            namespace=namespace,
            settings=settings,
            limits=limits,
            awaits_address=awaits_address,
            report=step.report_status,
        ).run()
        if on_ready is not None:
            on_ready(client, step.report_status)

    return create_step_hook(settle)


def _finalize_release(client: KubeClient, cluster: Cluster, namespace: str, name: str) -> None:
    """Complete a release that Helm was uninstalling, or could not mark as deployed."""
    secrets = release_storage.list_revisions(client, namespace, name, ("pending-install", "uninstalling"))
    if any(release_storage.revision_status(secret) == "uninstalling" for secret in secrets):
        _repair_drift(client, cluster.name, namespace, name)
    for secret in secrets:
        revision = deployed_revision(secret, description=cluster.identity.revision_description)
        try:
            release_storage.update_revision(client, revision)
        except ApiStatusError as error:
            raise ReleaseNotFinalizedError(
                f"{cluster.name}: release {name}: Helm installed it but could not mark its revision as deployed: "
                f"{to_single_line(error.message)}; remove that cause, then run `pulumi up` again"
            ) from None
        pulumi.log.info(f"{cluster.name}: marked release {name} as deployed, which Helm could not do")


def _repair_drift(client: KubeClient, cluster: str, namespace: str, name: str) -> None:
    for repaired in drift.repair_drift(client, namespace, name):
        pulumi.log.info(f"{cluster}: repaired: {repaired}")


def _create_take_over_hook(cluster: Cluster, name: str) -> Hook:
    access = cluster.access

    def take_over(namespace: str) -> None:
        _take_over_objects(kube_client.connect(access), cluster.name, namespace, name)

    return create_namespace_hook(take_over)


def _take_over_objects(client: KubeClient, cluster: str, namespace: str, name: str) -> None:
    for change in former_release.take_over_objects(client, namespace, name):
        pulumi.log.info(f"{cluster}: release {name}: {change}")
