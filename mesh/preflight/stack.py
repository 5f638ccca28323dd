"""Preflight of a stack: check targets from its settings, warnings and errors from the findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mesh.config import ClusterSettings, Settings
from mesh.kube.api_services import API_SERVICES_PATH
from mesh.kube.connection import Access, build_api_client
from mesh.kube.constants import LINK_GROUP
from mesh.kube.json_access import as_mapping, as_text
from mesh.kube.ownership import LINKERD_CRDS_RELEASE
from mesh.linkerd_releases import NEWEST_TESTED_KUBERNETES, OLDEST_KUBERNETES
from mesh.preflight import cluster_identity, traffic_change
from mesh.preflight.declared_target import find_declared_target
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.runner import read_declared, run_checks
from mesh.preflight.service_reader import DeclaredObjects, parse_service
from mesh.preflight.target import (
    CheckTarget,
    CiliumTarget,
    FlatNetworkLink,
    GatewayApiTarget,
    PlatformSoftware,
    ReleaseTarget,
)
from mesh.service_facts import ClusterFacts
from mesh.stack_identity import StackIdentity
from mesh.traffic_changes import TrafficChanges

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


# API groups of the CRDs in the chart linkerd-crds. mesh.preflight.gateway_api checks the Gateway API's.
_LINKERD_CRD_GROUPS = ("linkerd.io", "policy.linkerd.io", "workload.linkerd.io")


class PreflightError(Exception):
    """Findings that prevent an update, one per line."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        super().__init__(
            "\n".join([f"{count} in the clusters, before anything was changed:", *(str(each) for each in findings)])
        )


def check_stack(
    stack: Settings,
    *,
    identity: StackIdentity,
    changes: TrafficChanges,
    namespaces: Sequence[str],
    is_update: bool,
    warn: Callable[[str], None],
) -> ClusterFacts:
    """Check all reachable clusters, and raise an error if the update cannot succeed.

    Args:
        stack: the settings.
        identity: the stack and its clusters in the stack state.
        changes: changes of the update that would end requests.
        namespaces: Linkerd's namespaces, besides the control plane's, on each cluster of a multicluster stack.
        is_update: whether this is an update; a preview needs fewer permissions.
        warn: called with each finding that prevents nothing.

    Returns:
        Facts about the clusters; no UIDs if the settings disable the checks.

    Raises:
        PreflightError: findings prevent the update.
    """
    if not stack.preflight.enabled and (name_findings := list(cluster_identity.check_names(stack.clusters, identity))):
        raise PreflightError(name_findings)
    clusters = {cluster.name: cluster for cluster in stack.clusters if cluster.reachable}

    def api_client(name: str) -> ApiClient:
        cluster = clusters[name]
        return build_api_client(Access(context=cluster.context.name, kubeconfig=cluster.kubeconfig))

    targets = [_check_target(stack, cluster, identity, changes, namespaces) for cluster in clusters.values()]
    if not stack.preflight.enabled:
        # The components need the declared Services and namespaces even so.
        read_targets = [each for each in targets if each.declared.services or each.declared.namespaces]
        report = read_declared(read_targets, api_client, stack.preflight.timeout)
        if report.findings:
            raise PreflightError(report.findings)
        return _build_facts({}, report.declared)
    flat_links = [
        FlatNetworkLink(source=link.source, target=link.target)
        for link in stack.links
        if not link.has_gateway and {link.source, link.target} <= clusters.keys()
    ]
    if stack.cilium is not None:
        # Pods of a ClusterMesh connect directly.
        flat_links += [
            FlatNetworkLink(source=one, target=other, is_clustermesh=True) for one, other in combinations(clusters, 2)
        ]
    fatal = {Severity.ERROR, Severity.UPDATE_ERROR} if is_update else {Severity.ERROR}
    report = run_checks(
        targets,
        api_client,
        flat_links,
        timeout_s=stack.preflight.timeout,
        identity=identity,
        names=[cluster.name for cluster in stack.clusters],
    )
    findings = [*report.findings, *(traffic_change.check_switch(each) for each in changes.switches)]
    errors = [finding for finding in findings if finding.severity in fatal]
    for finding in findings:
        if finding not in errors:
            warn(str(finding))
    if errors:
        raise PreflightError(errors)
    return _build_facts(report.uids, report.declared)


def _build_facts(uids: Mapping[str, str], declared: Mapping[str, DeclaredObjects]) -> ClusterFacts:
    return ClusterFacts(
        uids=dict(uids),
        services={
            (cluster, *key): parse_service(body)
            for cluster, objects in declared.items()
            for key, body in objects.services.items()
        },
        namespaces={
            (cluster, name): as_text(as_mapping(dict(body), "metadata").get("uid"))
            for cluster, objects in declared.items()
            for name, body in objects.namespaces.items()
        },
    )


