"""The preflight of a stack: its settings as questions, and what is made of the findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from mesh.config import ClusterSettings, Settings
from mesh.kube import client as kube_client
from mesh.kube.client import Access
from mesh.linkerd_releases import NEWEST_TESTED_KUBERNETES
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.kubernetes_version import parse_version
from mesh.preflight.runner import run_checks
from mesh.preflight.target import CheckTarget, FlatNetworkLink, GatewayApiTarget

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


class PreflightError(Exception):
    """What stands in the way of an update, one finding per line."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        super().__init__(
            "\n".join([f"{count} in the clusters, before anything was changed:", *(str(found) for found in findings)])
        )


def require(
    stack: Settings, *, owner: str, namespaces: Sequence[str], updating: bool, warn: Callable[[str], None]
) -> None:
    """Ask every cluster that can be reached whether `up` can go well.

    Args:
        stack: the settings.
        owner: the field manager that this stack writes on its namespaces.
        namespaces: Linkerd's own, beside the control plane's, that the stack makes on every cluster of several.
        updating: whether this is an update, or only its preview, which needs fewer rights.
        warn: takes what doesn't stand in the way.

    Raises:
        PreflightError: something does.
    """
    if not stack.preflight.enabled:
        return
    asked = {cluster.name: cluster for cluster in stack.clusters if cluster.reachable}

    def client(name: str) -> ApiClient:
        found = asked[name]
        return kube_client.api_client(Access(context=found.context.name, kubeconfig=found.kubeconfig))

    questions = [_question(stack, cluster, owner, namespaces) for cluster in asked.values()]
    flat = [
        FlatNetworkLink(source=link.source, target=link.target)
        for link in stack.links
        if not link.gateway and {link.source, link.target} <= asked.keys()
    ]
    if stack.cilium is not None:
        # Pods of a ClusterMesh reach one another by their own addresses.
        flat += [FlatNetworkLink(source=one, target=other, mesh=True) for one, other in combinations(asked, 2)]
    grave = {Severity.ERROR, Severity.UPDATE_ERROR} if updating else {Severity.ERROR}
    findings = run_checks(questions, client, flat, timeout=stack.preflight.timeout)
    errors = [found for found in findings if found.severity in grave]
    for found in findings:
        if found not in errors:
            warn(str(found))
    if errors:
        raise PreflightError(errors)


def _question(stack: Settings, cluster: ClusterSettings, owner: str, namespaces: Sequence[str]) -> CheckTarget:
    linkerd = cluster.linkerd
    samples = [sample.part.namespace for sample in stack.samples if cluster.name in sample.all_clusters]
    cni = ["linkerd-cni"] if linkerd.cni else []
    core = [linkerd.namespace, *cni] if stack.linkerd else []
    linked = namespaces if cluster.multicluster else []
    owned = [*core, *linked, *cluster.extensions.namespaces, *samples]
    return CheckTarget(
        name=cluster.name,
        server=cluster.context.server,
        minimum=cluster.linkerd_release.kubernetes,
        # Linkerd itself names newer ones only with its next release.
        newest_tried=max(
            NEWEST_TESTED_KUBERNETES,
            cluster.linkerd_release.newest_kubernetes,
            key=lambda each: parse_version(each) or (0, 0),
        ),
        linkerd=cluster.linkerd_release.version if stack.linkerd else None,
        # Nobody owns the one that every cluster has.
        namespaces=tuple(name for name in dict.fromkeys(owned) if name != "default"),
        control_plane_namespace=linkerd.namespace,
        owner=owner,
        adopt=cluster.adopt,
        trust_anchor=stack.trust.anchor.certificate if stack.trust.anchor is not None else None,
        load_balancer=cluster.multicluster
        and cluster.gateway_exposure.waits_for_address
        and cluster.extensions.metallb is None,
        pod_networks=_pod_networks(cluster),
        service_networks=tuple(cluster.networks.services),
        cert_manager=stack.trust.cert_manager is not None,
        gateway_api=_gateway_api(stack, cluster) if stack.linkerd else None,
        linkerd_tag=cluster.linkerd_release.tag if stack.linkerd else None,
        kinds=tuple(_kinds(stack, cluster)),
    )


def _gateway_api(stack: Settings, cluster: ClusterSettings) -> GatewayApiTarget | None:
    release, wanted = cluster.linkerd_release, cluster.extensions.gateway_api
    if release.gateway_api_range is None or (wanted is None and not cluster.crds_bring_gateway_api):
        return None  # values of linkerd-crds say so
    served = [("httproutes", release.http_route)]
    if release.grpc_route is not None and stack.has_grpc_routes(cluster):
        served.append(("grpcroutes", release.grpc_route))
    oldest, newest = release.gateway_api_range
    return GatewayApiTarget(
        brought_by="linkerd-crds" if wanted is None else "manifest" if wanted.install else "others",
        served=tuple(served),
        oldest=oldest,
        newest=newest,
    )


def _pod_networks(cluster: ClusterSettings) -> tuple[str, ...]:
    """The pod networks that the stack file names: its own setting, or else those that Cilium gives addresses of."""
    if cluster.networks.pods or cluster.cilium is None:
        return tuple(cluster.networks.pods)
    ipam = cluster.cilium.values.get("ipam")
    if not isinstance(ipam, dict) or ipam.get("mode") != "cluster-pool":
        return ()
    operator = ipam.get("operator")
    pool = operator.get("clusterPoolIPv4PodCIDRList") if isinstance(operator, dict) else None
    # What the chart has by default is the same in every cluster.
    return (pool,) if isinstance(pool, str) else tuple(pool or ("10.0.0.0/8",))


def _kinds(stack: Settings, cluster: ClusterSettings) -> Iterator[tuple[str, str]]:
    """Group and resource of what extensions and samples are made of, where Linkerd itself has none."""
    extensions = cluster.extensions
    if extensions.viz is not None:
        yield "apiregistration.k8s.io", "apiservices"
    if extensions.dashboard:
        yield "networking.k8s.io", "ingresses"
    if extensions.ingress_nginx is not None and extensions.ingress_nginx.install:
        yield "networking.k8s.io", "ingressclasses"
    if extensions.metallb is not None:
        yield "metallb.io", "ipaddresspools"
        yield "metallb.io", "l2advertisements"
    if stack.linkerd and any(cluster.name in sample.all_clusters for sample in stack.samples):
        yield "linkerd.io", "serviceprofiles"
        yield "policy.linkerd.io", "serverauthorizations"
        yield cluster.linkerd_release.http_route.partition("/")[0], "httproutes"
        if cluster.linkerd_release.grpc_route is not None and stack.has_grpc_routes(cluster):
            yield cluster.linkerd_release.grpc_route.partition("/")[0], "grpcroutes"
        if extensions.smi is not None:
            yield "split.smi-spec.io", "trafficsplits"
