"""Snapshot of each cluster before a review: credentials, API discovery, or the reason why it cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mesh import config
from mesh.helm import release_storage
from mesh.helm.release_storage import ReleaseRevision
from mesh.kube import client as kube_client
from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.connection import Access
from mesh.kube.errors import ApiUnreachableError, BadCredentialsError, NotReadableError
from review import discovery
from review.discovery import ApiResources

# Without read access to these resources, Pulumi's preview of the cluster fails.
_REQUIRED_RESOURCES = ("namespaces", "services", "configmaps")


@dataclass(frozen=True, kw_only=True)
class ClusterSnapshot:
    """A cluster, or the reason why it cannot be read."""

    name: str
    access: Access | None = None
    api: KubeClient | None = field(default=None, repr=False)
    api_resources: ApiResources = field(default_factory=ApiResources)
    error: str | None = None  # reason why the cluster cannot be read

    def read_revision(self, namespace: str, name: str) -> ReleaseRevision | None:
        """Return the latest revision of a Helm release, or None if Helm stores none.

        Raises:
            NotReadableError: the revision cannot be read.
        """
        if self.api is None:
            raise NotReadableError(f"cluster {self.name} ({self.error or 'not contacted'})")
        try:
            return release_storage.read_latest_revision(self.api, namespace, name)
        except (ApiUnreachableError, BadCredentialsError) as error:
            raise NotReadableError(f"Helm's revisions in namespace {namespace} ({error})") from None


def inspect_clusters(clusters: Sequence[config.ClusterSettings], timeout: float) -> dict[str, ClusterSnapshot]:
    """Return snapshots of all clusters of a stack, by name.

    Args:
        clusters: the clusters. Clusters declared unreachable are not contacted.
        timeout: seconds for each answer.
    """
    accesses = {
        cluster.name: Access(context=cluster.context.name, kubeconfig=cluster.kubeconfig)
        for cluster in clusters
        if cluster.reachable
    }
    unreachable = {
        cluster.name: ClusterSnapshot(name=cluster.name, error="declared unreachable in the stack file")
        for cluster in clusters
        if not cluster.reachable
    }
    return {**take_snapshots(accesses, timeout), **unreachable}


def take_snapshots(accesses: Mapping[str, Access], timeout: float) -> dict[str, ClusterSnapshot]:
    """Contact clusters concurrently and return their snapshots, by name.

    Args:
        accesses: credentials by cluster name.
        timeout: seconds for each answer.
    """
    # Import here: concurrent first imports in several threads can fail with a partially imported package.
    import kubernetes.client  # noqa: F401

    with ThreadPoolExecutor(max_workers=max(1, len(accesses))) as pool:
        snapshots = pool.map(lambda name: _take_snapshot(name, accesses[name], timeout), accesses)
    return dict(zip(accesses, snapshots, strict=True))


def _take_snapshot(name: str, access: Access, timeout: float) -> ClusterSnapshot:
    try:
        api = kube_client.connect(access, timeout_s=timeout)
        api_resources = discovery.discover(api)
        for resource in _REQUIRED_RESOURCES:
            api.get(f"/api/v1/{resource}?limit=1", resource, accept=METADATA_LIST_MEDIA_TYPE)
    except (ApiUnreachableError, BadCredentialsError) as error:
        return ClusterSnapshot(name=name, error=str(error))
    except NotReadableError as error:
        return ClusterSnapshot(name=name, error=f"the kubeconfig's user cannot read {error}")
    return ClusterSnapshot(name=name, access=access, api=api, api_resources=api_resources)