def _check_target(
    stack: Settings,
    cluster: ClusterSettings,
    identity: StackIdentity,
    changes: TrafficChanges,
    namespaces: Sequence[str],
) -> CheckTarget:
    linkerd = cluster.linkerd
    declared = find_declared_target(stack, cluster)
    cni_namespaces = ["linkerd-cni"] if linkerd.cni else []
    control_plane_namespaces = [linkerd.namespace, *cni_namespaces] if stack.has_linkerd else []
    multicluster_namespaces = namespaces if cluster.has_multicluster else []
    owned_namespaces = [
        *control_plane_namespaces,
        *multicluster_namespaces,
        *cluster.extensions.namespaces,
        *sorted(declared.created_namespaces),
    ]
    return CheckTarget(
        name=cluster.name,
        server=cluster.context.server,
        minimum_kubernetes=stack.linkerd_release.kubernetes if stack.has_linkerd else OLDEST_KUBERNETES,
        newest_tested_kubernetes=stack.linkerd_release.newest_kubernetes
        if stack.has_linkerd
        else NEWEST_TESTED_KUBERNETES,
        linkerd=stack.linkerd_release.version if stack.has_linkerd else None,
        # Every cluster has `default`, and no stack owns it.
        namespaces=tuple(name for name in dict.fromkeys(owned_namespaces) if name != "default"),
        control_plane_namespace=linkerd.namespace,
        identity=identity,
        adopt=cluster.adopt,
        trust_anchor=stack.trust.anchor.certificate if stack.trust.anchor is not None else identity.trust_anchor,
        needs_load_balancer=cluster.has_multicluster
        and cluster.gateway_exposure.is_address_awaited
        and cluster.extensions.metallb is None,
        pod_networks=_pod_networks(cluster),
        service_networks=tuple(cluster.networks.services),
        needs_cert_manager=stack.trust.cert_manager is not None,
        gateway_api=_gateway_api(stack, cluster) if stack.has_linkerd else None,
        linkerd_tag=stack.linkerd_release.tag if stack.has_linkerd else None,
        trust_domain=linkerd.trust_domain if stack.has_linkerd else None,
        cluster_domain=linkerd.cluster_domain if stack.has_linkerd else None,
        cilium=_cilium(stack, cluster),
        releases=tuple(_releases(stack, cluster)),
        platform=tuple(_platform(cluster)),
        links=tuple(link.target for link in stack.links if link.source == cluster.name)
        if cluster.has_multicluster
        else None,
        extra_resources=tuple(_extra_resources(stack, cluster)),
        restarts_workloads=any(each.config.restart and cluster.name in each.clusters for each in stack.namespaces),
        declared=declared,
        renamed_from=cluster.renamed_from,
        replaces=cluster.replaces,
        lost_gateways=tuple(each for each in changes.lost_gateways if each.source == cluster.name),
        sources=tuple(link.source for link in stack.links if link.target == cluster.name),
        unreachable_peers=tuple(
            name
            for name in stack.unreachable_clusters
            if any({link.source, link.target} == {name, cluster.name} for link in stack.links)
        ),
        recorded_objects=_predecessor_objects(cluster, identity),
    )


def _predecessor_objects(cluster: ClusterSettings, identity: StackIdentity) -> tuple[Mapping[str, Any], ...]:
    """Return the objects in the stack state that a rebuilt cluster replaces."""
    recorded = identity.find(cluster.name, cluster.renamed_from)
    if recorded is None or recorded.uid is None or not recorded.uid.startswith(cluster.replaces or " "):
        return ()
    return recorded.objects


def _cilium(stack: Settings, cluster: ClusterSettings) -> CiliumTarget | None:
    if stack.cilium is None or cluster.cilium is None:
        return None
    image = cluster.cilium.values.get("image")
    return CiliumTarget(
        id=cluster.cilium.id,
        version=stack.cilium.version,
        max_connected_clusters=stack.cilium.max_connected_clusters,
        has_own_image_tag=isinstance(image, dict) and not image.keys().isdisjoint(("tag", "override")),
    )


def _releases(stack: Settings, cluster: ClusterSettings) -> Iterator[ReleaseTarget]:
    """Yield the Helm releases of Linkerd that the stack will own on a cluster, and Cilium's."""
    extensions = cluster.extensions
    if stack.cilium is not None and cluster.cilium is not None:
        yield ReleaseTarget(
            name="cilium",
            namespace="kube-system",
            account="cilium",
            uninstall="cilium uninstall",
            own_secret="cilium-ca",
        )
    if not stack.has_linkerd:
        return
    namespace = cluster.linkerd.namespace
    for name, groups in {LINKERD_CRDS_RELEASE: _LINKERD_CRD_GROUPS, "linkerd-control-plane": ()}.items():
        yield ReleaseTarget(
            name=name,
            namespace=namespace,
            account="linkerd-identity",
            crd_groups=groups,
            uninstall="linkerd uninstall | kubectl delete -f -",
        )
    if cluster.linkerd.cni:
        yield ReleaseTarget(
            name="linkerd2-cni",
            namespace="linkerd-cni",
            account="linkerd-cni",
            uninstall="linkerd install-cni | kubectl delete -f -",
        )
    if cluster.has_multicluster:
        yield _extension_release("multicluster", "linkerd-service-mirror-remote-access-default", LINK_GROUP)
    if extensions.viz is not None:
        yield _extension_release("viz", "tap", cluster_object=f"{API_SERVICES_PATH}/v1alpha1.tap.linkerd.io")
    if extensions.jaeger:
        webhook = (
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/linkerd-jaeger-injector-webhook-config"
        )
        yield _extension_release("jaeger", "jaeger-injector", cluster_object=webhook)
    if extensions.smi is not None:
        yield _extension_release("smi", "smi-adaptor", "split.smi-spec.io")


