"""Makes way for an `up` after one that was killed: Helm takes its records of unfinished work for work still under way.

Helm writes a record of each revision of a release into a Secret, as `pending-install` or `pending-upgrade` until it is
done, and refuses every later operation while the newest one is pending ("another operation is in progress"). When the
process that wrote it was killed, that is for ever. Removing the record is the well-known manual remedy: the release is
again at its last finished revision, or unknown, and the next operation goes on from there; objects that the unfinished
one has made carry the release's name, so that Helm takes them over.

It is safe because Pulumi lets one update of a stack run at a time: whoever holds its lock knows that no other update is
at work on the stack's releases. Only records of these releases are removed.

Follows https://helm.sh/docs/topics/advanced/#storage-backends (the Secrets, their names and labels).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

PENDING = "owner=helm,status in (pending-install,pending-upgrade,pending-rollback)"
# Seconds for a cluster to answer; one that doesn't is left to its resources, whose errors say more.
PATIENCE = 10


def forget_unfinished(contexts: Iterable[str], namespaces: Collection[str]) -> list[str]:
    """Remove the pending records of Helm releases, in all clusters at once.

    Args:
        contexts: the clusters' contexts in the kubeconfig.
        namespaces: those that belong to this program, with everything in them.

    Returns:
        What was removed, for people: `<context>: <release>, revision <number>`.
    """
    from kubernetes import config  # half a second to import, and no preview needs it
    from kubernetes.client import ApiException, CoreV1Api
    from urllib3.exceptions import HTTPError

    def forget(context: str) -> list[str]:
        removed = []
        try:
            core = CoreV1Api(config.new_client_from_config(context=context))
            for namespace in namespaces:
                found = core.list_namespaced_secret(namespace, label_selector=PENDING, _request_timeout=PATIENCE)
                for record in found.items:
                    labels = record.metadata.labels
                    core.delete_namespaced_secret(record.metadata.name, namespace, _request_timeout=PATIENCE)
                    removed.append(f"{context}: {labels['name']}, revision {labels['version']}")
        except (ApiException, HTTPError, config.ConfigException):
            pass
        return removed

    chosen = list(contexts)
    with ThreadPoolExecutor(max_workers=min(16, len(chosen) or 1)) as pool:
        return [line for lines in pool.map(forget, chosen) for line in lines]
