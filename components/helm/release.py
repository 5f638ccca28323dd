"""A Helm release as every component of this program makes one, whatever a killed update has left of it.

Helm writes a record of each revision of a release into a Secret, pending until its operation is done.
Two things keep a killed update from being followed by another one. Helm refuses every operation while the newest record
is pending, for ever if the process that wrote it is dead. And it refuses to install a release that exists, as one does
that was finished while Pulumi, killed, could not write it down any more.

So before Pulumi creates a release, its records are removed if this stack has made them, and before an update those that
are pending. Objects that are there already carry the release's name, by which Helm takes them over. It is safe because
Pulumi lets one update of a stack run at a time: who creates or updates knows that nobody else is at it. A release that
somebody else has made is left alone, and said so.

Helm also refuses to upgrade a release that was never deployed and never failed. With one that it knows, Pulumi tries
nothing else; and it knows one whose first record got lost, or could not be brought to an end, because the API server
went. So before an update such a release is given what Helm itself would have left: a record that it failed.

Two other things Pulumi takes for a release that is as it was made. Helm calls an installation done although its record
could not be brought to an end, as where a webhook refuses that. And a `destroy` that was interrupted may have removed
some of a release's objects, of which Helm has written down no more than that it is at it. So what comes after a release
waits until that was made up for, record and objects; where it can't be, `up` fails, and the next one tries again.

And Helm takes over what is there although it is on its way out, as CRDs may be for minutes. So before Pulumi creates a
release, those of the one before it must be gone.

Follows https://helm.sh/docs/topics/advanced/#storage-backends (the Secrets, their names and labels).
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from components.cluster import Cluster
from components.helm import terminating_crds
from components.helm.release_drift import ReleaseDrift
from components.sdk.hooks import Hook, namespace_hook
from mesh.helm import drift  # not in the hook, which runs when Pulumi has taken the program's folder off the path
from mesh.kube import client as kube_client

# What Helm upgrades from: what is there, or what there was.
_UPGRADABLE_STATUSES = {"deployed", "failed", "superseded"}
_INTERRUPTED_DESCRIPTION = "an update was interrupted before it could say how this ended"


class ReleaseOwnedElsewhereError(Exception):
    """A release of this name exists, and this stack has not made it."""


class ReleaseNotFinalizedError(Exception):
    """A release is installed, and this can't be written down."""


@dataclass(frozen=True, kw_only=True)
class HelmRelease:
    """A release, and its upkeep beside it."""

    release: Release
    drift_repair: (
        ReleaseDrift  # what to depend on: an `up` that mends has brought back by then what of the release was missing
    )


def helm_release(
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
    wait: bool = True,
    after: Callable[[str], None] | None = None,
) -> HelmRelease:
    """A release of one chart.

    Args:
        resource_name: the Pulumi resource's name.
        cluster: where it goes.
        name: the release's name in the cluster, at most 53 characters.
        namespace: where it goes there; it must exist.
        chart: the chart's name, or without a source the folder that it is in.
        version: the chart's version, where there is a source.
        source: a chart repository's URL, an `oci://` reference, or a folder of chart archives.
        values: what differs from the chart's own values.
        opts: further resource options; the provider is the cluster's.
        wait: whether to wait until what it makes is ready, at most five minutes.
        after: what is done, with the namespace, each time that it has been created or updated.
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
    done = pulumi.ResourceHook(f"{resource_name}-after", namespace_hook(after)) if after is not None else None
    hooks = pulumi.ResourceHookBinding(
        before_create=[
            pulumi.ResourceHook(f"{resource_name}-make-way", _clear_pending_hook(cluster, name, creating=True))
        ],
        before_update=[
            pulumi.ResourceHook(f"{resource_name}-unblock", _clear_pending_hook(cluster, name, creating=False))
        ],
        after_create=[done] if done is not None else None,
        after_update=[done] if done is not None else None,
    )
    made = Release(
        resource_name,
        name=name,
        namespace=namespace,
        values=dict(values),
        description=_revision_description(),
        create_namespace=False,
        # The hooks of Linkerd's charts do one thing: they label a namespace, which this program has done already.
        disable_webhooks=True,
        skip_await=not wait,
        # What a failed upgrade has made is taken away again.
        cleanup_on_fail=True,
        max_history=5,
        timeout=300,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=cluster.provider, hooks=hooks)),
        **location,
    )
    completing = pulumi.ResourceHook(f"{resource_name}-complete", _finalize_release_hook(cluster, name, wait=wait))
    kept = ReleaseDrift(
        f"{resource_name}-drift",
        cluster=cluster,
        namespace=namespace,
        release=name,
        wait=wait,
        opts=pulumi.ResourceOptions(
            parent=opts.parent,
            depends_on=[made],
            hooks=pulumi.ResourceHookBinding(before_create=[completing], before_update=[completing]),
        ),
    )
    return HelmRelease(release=made, drift_repair=kept)


def is_stale_revision(record: Mapping[str, Any], *, creating: bool, description: str, adopting: bool = False) -> bool:
    """Whether a record of a release stands in the way of an operation, and may be removed.

    Args:
        record: the Secret, as the Kubernetes API has it.
        creating: whether the release is about to be created, or else updated.
        description: what the records of this stack are described by.
        adopting: whether a release that somebody else has made is to be taken over.

    Raises:
        ForeignRelease: the release is about to be created, and somebody else has done so already.
    """
    labels = record["metadata"]["labels"]
    if labels["status"].startswith("pending-"):
        return True
    if not creating:
        return str(labels["status"]) == "uninstalling"
    if adopting:
        return True
    found = decode_release(record)
    # Helm describes a failure itself; Pulumi keeps a failed release in its state, so this one it was killed over.
    if found["info"].get("description") != description and labels["status"] != "failed":
        raise ReleaseOwnedElsewhereError(
            f"release {labels['name']} in namespace {record['metadata']['namespace']} exists already and was not made "
            "by this stack; uninstall it (helm uninstall), or set `adopt: true` on the cluster to take it over"
        )
    return True


def failed_revision(records: Sequence[Mapping[str, Any]], name: str, namespace: str) -> dict[str, Any] | None:
    """The record that a release must have before Helm upgrades it: that it failed; None if it has one to start from.

    Args:
        records: all that there are of the release.
        name: the release's name.
        namespace: where it is.
    """
    if any(record["metadata"]["labels"]["status"] in _UPGRADABLE_STATUSES for record in records):
        return None
    if records:
        newest = max(records, key=lambda record: int(record["metadata"]["labels"]["version"]))
        content, revision = decode_release(newest), newest["metadata"]["labels"]["version"]
    else:
        never = "0001-01-01T00:00:00Z"
        content, revision = {"name": name, "namespace": namespace, "version": 1, "manifest": ""}, "1"
        content["info"] = {"first_deployed": never, "last_deployed": never, "deleted": ""}
    content["info"] |= {"status": "failed", "description": _INTERRUPTED_DESCRIPTION}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": f"sh.helm.release.v1.{name}.v{revision}",
            "namespace": namespace,
            "labels": {"name": name, "owner": "helm", "status": "failed", "version": revision},
        },
        "data": {"release": encode_release(content)},
    }


def deployed_revision(record: Mapping[str, Any], *, description: str) -> dict[str, Any]:
    """The record of a release that is there, as Helm would have brought it to its end.

    Args:
        record: the Secret, which says that the release is still to be installed, or about to be uninstalled.
        description: what the records of this stack are described by.
    """
    content, metadata = decode_release(record), record["metadata"]
    content["info"] |= {"status": "deployed", "description": description, "deleted": ""}
    return {
        **record,
        "metadata": {**metadata, "labels": {**metadata["labels"], "status": "deployed"}},
        "data": {"release": encode_release(content)},
    }


def decode_release(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the release that a Secret of Helm's storage contains."""
    encoded = base64.b64decode(base64.b64decode(record["data"]["release"]))
    found: dict[str, Any] = json.loads(gzip.decompress(encoded))
    return found


