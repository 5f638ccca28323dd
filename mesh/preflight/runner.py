"""Runner of the checks: all clusters at the same time, within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.concurrency import run_concurrently
from mesh.kube.client import KubeClient
from mesh.kube.errors import ApiUnreachableError, BadCredentialsError, NotReadableError, credentials_error
from mesh.preflight import (
    api_services,
    cert_manager,
    cilium_identity,
    cilium_upgrade_path,
    clock_skew,
    foreign_links,
    foreign_releases,
    gateway,
    gateway_api,
    kubernetes_version,
    network_overlap,
    ownership,
    permissions,
    platform_software,
    running_linkerd,
)
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.network_overlap import ClusterNetworks
from mesh.preflight.target import CheckTarget, FlatNetworkLink

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# A credential plugin may have to contact another service.
CREDENTIALS_TIMEOUT_S = 60.0
# With hundreds of clusters, Python would read responses too late, and healthy clusters would seem to hang.
MAX_CONCURRENT_CLUSTERS = 32


@dataclass(frozen=True, kw_only=True)
class _ClusterReport:
    """Findings about one cluster, and its networks if they are needed."""

    findings: tuple[Finding, ...]
    networks: ClusterNetworks | None = None


def run_checks(
    targets: Sequence[CheckTarget],
    api_client: Callable[[str], ApiClient],
    flat_links: Sequence[FlatNetworkLink] = (),
    timeout_s: float = 5,
) -> list[Finding]:
    """Return all findings, in the order of the targets, then of the links.

    The checks change nothing. A wrong or missing response of a cluster is a finding, not an exception.

    Args:
        targets: the clusters.
        api_client: returns a cluster's client by its name; may raise, and is called in several threads.
        flat_links: clusters whose pods connect directly.
        timeout_s: seconds for each response; a cluster that misses one is not contacted again.
    """
    # Imported before the threads start, because a thread could otherwise use a partially imported package.
    import kubernetes.client  # noqa: F401

    linked = {name for link in flat_links for name in (link.source, link.target)}

    def check(target: CheckTarget) -> _ClusterReport:
        return _check_cluster(target, api_client, timeout_s, is_linked=target.name in linked)

    with ThreadPoolExecutor(max_workers=MAX_CONCURRENT_CLUSTERS) as pool:
        reports = list(pool.map(check, targets))
    networks = {
        target.name: report.networks
        for target, report in zip(targets, reports, strict=True)
        if report.networks is not None
    }
    return [
        *(finding for report in reports for finding in report.findings),
        *network_overlap.check(flat_links, {target.name: target for target in targets}, networks),
    ]


def _check_cluster(
    target: CheckTarget, api_client: Callable[[str], ApiClient], timeout_s: float, *, is_linked: bool
) -> _ClusterReport:
    try:
        client = _connect(target, api_client, timeout_s)
        findings = tuple(_run_cluster_checks(target, client))
        networks = network_overlap.read_networks(target, client) if is_linked else None
        if (user := client.denied_user) is not None and client.cannot_impersonate:
            raise BadCredentialsError(
                f"{user} may not impersonate the kubeconfig's `as` and `as-groups` (HTTP 403)",
                "remove them from the context's user, or let this user impersonate them (verb `impersonate`)",
            )
        if user is not None:
            raise BadCredentialsError(
                f"the kubeconfig's credentials allow nothing: all requests of {user} are forbidden (HTTP 403)"
            )
        return _ClusterReport(findings=findings, networks=networks)
    except ApiUnreachableError as error:
        remedy = f"start it or repair the connection; to continue without it, set {target.path}.reachable: false"
        finding = target.finding(str(error), remedy)
    except BadCredentialsError as error:
        remedy = error.remedy or (
            f"get new credentials (log in again), or fix the user of the context that {target.path}.context names"
        )
        finding = target.finding(str(error), remedy)
    declared = network_overlap.declared_networks(target)
    return _ClusterReport(findings=(finding,), networks=declared if declared.unknown is None else None)


def _connect(target: CheckTarget, api_client: Callable[[str], ApiClient], timeout_s: float) -> KubeClient:
    def connect() -> KubeClient:
        try:
            official_client = api_client(target.name)
        except Exception as error:  # a plugin or a kubeconfig may fail in any way
            raise credentials_error(error) from None
        return KubeClient(official_client, timeout_s)

    try:
        [client] = run_concurrently([connect], idle_timeout_s=CREDENTIALS_TIMEOUT_S)
    except TimeoutError:
        raise BadCredentialsError(
            f"the kubeconfig's plugin returned no credentials within {CREDENTIALS_TIMEOUT_S:g} seconds"
        ) from None
    return client


def _run_cluster_checks(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    response = client.get_version()
    checks: list[Iterator[Finding]] = [clock_skew.check(target, response), permissions.check(target, client)]
    if response.content is not None and response.status == 200:
        checks.insert(0, kubernetes_version.check(target, response.content))
    checks += [ownership.check_namespace(target, client, namespace) for namespace in target.namespaces]
    checks.append(platform_software.check(target, client))
    checks.append(foreign_releases.check(target, client))
    if target.links is not None:
        checks.append(foreign_links.check(target, client))
    checks.append(api_services.check(target, client))
    if target.linkerd is not None:
        checks.append(ownership.check_other_namespaces(target, client))
        checks.append(running_linkerd.check(target, client))
    if target.cilium is not None:
        checks.append(cilium_identity.check(target, target.cilium, client))
        checks.append(cilium_upgrade_path.check(target, target.cilium, client))
    if target.needs_load_balancer:
        checks.append(gateway.check(target, client, clock_skew.response_time(response) or response.received_at))
    if target.needs_cert_manager:
        checks.append(cert_manager.check(target, client))
    if target.gateway_api is not None:
        checks.append(gateway_api.check(target, target.gateway_api, client))
    unreadable = [] if response.status == 200 else ["its version (not allowed)"]
    for check in checks:
        try:
            yield from check
        except NotReadableError as error:
            unreadable.append(str(error))
    if unreadable:
        rule = f"could not be read: {', '.join(dict.fromkeys(unreadable))}"
        remedy = f"let the user of {target.path}.context read it, or check it yourself"
        yield target.finding(rule, remedy, severity=Severity.WARNING)
