"""Check for service accounts that the policy of a declared service names, but that do not exist.

An entry for such an account allows no client. A common mistake is the name of the clients' Service.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_text
from mesh.preflight.declared_target import AllowedAccount
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.service_reader import DeclaredObjects, list_pods, parse_service
from mesh.preflight.target import CheckTarget

# Pods without a `serviceAccountName` have this service account.
_DEFAULT_ACCOUNT = "default"


def check(target: CheckTarget, live: DeclaredObjects, client: KubeClient) -> Iterator[Finding]:
    """Yield a warning for each service account that does not exist.

    Args:
        target: the cluster.
        live: the declared Services and namespaces that exist.
        client: the cluster's client.
    """
    for service in target.declared.services:
        if (service.namespace, service.name) not in live.services:
            continue
        for account in service.accounts:
            # The update may create the account, as those of samples.
            if account.namespace in target.declared.created_namespaces or _exists(client, account):
                continue
            yield Finding(
                path=f"{service.path}.allow[{account.index}].from",
                value=account.key,
                rule=f"{target.name} has no such service account, so the entry allows no client there",
                remedy=_remedy(client, account),
                severity=Severity.WARNING,
            )


def _exists(client: KubeClient, account: AllowedAccount) -> bool:
    path = f"{_namespace_path(account)}/serviceaccounts/{quote(account.name, safe='')}"
    return client.get(path, f"service account {account.key}", METADATA_MEDIA_TYPE) is not None


def _remedy(client: KubeClient, account: AllowedAccount) -> str:
    """Return the remedy; it names the accounts of the pods if a Service has the name of the account."""
    body = client.get(f"{_namespace_path(account)}/services/{quote(account.name, safe='')}", f"Service {account.key}")
    pods = list_pods(client, account.key, account.namespace, parse_service(body)) if body is not None else []
    names = {as_text(as_mapping(pod, "spec").get("serviceAccountName")) or _DEFAULT_ACCOUNT for pod in pods}
    if names:
        accounts = " or ".join(f"{account.namespace}/{to_single_line(name, 253)}" for name in sorted(names))
        return f"write {accounts}, the account of the pods of Service {account.key}"
    return "create it, or name the service account of the clients' pods"


def _namespace_path(account: AllowedAccount) -> str:
    return f"/api/v1/namespaces/{quote(account.namespace, safe='')}"
