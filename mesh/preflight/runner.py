"""Runner of the checks: all clusters at the same time, within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from mesh.concurrency import run_concurrently
from mesh.kube import cluster_uid
from mesh.kube.client import KubeClient, connect
from mesh.kube.connection import Access
from mesh.kube.errors import ApiUnreachableError, BadCredentialsError, KubeError, NotReadableError, credentials_error
from mesh.preflight import (
    api_services,
    cert_manager,
    cilium_identity,
    cilium_upgrade_path,
    clock_skew,
    cluster_identity,
    declared_namespaces,
    declared_services,
    foreign_links,
    foreign_releases,
    foreign_traffic_rules,
    gateway,
    gateway_api,
    kubernetes_version,
    network_overlap,
    ownership,
    permissions,
    platform_software,
    rebuilt_cluster,
    refused_probes,
    running_linkerd,
    service_accounts,
    traffic_change,
)
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.network_overlap import ClusterNetworks
from mesh.preflight.service_reader import DeclaredObjects, read_declared_objects
from mesh.preflight.snapshot_client import SnapshotClient
from mesh.preflight.target import CheckTarget, FlatNetworkLink
from mesh.stack_identity import RecordedCluster, StackIdentity

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# A credential plugin may have to contact another service.
CREDENTIALS_TIMEOUT_S = 60.0
# With hundreds of clusters, Python would read responses too late, and healthy clusters would seem to hang.
MAX_CONCURRENT_CLUSTERS = 32


@dataclass(frozen=True, kw_only=True)
class PreflightReport:
    """Findings about all clusters, and the UIDs and declared objects of the clusters that were read."""

    findings: tuple[Finding, ...]
    uids: Mapping[str, str]  # by name
    declared: Mapping[str, DeclaredObjects] = field(default_factory=dict)  # by name


@dataclass(frozen=True, kw_only=True)
class _ClusterReport:
    """Findings about one cluster, its UID, its declared objects, and its networks if they are needed."""

    findings: tuple[Finding, ...]
    uid: str | None = None  # None: it could not be read
    networks: ClusterNetworks | None = None
    declared: DeclaredObjects = field(default_factory=DeclaredObjects)


def run_checks(
    targets: Sequence[CheckTarget],
    api_client: Callable[[str], ApiClient],
    flat_links: Sequence[FlatNetworkLink] = (),
    timeout_s: float = 5,
    *,
    identity: StackIdentity | None = None,
    names: Sequence[str] = (),
) -> PreflightReport:
    """Return all findings, in the order of the targets, then of the links, then of removed clusters.

    The checks change nothing. A wrong or missing response of a cluster is a finding, not an exception.

    Args:
        targets: the clusters.
        api_client: returns a cluster's client by its name; may raise, and is called in several threads.
        flat_links: clusters whose pods connect directly.
        timeout_s: seconds for each response; a cluster that misses one is not contacted again.
        identity: the stack and its clusters in the stack state; None: not checked.
        names: names of all clusters in the stack file, including unreachable ones.
    """
    # Imported before the threads start, because a thread could otherwise use a partially imported package.
    import kubernetes.client  # noqa: F401

    linked = {name for link in flat_links for name in (link.source, link.target)}

    def check(target: CheckTarget) -> _ClusterReport:
        return _check_cluster(target, api_client, timeout_s, is_linked=target.name in linked)

    renamed = {target.renamed_from for target in targets}
    removed = [
        recorded
        for recorded in (identity.clusters.values() if identity is not None else ())
        if recorded.name not in {*names, *renamed} and recorded.uid is not None and not recorded.is_abandoned
    ]
    with ThreadPoolExecutor(max_workers=MAX_CONCURRENT_CLUSTERS) as pool:
        removed_uids = pool.map(partial(_read_uid_of_removed, timeout_s=timeout_s), removed)
        reports = list(pool.map(check, targets))
    by_name = {target.name: report for target, report in zip(targets, reports, strict=True)}
    uids = {name: report.uid for name, report in by_name.items() if report.uid is not None}
    wrong_clusters = cluster_identity.check(targets, uids, identity, names) if identity is not None else {}
    findings: list[Finding] = []
    for name, report in by_name.items():
        identity_findings = wrong_clusters.get(name, [])
        findings += identity_findings
        # Other findings about a wrong cluster, and their remedies, would be misleading.
        if not any(finding.severity is Severity.ERROR for finding in identity_findings):
            findings += report.findings
    networks = {name: report.networks for name, report in by_name.items() if report.networks is not None}
    findings += network_overlap.check(flat_links, {target.name: target for target in targets}, networks)
    for recorded, uid in zip(removed, removed_uids, strict=True):
        # A cluster that the stack file has under a new name is reported there.
        if uid is not None and recorded.uid not in uids.values():
            findings += cluster_identity.check_removed(recorded, uid)
    declared = {name: report.declared for name, report in by_name.items()}
    return PreflightReport(findings=tuple(findings), uids=uids, declared=declared)


def read_declared(
    targets: Sequence[CheckTarget], api_client: Callable[[str], ApiClient], timeout_s: float = 5
) -> PreflightReport:
    """Return the declared objects of all clusters without any check; findings are about unreadable clusters.

    Args:
        targets: the clusters.
        api_client: returns a cluster's client by its name, as for `run_checks`.
        timeout_s: seconds for each response.
    """
    if not targets:
        return PreflightReport(findings=(), uids={})
    # Imported before the threads start, because a thread could otherwise use a partially imported package.
    import kubernetes.client  # noqa: F401

    def read(target: CheckTarget) -> tuple[DeclaredObjects, list[Finding]]:
        try:
            return _read_declared(target, _connect(target, api_client, timeout_s))
        except (ApiUnreachableError, BadCredentialsError) as error:
            return DeclaredObjects(), [_connection_finding(target, error)]

    with ThreadPoolExecutor(max_workers=MAX_CONCURRENT_CLUSTERS) as pool:
        results = list(pool.map(read, targets))
    return PreflightReport(
        findings=tuple(finding for _, findings in results for finding in findings),
        uids={},
        declared={target.name: declared for target, (declared, _) in zip(targets, results, strict=True)},
    )


def _read_uid_of_removed(recorded: RecordedCluster, *, timeout_s: float) -> str | None:
    """Return the UID of the cluster at a removed cluster's context; None if it cannot be read."""
    if recorded.kubeconfig is None:
        return None
    access = Access(context=recorded.context, kubeconfig=recorded.kubeconfig)
    with suppress(KubeError, TimeoutError):
        [uid] = run_concurrently(
            [lambda: cluster_uid.read_cluster_uid(connect(access, timeout_s=timeout_s))],
            idle_timeout_s=CREDENTIALS_TIMEOUT_S,
        )
        return uid
    return None


