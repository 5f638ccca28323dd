"""Names of the Services that Linkerd creates in other clusters for exported and federated services.

Follows https://linkerd.io/2/reference/multicluster/.
"""

from __future__ import annotations

from mesh.kube.federated_services import federated_service_name
from mesh.topology import Link


def mirror_name(service: str, cluster: str) -> str:
    """Return the name of the mirror of a service that a cluster exports."""
    return f"{service}-{cluster}"


def list_mirror_names(service: str, link: Link, mode: str | None, *, is_federated: bool) -> list[str]:
    """Return the names of the Services that a link's source gets for a service of its target.

    Args:
        service: name of the service.
        link: the link.
        mode: mode of the target's export; None: none.
        is_federated: whether the target's service is a member of a federated service.
    """
    names = [mirror_name(service, link.target)] if mode is not None and link.mirrors(mode) else []
    if is_federated and link.has_remote_discovery:
        names.append(federated_service_name(service))
    return names
