"""Asking all clusters everything, many side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.concurrency import run_concurrently
from mesh.kube.client import KubeClient
from mesh.kube.errors import ApiUnreachableError, BadCredentialsError, NotReadableError, credentials_error
from mesh.preflight import (
    cert_manager,
    clock_skew,
    gateway,
    gateway_api,
    kubernetes_version,
    network_overlap,
    ownership,
    permissions,
    upgrade_path,
)
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.network_overlap import ClusterNetworks
from mesh.preflight.target import CheckTarget, FlatNetworkLink

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# Seconds for credentials: a plugin may have to ask somewhere itself.
CREDENTIALS_WITHIN = 60.0
# How many clusters are asked at a time. With hundreds, Python would be too busy to take in the answers in time, and
# clusters that are well would seem to hang.
MAX_CONCURRENT_CLUSTERS = 32


@dataclass(frozen=True, kw_only=True)
class _ClusterReport:
    """What one cluster has told."""

    findings: tuple[Finding, ...]
    networks: ClusterNetworks | None = None


def run_checks(
    questions: Sequence[CheckTarget],
    clients: Callable[[str], ApiClient],
    flat: Sequence[FlatNetworkLink] = (),
    timeout: float = 5,
) -> list[Finding]:
    """Everything that was found, in the order of the questions, then of the links.

    Nothing is changed, and nothing raised for what a cluster answers or doesn't.

    Args:
        questions: what is asked, one per cluster.
        clients: gives a cluster's client by its name; called in several threads at once, and may raise.
        flat: links without a gateway.
        timeout: seconds for each answer; a cluster that leaves one out isn't asked any more.
    """
    # Here, and not in several threads at once, of which one would find the package half imported.
    import kubernetes.client
    import kubernetes.config  # noqa: F401

    linked = {name for link in flat for name in (link.source, link.target)}
    with ThreadPoolExecutor(max_workers=MAX_CONCURRENT_CLUSTERS) as pool:
        told = list(pool.map(lambda one: _cluster(one, clients, timeout, linked=one.name in linked), questions))
    known = {one.name: said.networks for one, said in zip(questions, told, strict=True) if said.networks is not None}
    return [
        *(finding for said in told for finding in said.findings),
        *network_overlap.check(flat, {question.name: question for question in questions}, known),
    ]


def _cluster(
    question: CheckTarget, clients: Callable[[str], ApiClient], timeout: float, *, linked: bool
) -> _ClusterReport:
    try:
        api = _connect(question, clients, timeout)
        findings = tuple(_answers(question, api))
        found = network_overlap.read(question, api) if linked else None
        if (user := api.denied_user) is not None:
            raise BadCredentialsError(
                f"the API server lets the kubeconfig's credentials see nothing: {user} is refused everything (403)"
            )
        return _ClusterReport(findings=findings, networks=found)
    except ApiUnreachableError as error:
        remedy = f"start it or mend the way there; to go on without it for now, set {question.path}.reachable: false"
        finding = question.finding(str(error), remedy)
    except BadCredentialsError as error:
        remedy = (
            f"get new credentials (log in again), or mend the user of the context that {question.path}.context names"
        )
        finding = question.finding(str(error), remedy)
    declared = network_overlap.declared(question)
    return _ClusterReport(findings=(finding,), networks=declared if declared.unknown is None else None)


def _connect(question: CheckTarget, clients: Callable[[str], ApiClient], timeout: float) -> KubeClient:
    def connect() -> KubeClient:
        try:
            client = clients(question.name)
        except Exception as error:  # a plugin or a kubeconfig may fail in any way
            raise credentials_error(error) from None
        return KubeClient(client, timeout)

    try:
        [api] = run_concurrently([connect], patience=CREDENTIALS_WITHIN)
    except TimeoutError:
        raise BadCredentialsError(
            f"no credentials came within {CREDENTIALS_WITHIN:g} seconds from the kubeconfig's plugin"
        ) from None
    return api


def _answers(question: CheckTarget, api: KubeClient) -> Iterator[Finding]:
    first = api.version()
    checks: list[Iterator[Finding]] = [clock_skew.check(question, first), permissions.check(question, api)]
    if first.content is not None and first.status == 200:
        checks.insert(0, kubernetes_version.check(question, first.content))
    checks += [ownership.check_namespace(question, api, namespace) for namespace in question.namespaces]
    if question.linkerd is not None:
        checks.append(ownership.check_elsewhere(question, api))
        checks.append(upgrade_path.check(question, api))
    if question.load_balancer:
        checks.append(gateway.check(question, api, clock_skew.time_of(first) or first.answered))
    if question.cert_manager:
        checks.append(cert_manager.check(question, api))
    if question.gateway_api is not None:
        checks.append(gateway_api.check(question, question.gateway_api, api))
    unseen = [] if first.status == 200 else ["its version (not allowed)"]
    for check in checks:
        try:
            yield from check
        except NotReadableError as error:
            unseen.append(str(error))
    if unseen:
        rule = f"could not be looked at: {', '.join(dict.fromkeys(unseen))}"
        remedy = f"let the user of {question.path}.context read it, or see to it yourself"
        yield question.finding(rule, remedy, severity=Severity.WARNING)
