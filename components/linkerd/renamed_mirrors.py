"""Wait for the mirror services of a renamed target.

A renamed target gets new mirror services in each source, and Pulumi deletes those with the old name at the end of the
update. The controller creates the new ones some seconds after the Link. So a hook of the Link waits for them.
"""

from __future__ import annotations

import time

from mesh.kube import federated_services
from mesh.kube.client import KubeClient

MIRROR_CREATION_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.2


def wait_for_renamed_mirrors(
    client: KubeClient, former: str, target: str, timeout_s: float = MIRROR_CREATION_TIMEOUT_S
) -> list[str]:
    """Wait until each mirror of a target with its former name has a successor; return the missing successors.

    Args:
        client: client of the source.
        former: former name of the target.
        target: new name of the target.
        timeout_s: seconds to wait.
    """
    deadline = time.monotonic() + timeout_s
    while missing := _find_missing_successors(client, former, target):
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_INTERVAL_S)
    return missing


def _find_missing_successors(client: KubeClient, former: str, target: str) -> list[str]:
    missing: set[str] = set()
    for kind in ("services", "endpoints"):
        successors = _list_mirrors(client, kind, target)
        for namespace, name in _list_mirrors(client, kind, former):
            successor = (namespace, f"{name.removesuffix(f'-{former}')}-{target}")
            if name.endswith(f"-{former}") and successor not in successors:
                missing.add("/".join(successor))
    return sorted(missing)


def _list_mirrors(client: KubeClient, kind: str, target: str) -> set[tuple[str, str]]:
    selector = f"{federated_services.MIRRORED_SELECTOR},{federated_services.cluster_selector(target)}"
    mirrors = [item["metadata"] for item in client.list_objects(f"/api/v1/{kind}", selector)]
    return {(metadata["namespace"], metadata["name"]) for metadata in mirrors}