def _check_cluster(
    target: CheckTarget, api_client: Callable[[str], ApiClient], timeout_s: float, *, is_linked: bool
) -> _ClusterReport:
    try:
        client = _connect(target, api_client, timeout_s)
        declared, declared_findings = _check_declared(target, client)
        if target.gateway_api is not None:
            target = replace(target, gateway_api=gateway_api.require_grpc_routes(target, target.gateway_api, declared))
        findings = (*_run_cluster_checks(target, client), *declared_findings)
        uid, uid_findings = _read_uid(target, client)
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
        return _ClusterReport(findings=(*findings, *uid_findings), uid=uid, networks=networks, declared=declared)
    except (ApiUnreachableError, BadCredentialsError) as error:
        networks = network_overlap.declared_networks(target)
        return _ClusterReport(
            findings=(_connection_finding(target, error),), networks=networks if networks.unknown is None else None
        )


def _connection_finding(target: CheckTarget, error: ApiUnreachableError | BadCredentialsError) -> Finding:
    if isinstance(error, ApiUnreachableError):
        remedy = f"start it or repair the connection; to continue without it, set {target.path}.reachable: false"
    else:
        remedy = error.remedy or (
            f"get new credentials (log in again), or fix the user of the context that {target.path}.context names"
        )
    return target.finding(str(error), remedy)


def _read_declared(target: CheckTarget, client: KubeClient) -> tuple[DeclaredObjects, list[Finding]]:
    """Return the declared Services and namespaces, or an error if they cannot be read."""
    try:
        return read_declared_objects(client, target.declared), []
    except NotReadableError as error:
        # Nothing is known about the Services then, and the update would delete their routes.
        remedy = f"let the user of {target.path}.context read Services and namespaces"
        return DeclaredObjects(), [target.finding(f"could not be read: {error}", remedy)]


def _check_declared(target: CheckTarget, client: KubeClient) -> tuple[DeclaredObjects, list[Finding]]:
    """Return the declared Services and namespaces, and findings about them."""
    live, unreadable = _read_declared(target, client)
    if unreadable:
        return live, unreadable
    checks = [
        declared_namespaces.check(target, live),
        declared_services.check(target, live),
        foreign_traffic_rules.check(target, live, client),
        refused_probes.check(target, live, client),
        service_accounts.check(target, live, client),
    ]
    return live, list(_list_findings(target, checks))


def _list_findings(
    target: CheckTarget, checks: Iterable[Iterator[Finding]], unreadable: Sequence[str] = ()
) -> Iterator[Finding]:
    """Yield the findings of all checks, and one about everything that could not be read.

    Args:
        target: the cluster.
        checks: the checks. One that cannot read an object does not end the others.
        unreadable: what else could not be read.
    """
    reasons = list(unreadable)
    for check in checks:
        try:
            yield from check
        except NotReadableError as error:
            reasons.append(str(error))
    if reasons:
        rule = f"could not be read: {', '.join(dict.fromkeys(reasons))}"
        remedy = f"let the user of {target.path}.context read it, or check it yourself"
        yield target.finding(rule, remedy, severity=Severity.WARNING)


def _read_uid(target: CheckTarget, client: KubeClient) -> tuple[str | None, list[Finding]]:
    """Return the cluster's UID, or a warning if it cannot be read."""
    try:
        return cluster_uid.read_cluster_uid(client), []
    except NotReadableError as error:
        remedy = f"let the user of {target.path}.context read it, or make sure that the context leads to this cluster"
        return None, [target.finding(f"could not be read: {error}", remedy, severity=Severity.WARNING)]


def _connect(target: CheckTarget, api_client: Callable[[str], ApiClient], timeout_s: float) -> KubeClient:
    def connect() -> KubeClient:
        try:
            official_client = api_client(target.name)
        except Exception as error:  # a plugin or a kubeconfig may fail in any way
            raise credentials_error(error) from None
        return SnapshotClient(official_client, timeout_s)

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
    if target.recorded_objects:
        checks.append(rebuilt_cluster.check(target, client))
    checks.append(platform_software.check(target, client))
    checks.append(foreign_releases.check(target, client))
    if target.links is not None:
        checks.append(foreign_links.check(target, client))
    checks += [traffic_change.check_gateway(target, lost, client) for lost in target.lost_gateways]
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
    yield from _list_findings(target, checks, unreadable)