def _extension_release(
    extension: str, account: str, *crd_groups: str, cluster_object: str | None = None
) -> ReleaseTarget:
    name = f"linkerd-{extension}"
    uninstall = f"linkerd {extension} uninstall | kubectl delete -f -"
    return ReleaseTarget(
        name=name,
        namespace=name,
        account=account,
        cluster_object=cluster_object,
        crd_groups=crd_groups,
        uninstall=uninstall,
    )


def _platform(cluster: ClusterSettings) -> Iterator[PlatformSoftware]:
    """Yield the platform software that the stack will install on a cluster."""
    extensions = cluster.extensions
    if extensions.metallb is not None:
        yield PlatformSoftware(
            name="MetalLB",
            namespace="metallb-system",
            release="metallb",
            crd_group="metallb.io",
            remedy=f"remove extensions.metallb.pools.{cluster.name}, or extensions.metallb if no cluster needs it, to "
            "use it with its own pools",
        )
    if extensions.ingress_nginx is not None and extensions.ingress_nginx.install:
        dashboard = extensions.viz.dashboard if extensions.viz is not None else None
        yield PlatformSoftware(
            name="ingress-nginx",
            namespace="ingress-nginx",
            release="ingress-nginx",
            ingress_controller="k8s.io/ingress-nginx",
            ingress_class=dashboard.ingress_class if dashboard is not None else "nginx",
            remedy="set extensions.ingressNginx.install: false to use it",
        )


def _gateway_api(stack: Settings, cluster: ClusterSettings) -> GatewayApiTarget | None:
    linkerd_release, gateway_api = stack.linkerd_release, cluster.extensions.gateway_api
    if linkerd_release.gateway_api_range is None or (gateway_api is None and not cluster.is_gateway_api_in_chart):
        return None  # the values of linkerd-crds disable it
    required_routes = [("httproutes", linkerd_release.http_route)]
    if linkerd_release.grpc_route is not None and stack.has_grpc_routes(cluster):
        required_routes.append(("grpcroutes", linkerd_release.grpc_route))
    oldest, newest = linkerd_release.gateway_api_range
    return GatewayApiTarget(
        installed_by="linkerd-crds" if gateway_api is None else "manifest" if gateway_api.install else "others",
        required_routes=tuple(required_routes),
        oldest=oldest,
        newest=newest,
        grpc_route=linkerd_release.grpc_route,
    )


def _pod_networks(cluster: ClusterSettings) -> tuple[str, ...]:
    """Return the pod networks in the stack file: the cluster's own setting, or else Cilium's address pools."""
    if cluster.networks.pods or cluster.cilium is None:
        return tuple(cluster.networks.pods)
    ipam = cluster.cilium.values.get("ipam")
    if not isinstance(ipam, dict) or ipam.get("mode") != "cluster-pool":
        return ()
    operator = ipam.get("operator")
    pool = operator.get("clusterPoolIPv4PodCIDRList") if isinstance(operator, dict) else None
    # The chart's default is the same in every cluster.
    return (pool,) if isinstance(pool, str) else tuple(pool or ("10.0.0.0/8",))


def _extra_resources(stack: Settings, cluster: ClusterSettings) -> Iterator[tuple[str, str]]:
    """Yield group and resource of the objects of extensions and samples that Linkerd itself does not have."""
    extensions = cluster.extensions
    if extensions.viz is not None:
        yield "apiregistration.k8s.io", "apiservices"
    if extensions.has_dashboard:
        yield "networking.k8s.io", "ingresses"
    if extensions.ingress_nginx is not None and extensions.ingress_nginx.install:
        yield "networking.k8s.io", "ingressclasses"
    if extensions.metallb is not None:
        yield "metallb.io", "ipaddresspools"
        yield "metallb.io", "l2advertisements"
    policies = {each.config.policy for each in stack.services if each.config.allow and cluster.name in each.clusters}
    if "authorization-policy" in policies:
        for kind in ("authorizationpolicies", "meshtlsauthentications", "networkauthentications"):
            yield "policy.linkerd.io", kind
    has_samples = any(cluster.name in sample.all_clusters for sample in stack.samples)
    if stack.has_linkerd and (has_samples or any(cluster.name in service.clusters for service in stack.services)):
        yield "linkerd.io", "serviceprofiles"
        yield "policy.linkerd.io", "serverauthorizations"
        yield stack.linkerd_release.http_route.partition("/")[0], "httproutes"
        if stack.linkerd_release.grpc_route is not None and stack.has_grpc_routes(cluster):
            yield stack.linkerd_release.grpc_route.partition("/")[0], "grpcroutes"
        if extensions.smi is not None:
            yield "split.smi-spec.io", "trafficsplits"
