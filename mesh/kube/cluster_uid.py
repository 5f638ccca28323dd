"""Identity of a cluster: the UID of its namespace `kube-system`.

Kubernetes has no cluster ID. The namespace exists as long as its cluster, so its UID is the usual substitute
(https://github.com/kubernetes/kubernetes/issues/77487). Names, contexts and URLs can lead to another cluster later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mesh.kube import client as kube_client
from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.connection import access_from_props
from mesh.kube.errors import ApiStatusError, KubeError
from mesh.kube.json_access import as_mapping, as_text

KUBE_SYSTEM_PATH = "/api/v1/namespaces/kube-system"
SHORT_UID_LENGTH = 8
# A command must not wait long for one cluster of many.
_TIMEOUT_S = 10


class WrongClusterError(KubeError):
    """A context leads to another cluster than the one in the stack state."""


def short_uid(uid: str) -> str:
    """Return the beginning of a cluster's UID, as messages and the stack file contain it."""
    return uid[:SHORT_UID_LENGTH]


def read_cluster_uid(client: KubeClient) -> str | None:
    """Return the UID of a cluster, or None if there is no such namespace.

    Raises:
        NotReadableError: the user may not read the namespace.
        ApiUnreachableError: the cluster does not respond.
    """
    live = client.get(KUBE_SYSTEM_PATH, "the identity of the cluster (namespace kube-system)", METADATA_MEDIA_TYPE)
    return as_text(as_mapping(live, "metadata").get("uid")) or None


def require_cluster(client: KubeClient, name: str, uid: str) -> None:
    """Require that a client leads to the cluster in the stack state.

    Args:
        client: the client.
        name: name of the cluster in the stack file.
        uid: UID of the cluster in the stack state.

    Raises:
        WrongClusterError: the client leads to another cluster.
    """
    try:
        live = client.request("GET", KUBE_SYSTEM_PATH)
    except ApiStatusError:  # the user may not read the namespace
        return
    live_uid = as_text(as_mapping(live, "metadata").get("uid"))
    if live_uid and live_uid != uid:
        raise WrongClusterError(
            f"clusters.{name}: its context leads to cluster {short_uid(live_uid)}, and the stack's resources are on "
            f"{short_uid(uid)}; correct the context in the kubeconfig, or, if {short_uid(uid)} no longer exists, set "
            f"clusters.{name}.reachable: never, run `pulumi up`, and run the command again"
        )


def require_clusters(clusters: Mapping[str, Mapping[str, Any]], *, keep: Collection[str] = ()) -> None:
    """Require that the contexts still lead to the clusters in the stack state.

    Args:
        clusters: access and UID of each cluster, by name.
        keep: names of clusters that need no check.

    Raises:
        WrongClusterError: with a line for each context that leads to another cluster.
    """
    faults: list[str] = []
    for name, cluster in clusters.items():
        if name in keep:
            continue
        try:
            client = kube_client.connect(access_from_props(cluster), timeout_s=_TIMEOUT_S)
            require_cluster(client, name, cluster["uid"])
        except WrongClusterError as error:
            faults.append(str(error))
        except (KubeError, TimeoutError):  # the deletion of its resources reports why the cluster cannot be reached
            continue
    if faults:
        raise WrongClusterError("\n".join(faults))
