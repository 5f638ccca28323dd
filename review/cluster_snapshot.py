"""Each cluster as the review can see it: the way there, what it offers, or why it can't be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mesh import config
from mesh.helm import release_storage
from mesh.helm.release_storage import ReleaseRevision
from mesh.kube import client as kube_client
from mesh.kube.client import Access
from mesh.preflight.api import METADATA_LIST_MEDIA_TYPE, ClusterApi, NotReadableError
from mesh.preflight.errors import ApiUnreachableError, BadCredentialsError, credentials_error
from review import discovery
from review.discovery import ApiResources

# Without these, a preview of what is on a cluster fails.
_NEEDED = ("namespaces", "services", "configmaps")


@dataclass(frozen=True, kw_only=True)
class ClusterSnapshot:
    """A cluster that is asked, or why it isn't."""

    name: str
    way: Access | None = None
    api: ClusterApi | None = field(default=None, repr=False)
    offer: ApiResources = field(default_factory=ApiResources)
    unseen: str | None = None  # why nothing can be seen of it

    def record(self, namespace: str, name: str) -> ReleaseRevision | None:
        """What Helm has written down there about a release; None where there is none.

        Raises:
            Unseen: it can't be looked at.
        """
        if self.api is None:
            raise NotReadableError(f"cluster {self.name} ({self.unseen or 'not asked'})")
        try:
            return release_storage.read_latest_revision(self.api, namespace, name)
        except (ApiUnreachableError, BadCredentialsError) as error:
            raise NotReadableError(f"Helm's records in namespace {namespace} ({error})") from None


def inspect_clusters(clusters: Sequence[config.ClusterSettings], timeout: float) -> dict[str, ClusterSnapshot]:
    """Ask all clusters of a stack at once.

    Args:
        clusters: the clusters; those that are declared unreachable are not asked.
        timeout: seconds for each answer.
    """
    ways = {
        cluster.name: Access(context=cluster.context.name, kubeconfig=cluster.kubeconfig)
        for cluster in clusters
        if cluster.reachable
    }
    found = ask(ways, timeout)
    declared = "declared unreachable in the stack file"
    away = {
        cluster.name: ClusterSnapshot(name=cluster.name, unseen=declared)
        for cluster in clusters
        if not cluster.reachable
    }
    return {**found, **away}


def ask(ways: Mapping[str, Access], timeout: float) -> dict[str, ClusterSnapshot]:
    """Ask clusters, side by side, by the ways to them."""
    # Here, and not in several threads at once, of which one would find the package half imported.
    import kubernetes.client
    import kubernetes.config  # noqa: F401

    with ThreadPoolExecutor(max_workers=max(1, len(ways))) as pool:
        seen = pool.map(lambda name: _ask(name, ways[name], timeout), ways)
    return dict(zip(ways, seen, strict=True))


def _ask(name: str, way: Access, timeout: float) -> ClusterSnapshot:
    try:
        try:
            client = kube_client.api_client(way)
        except Exception as error:  # a plugin or a kubeconfig may fail in any way
            raise credentials_error(error) from None
        api = ClusterApi(client, timeout)
        offered = discovery.discover(api)
        for kind in _NEEDED:
            api.get(f"/api/v1/{kind}?limit=1", kind, accept=METADATA_LIST_MEDIA_TYPE)
    except (ApiUnreachableError, BadCredentialsError) as error:
        return ClusterSnapshot(name=name, unseen=str(error))
    except NotReadableError as error:
        return ClusterSnapshot(name=name, unseen=f"the kubeconfig's user may not see {error}")
    return ClusterSnapshot(name=name, way=way, api=api, offer=offered)
