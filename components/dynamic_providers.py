"""Dynamic providers of the program. FROZEN: no class in this module may be renamed or moved.

The stack state refers to each provider by module path and class name. Pulumi loads the provider from old outputs for
`refresh` and `destroy`. After a rename, both would fail in every existing stack; `tests/unit/test_dynamic_providers.py`
checks the names. Follows https://www.pulumi.com/docs/iac/concepts/resources/dynamic-providers/.

Pulumi runs the providers in a process of their own, without the program. A provider has only the stack state's
properties. Each method imports its dependencies itself, because the process starts again with every command.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

if TYPE_CHECKING:
    from mesh.kube.client import KubeClient

# Reading a release's CRDs before their deletion only saves time, so the provider does not wait for a slow API server.
_WARM_UP_TIMEOUT_S = 5
# A report on a namespace must not be late because of one slow response.
_NAMESPACE_TIMEOUT_S = 10


class StateProvider(ResourceProvider):
    """Base class of providers whose resource exists in the stack state only.

    `create` and `update` persist the properties in `keys`. Subclasses do their work in `delete`, `read` or `update`.
    """

    # The provider contains no secret, so Pulumi need not encrypt it.
    serialize_as_secret_always = False

    keys: ClassVar[tuple[str, ...]]  # properties that the state keeps
    id_keys: ClassVar[tuple[str, ...]]  # properties that identify the resource, in the order of its ID

    def resource_id(self, props: dict[str, Any]) -> str:
        """Return the ID of a resource with these properties."""
        return "/".join(str(props[key]) for key in self.id_keys)

    def persisted(self, props: dict[str, Any]) -> dict[str, Any]:
        """Return the properties that the stack state keeps."""
        return {key: props[key] for key in self.keys if props.get(key) is not None}

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Create the resource in the stack state."""
        return CreateResult(id_=self.resource_id(props), outs=self.persisted(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Report a change if a persisted property differs."""
        return DiffResult(changes=self.persisted(_olds) != self.persisted(_news))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Persist the new properties."""
        return UpdateResult(outs=self.persisted(_news))


class ReleaseDriftProvider(StateProvider):
    """Provider of `components.helm.release_drift.ReleaseDrift`."""

    keys = ("cluster", "context", "kubeconfig", "uid", "namespace", "release", "revision")
    id_keys = ("cluster", "namespace", "release")

    def persisted(self, props: dict[str, Any]) -> dict[str, Any]:
        """Return the persisted properties, with no drift."""
        return {**super().persisted(props), "drift": []}

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Compare the release's manifest with the cluster, and warn of each object that drifted."""
        from mesh.helm import drift
        from mesh.kube.cluster_uid import WrongClusterError
        from mesh.kube.errors import ApiUnreachableError, BadCredentialsError

        release = f"{props['cluster']}: release {props['release']}"
        try:
            client = _connect(props)
            drifted = [str(each) for each in drift.find_drift(client, props["namespace"], props["release"])]
        except WrongClusterError:  # `ClusterIdentities` reports it once per cluster
            return ReadResult(id_, props)
        except (ApiUnreachableError, BadCredentialsError, TimeoutError) as error:
            # A warning is enough: Pulumi's own refresh fails if the cluster cannot be reached.
            pulumi.log.warn(f"{release}: drift cannot be detected: {error}")
            return ReadResult(id_, props)
        for each in drifted:
            # The preview itself shows only that this resource will be updated.
            pulumi.log.warn(f"{release}: drifted: {each}")
        return ReadResult(id_, {**self.persisted(props), "drift": drifted})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Report a change if a property differs or the last refresh found drift, which a hook repairs."""
        return DiffResult(changes=self.persisted(_olds) != self.persisted(_news) or bool(_olds.get("drift")))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Read every CRD of the release, so that the API server deletes it at once when Helm uninstalls the release."""
        from components.helm import terminating_crds
        from mesh.kube.errors import ApiUnreachableError, BadCredentialsError, NotReadableError

        # A CRD that could not be read is deleted later, by the API server's own retry.
        with (
            _skipped_on_another_cluster(),
            suppress(NotReadableError, ApiUnreachableError, BadCredentialsError, TimeoutError),
        ):
            client = _connect(_props, timeout_s=_WARM_UP_TIMEOUT_S)
            terminating_crds.warm_crd_storage(client, _props["release"], _props["namespace"])


class RetainedCrdsProvider(StateProvider):
    """Provider of `components.helm.retained_crds.RetainedCrds`."""

    keys = ("cluster", "context", "kubeconfig", "uid", "release", "namespace")
    id_keys = ("cluster", "release")

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete the CRDs that Helm retained, and warn of each that has to stay."""
        from components.helm.retained_crds import delete_retained_crds
        from mesh.kube.client import CONNECT_TIMEOUT_S

        with _skipped_on_another_cluster():
            client = _connect(_props, connect_timeout_s=CONNECT_TIMEOUT_S)
            for warning in delete_retained_crds(client, _props["release"], _props["namespace"]):
                pulumi.log.warn(f"{_props['cluster']}: {warning}")


class MirrorCleanupProvider(StateProvider):
    """Provider of `components.linkerd.mirror_cleanup.MirrorCleanup`."""

    keys = ("source", "context", "kubeconfig", "uid", "namespace", "target", "controller", "credentialsChecksum")
    id_keys = ("source", "target")

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Report a replacement if the target is renamed, so that the mirrors with its old name are deleted."""
        is_renamed = _olds.get("target") != _news.get("target")
        # A rebuilt source has no such mirrors, and the old one cannot be asked.
        is_rebuilt = "uid" in _olds and _olds["uid"] != _news.get("uid")
        replaces = ["target"] if is_renamed and not is_rebuilt else []
        return DiffResult(changes=self.persisted(_olds) != self.persisted(_news), replaces=replaces)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Restart the link's controller if its credentials changed."""
        controller, checksum = _news.get("controller"), _news.get("credentialsChecksum")
        if controller and _olds.get("controller") == controller and _olds.get("credentialsChecksum") != checksum:
            from components.linkerd import controller_restart

            client = _connect(_news)
            controller_restart.restart_controller(client, _news["namespace"], controller, str(checksum))
        return UpdateResult(outs=self.persisted(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete the mirror Services that the link's controller created."""
        from components.linkerd import mirror_cleanup

        with _skipped_on_another_cluster():
            client = _connect(_props)
            mirror_cleanup.delete_mirrors(client, _props["namespace"], _props["target"])


class ExportCleanupProvider(StateProvider):
    """Provider of `components.services.export_cleanup.ExportCleanup`."""

    id_keys = ("target", "namespace", "service", "source")
    keys = (
        *id_keys,
        "federated",
        *("targetContext", "targetKubeconfig", "targetUid"),
        *("sourceContext", "sourceKubeconfig", "sourceUid"),
    )

    def resource_id(self, props: dict[str, Any]) -> str:
        """Return the ID, with a suffix for a member of a federated service."""
        return super().resource_id(props) + ("/member" if props.get("federated") else "")

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Wait until the service's mirror or membership is gone, and delete what remains at the deadline."""
        from components.services import export_cleanup

        export_cleanup.delete_export(_props, time.monotonic() + export_cleanup.MIRROR_DELETION_TIMEOUT_S)


class ServiceExportProvider(StateProvider):
    """Provider of `components.services.service_export.ServiceExport`, whose hook sets the label."""

    id_keys = ("cluster", "namespace", "service", "label")
    keys = (*id_keys, "context", "kubeconfig", "uid", "objectUid", "value", "fieldManager", "adopt")

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Read the label, so that `up` sets a label that was changed or removed."""
        from components.services import service_export
        from mesh.kube.cluster_uid import WrongClusterError
        from mesh.kube.errors import KubeError

        # Pulumi's own refresh reports a cluster that cannot be reached, `ClusterIdentities` one that is another one.
        with suppress(WrongClusterError, KubeError):
            value = service_export.read_export(_connect(props), props)
            if value is None:
                return ReadResult("", {})  # without an ID, Pulumi drops the export: its Service does not exist either
            return ReadResult(id_, {**self.persisted(props), "value": value})
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Remove the label."""
        from components.services import service_export

        with _skipped_on_another_cluster():
            service_export.remove_export(_connect(_props), _props)


class ObjectMetadataProvider(StateProvider):
    """Provider of `components.services.object_metadata.ObjectMetadata`, whose hook sets the annotations."""

    id_keys = ("cluster", "kind", "namespace", "name", "fieldManager")
    keys = (*id_keys, "context", "kubeconfig", "uid", "objectUid", "annotations", "adopt")

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Read the annotations, so that `up` sets those that were changed or removed."""
        from components.services import object_metadata
        from mesh.kube.applied_metadata import read_metadata
        from mesh.kube.cluster_uid import WrongClusterError
        from mesh.kube.errors import KubeError

        # Pulumi's own refresh reports a cluster that cannot be reached, `ClusterIdentities` one that is another one.
        with suppress(WrongClusterError, KubeError):
            live = read_metadata(_connect(props), object_metadata.parse_props(props))
            # Without an ID, Pulumi drops the resource: its object does not exist either.
            if live is None:
                return ReadResult("", {})
            return ReadResult(id_, {**self.persisted(props), "annotations": live["annotations"]})
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Remove the annotations."""
        from components.services import object_metadata
        from mesh.kube.applied_metadata import remove_metadata

        with _skipped_on_another_cluster():
            remove_metadata(_connect(_props), object_metadata.parse_props(_props))


class ProxyCleanupProvider(StateProvider):
    """Provider of `components.services.namespace_membership.ProxyCleanup`."""

    id_keys = ("cluster", "namespace")
    keys = (*id_keys, "context", "kubeconfig", "uid", "fieldManager")

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Restart the workloads that still have a proxy, and warn of each that keeps it."""
        from components.services import namespace_membership
        from mesh.kube.client import CONNECT_TIMEOUT_S
        from mesh.kube.errors import KubeError

        with _skipped_on_another_cluster():
            try:
                client = _connect(_props, connect_timeout_s=CONNECT_TIMEOUT_S)
                namespace_membership.remove_proxies(client, _props, report=pulumi.log.info, warn=pulumi.log.warn)
            except KubeError as error:  # a proxy that stays must not prevent the deletion of the mesh
                pulumi.log.warn(namespace_membership.format_remaining(_props, str(error)))


class NamespaceDeletionProvider(StateProvider):
    """Provider of `components.namespace.NamespaceDeletion`."""

    keys = ("cluster", "context", "kubeconfig", "uid", "namespace")
    id_keys = ("cluster", "namespace")

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Report a replacement if the namespace has another name, so that the update waits for the old one."""
        replaces = ["namespace"] if _olds.get("namespace") != _news.get("namespace") else []
        return DiffResult(changes=self.persisted(_olds) != self.persisted(_news), replaces=replaces)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Wait until the namespace is deleted, and report the causes that delay its deletion."""
        from components import namespace
        from mesh.kube.client import CONNECT_TIMEOUT_S
        from mesh.kube.errors import BadCredentialsError

        # The provider of the namespace itself reports credentials that cannot be used.
        with _skipped_on_another_cluster(), suppress(BadCredentialsError):
            client = _connect(_props, timeout_s=_NAMESPACE_TIMEOUT_S, connect_timeout_s=CONNECT_TIMEOUT_S)
            namespace.wait_for_deletion(client, _props["cluster"], _props["namespace"], pulumi.log.warn)


class ClusterIdentitiesProvider(StateProvider):
    """Provider of `components.identity.ClusterIdentities`."""

    keys = ("clusters", "uids")
    id_keys = ()

    def resource_id(self, props: dict[str, Any]) -> str:
        """Return a constant: a stack has one resource of this type."""
        return "clusters"

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Warn if a context leads to another cluster: its resources are then removed from the stack state."""
        from mesh.kube import cluster_uid

        try:
            cluster_uid.require_clusters(json.loads(props["clusters"]))
        except cluster_uid.WrongClusterError as error:
            pulumi.log.warn(str(error))
        return ReadResult(id_, props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Check the clusters that were removed from the stack file, before Pulumi deletes their resources."""
        from mesh.kube import cluster_uid

        with _hidden_tracebacks():
            cluster_uid.require_clusters(json.loads(_olds["clusters"]), keep=_news["keep"])
        return super().update(_id, _olds, _news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Check all clusters, before Pulumi deletes anything."""
        from mesh.kube import cluster_uid

        with _hidden_tracebacks():
            cluster_uid.require_clusters(json.loads(_props["clusters"]))


class DashboardUserProvider(StateProvider):
    """Provider of `components.linkerd.dashboard_user.DashboardUser`: generates a password once."""

    keys = ("user", "given")
    id_keys = ()

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Use the configured password, or generate one."""
        return CreateResult(id_="dashboard", outs=_user_outputs(props, props.get("given") or _new_password()))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Keep a generated password; replace a configured one that was removed."""
        previous = _new_password() if _olds.get("given") else _olds["password"]
        return UpdateResult(outs=_user_outputs(_news, _news.get("given") or previous))


def _new_password() -> str:
    return secrets.token_urlsafe(24)


def _user_outputs(props: dict[str, Any], password: str) -> dict[str, Any]:
    from components.linkerd.htpasswd import htpasswd_entry

    user = {"user": props["user"], "given": props.get("given"), "password": password}
    return {**user, "htpasswd": htpasswd_entry(props["user"], password)}


def _connect(props: dict[str, Any], **timeouts_s: float) -> KubeClient:
    from mesh.kube import client as kube_client
    from mesh.kube import cluster_uid
    from mesh.kube.connection import access_from_props

    client = kube_client.connect(access_from_props(props), **timeouts_s)
    if "uid" in props:
        with _hidden_tracebacks():
            cluster_uid.require_cluster(client, str(props.get("cluster", props.get("source"))), props["uid"])
    return client


@contextmanager
def _skipped_on_another_cluster() -> Iterator[None]:
    """Skip a deletion on another cluster: the stack's cluster was rebuilt or abandoned, so nothing is left of it.

    If only the context is wrong, the preflight or `ClusterIdentities` has prevented the deletion.
    """
    from mesh.kube.cluster_uid import WrongClusterError

    with suppress(WrongClusterError):
        yield


@contextmanager
def _hidden_tracebacks() -> Iterator[None]:
    """Let Pulumi show only the message of an error: it formats each error of a provider with its traceback."""
    try:
        yield
    except Exception:
        sys.tracebacklimit = 0
        raise
