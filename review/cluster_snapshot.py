"""Each cluster as the review can see it: the way there, what it offers, or why it can't be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mesh import config
from mesh.helm import release_storage
from mesh.helm.release_storage import Record
from mesh.kube import client as kube_client
from mesh.kube.client import Access
from mesh.preflight.api import METADATA_LIST, Api, Unseen
from mesh.preflight.errors import Unanswered, Unusable, of_credentials
from review import discovery
from review.discovery import Offer

# Without these, a preview of what is on a cluster fails.
_NEEDED = ("namespaces", "services", "configmaps")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A cluster that is asked, or why it isn't."""

    name: str
    way: Access | None = None
    api: Api | None = field(default=None, repr=False)
    offer: Offer = field(default_factory=Offer)
    unseen: str | None = None  # why nothing can be seen of it

    def record(self, namespace: str, name: str) -> Record | None:
        """What Helm has written down there about a release; None where there is none.

        Raises:
            Unseen: it can't be looked at.
        """
        if self.api is None:
            raise Unseen(f"cluster {self.name} ({self.unseen or 'not asked'})")
        try:
            return release_storage.read(self.api, namespace, name)
        except (Unanswered, Unusable) as error:
            raise Unseen(f"Helm's records in namespace {namespace} ({error})") from None


def look(clusters: Sequence[config.Cluster], timeout: float) -> dict[str, Seen]:
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
    away = {cluster.name: Seen(name=cluster.name, unseen=declared) for cluster in clusters if not cluster.reachable}
    return {**found, **away}


def ask(ways: Mapping[str, Access], timeout: float) -> dict[str, Seen]:
    """Ask clusters, side by side, by the ways to them."""
    # Here, and not in several threads at once, of which one would find the package half imported.
    import kubernetes.client
    import kubernetes.config  # noqa: F401

    with ThreadPoolExecutor(max_workers=max(1, len(ways))) as pool:
        seen = pool.map(lambda name: _ask(name, ways[name], timeout), ways)
    return dict(zip(ways, seen, strict=True))


def _ask(name: str, way: Access, timeout: float) -> Seen:
    try:
        try:
            client = kube_client.client(way)
        except Exception as error:  # a plugin or a kubeconfig may fail in any way
            raise of_credentials(error) from None
        api = Api(client, timeout)
        offered = discovery.ask(api)
        for kind in _NEEDED:
            api.get(f"/api/v1/{kind}?limit=1", kind, accept=METADATA_LIST)
    except (Unanswered, Unusable) as error:
        return Seen(name=name, unseen=str(error))
    except Unseen as error:
        return Seen(name=name, unseen=f"the kubeconfig's user may not see {error}")
    return Seen(name=name, way=way, api=api, offer=offered)