def encode_release(content: Mapping[str, Any]) -> str:
    """Return a release as Helm stores it in a Secret: gzip, and base64 twice."""
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode()))).decode()


def _revision_description() -> str:
    """What Helm lists as a release's description: whose it is."""
    return f"{pulumi.get_project()} stack {pulumi.get_stack()}"


def _clear_pending_hook(cluster: Cluster, name: str, *, creating: bool) -> Hook:
    description = _revision_description()
    way, adopting = cluster.access, cluster.settings.adopt

    def make_way(namespace: str) -> None:
        api = kube_client.api_client(way)
        secrets = f"/api/v1/namespaces/{namespace}/secrets"
        records = kube_client.list_objects(api, secrets, f"owner=helm,name={name}")
        failed = None if creating else failed_revision(records, name, namespace)
        for record in records:
            if is_stale_revision(record, creating=creating, description=description, adopting=adopting):
                kube_client.request(api, "DELETE", f"{secrets}/{record['metadata']['name']}")
                revision = record["metadata"]["labels"]["version"]
                what = "took over" if adopting and creating else "removed what an unfinished update left of"
                pulumi.log.info(f"{cluster.name}: {what} release {name} ({revision})")
        if failed is not None:
            kube_client.request(api, "POST", secrets, body=failed)
        if creating:
            terminating_crds.wait_for_crd_deletion(api, cluster.name, name, namespace)

    return namespace_hook(make_way)


def _finalize_release_hook(cluster: Cluster, name: str, *, wait: bool) -> Hook:
    description, way = _revision_description(), cluster.access

    def complete(namespace: str) -> None:
        from kubernetes.client import ApiException

        api = kube_client.api_client(way)
        secrets = f"/api/v1/namespaces/{namespace}/secrets"
        records = kube_client.list_objects(
            api, secrets, f"owner=helm,name={name},status in (pending-install,uninstalling)"
        )
        if any(record["metadata"]["labels"]["status"] == "uninstalling" for record in records):
            for mended in drift.repair_drift(api, namespace, name, wait=wait):
                pulumi.log.info(f"{cluster.name}: mended: {mended}")
        for record in records:
            try:
                body = deployed_revision(record, description=description)
                kube_client.request(api, "PUT", f"{secrets}/{record['metadata']['name']}", body=body)
            except ApiException as error:
                raise ReleaseNotFinalizedError(
                    f"{cluster.name}: release {name} is installed, and Helm's record of it can't be brought to an end: "
                    f"{kube_client.error_message(error)}; see to that, and run `pulumi up` again"
                ) from None
            pulumi.log.info(f"{cluster.name}: wrote down that release {name} is installed, which Helm hadn't")

    return namespace_hook(complete)
