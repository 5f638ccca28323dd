"""Check of the Gateway API's CRDs: the versions that Linkerd needs, and the owner."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CRDS_PATH, RESOURCE_POLICY_ANNOTATION, STACK_ID_ANNOTATION
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.ownership import GATEWAY_API_GROUP, LINKERD_CRDS_RELEASE, belongs_to_release, server_side_appliers
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.service_reader import DeclaredObjects, parse_service
from mesh.preflight.target import CheckTarget, GatewayApiTarget
from mesh.service_ports import select_ports

_CREATOR_ANNOTATION = "linkerd.io/created-by"
_BUNDLE_VERSION_ANNOTATION = "gateway.networking.k8s.io/bundle-version"
# The CRDs that Linkerd's chart can contain.
_ROUTES = ("httproutes", "grpcroutes", "tlsroutes", "tcproutes")
_INSTALL_FALSE = "set extensions.gatewayApi: { install: false }"


def check(target: CheckTarget, gateway_api: GatewayApiTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield findings about the CRDs of the Gateway API's routes."""
    # Metadata only: most of a CRD is its schemas.
    crd_list = client.get(CRDS_PATH, "the owner of the Gateway API's CRDs", METADATA_LIST_MEDIA_TYPE) or {}
    crds = {
        as_text(as_mapping(crd, "metadata").get("name")): as_mapping(crd, "metadata")
        for crd in as_mappings(crd_list.get("items"))
    }
    routes = {name: crds[name] for name in (f"{route}.{GATEWAY_API_GROUP}" for route in _ROUTES) if name in crds}
    if gateway_api.installed_by == "others":
        yield from _check_foreign_crds(target, gateway_api, client, routes)
        return
    foreign = [name for name, metadata in routes.items() if not _is_owned(target, gateway_api, metadata)]
    if foreign and gateway_api.installed_by == "linkerd-crds":
        rule = (
            "does not belong to the Helm release linkerd-crds, so Helm would refuse to install that release (invalid "
            "ownership metadata)"
        )
        # `linkerd install --crds` installs them too, and the remedy for the rest of that Linkerd deletes them.
        is_of_cli = all(
            as_text(as_mapping(dict(routes[name]), "annotations").get(_CREATOR_ANNOTATION)).startswith("linkerd/cli")
            for name in foreign
        )
        remedy = f"{_INSTALL_FALSE}, or keep extensions.gatewayApi as it was if that setting installed them"
        if is_of_cli:
            remedy = "remove it with the Linkerd that Linkerd's CLI installed (linkerd uninstall | kubectl delete -f -)"
        yield target.finding(rule, remedy, value=", ".join(foreign))
    elif foreign:
        # `adopt` does not apply to it: the CRDs belong to the cluster's platform.
        rule = (
            "exists already and does not belong to this stack; `destroy` would delete it with all routes of all users"
        )
        yield target.finding(rule, _INSTALL_FALSE, value=", ".join(foreign))


def require_grpc_routes(target: CheckTarget, gateway_api: GatewayApiTarget, live: DeclaredObjects) -> GatewayApiTarget:
    """Return the required routes with the GRPCRoutes of ports whose protocol only the live Services have.

    Args:
        target: the cluster.
        gateway_api: the routes that the stack file requires.
        live: the declared Services and namespaces that exist.
    """
    protocols = {
        port.protocol
        for service in target.declared.services
        if service.has_port_routes and (body := live.services.get((service.namespace, service.name))) is not None
        for port in select_ports(service.ports, parse_service(body))
    }
    if gateway_api.grpc_route is None or "grpc" not in protocols:
        return gateway_api
    routes = dict.fromkeys([*gateway_api.required_routes, ("grpcroutes", gateway_api.grpc_route)])
    return replace(gateway_api, required_routes=tuple(routes))


def _is_owned(target: CheckTarget, gateway_api: GatewayApiTarget, metadata: Mapping[str, Any]) -> bool:
    if belongs_to_release(metadata, LINKERD_CRDS_RELEASE, target.control_plane_namespace):
        return True
    if gateway_api.installed_by != "manifest":
        return False
    stack_id = as_text(as_mapping(metadata.get("annotations")).get(STACK_ID_ANNOTATION))
    if stack_id:
        return stack_id == target.identity.id
    # CRDs that are older than the ID: Pulumi's default field managers have this prefix and a random suffix.
    return any(manager.startswith("pulumi-kubernetes") for manager in server_side_appliers(metadata))


def _check_foreign_crds(
    target: CheckTarget, gateway_api: GatewayApiTarget, client: KubeClient, routes: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    name = f"httproutes.{GATEWAY_API_GROUP}"
    if name not in routes:
        rule = "extensions.gatewayApi expects the Gateway API on the cluster, but the cluster has no such CRD"
        remedy = "install the Gateway API on the cluster, or remove `install: false`"
        yield target.finding(rule, remedy, value=name)
        return
    # Helm reads the policy from the live object, not from the chart.
    deleted = [
        route
        for route, metadata in routes.items()
        if _is_owned(target, gateway_api, metadata)
        and as_mapping(dict(metadata), "annotations").get(RESOURCE_POLICY_ANNOTATION) != "keep"
    ]
    if deleted:
        rule = "Helm would delete it with all routes, because linkerd-crds no longer contains it"
        remedy = f"make Helm keep it: kubectl annotate crd {' '.join(deleted)} {RESOURCE_POLICY_ANNOTATION}=keep"
        yield target.finding(rule, remedy, value=", ".join(deleted))
    bundle = as_text(as_mapping(dict(routes[name]), "annotations").get(_BUNDLE_VERSION_ANNOTATION))
    version, oldest, newest = (_parse_version(each) for each in (bundle, gateway_api.oldest, gateway_api.newest))
    if version is None or (oldest is not None and version < oldest) or (newest is not None and version > newest):
        rule = f"Linkerd {target.linkerd} supports {gateway_api.oldest} to {gateway_api.newest} of the Gateway API"
        value = f"{name} {to_single_line(bundle, 40) or 'without a version'}"
        remedy = "install one of these versions, or use only features that they have"
        yield target.finding(rule, remedy, value=value, severity=Severity.WARNING)
    served_resources: dict[str, set[str]] = {}
    for resource, api_version in gateway_api.required_routes:
        if api_version not in served_resources:
            resource_list = (
                client.get(f"/apis/{api_version}", f"which versions of {GATEWAY_API_GROUP} are served") or {}
            )
            served_resources[api_version] = {
                as_text(each.get("name")) for each in as_mappings(resource_list.get("resources"))
            }
        if resource not in served_resources[api_version]:
            rule = (
                f"Linkerd {target.linkerd} and the stack's services need it in {api_version}, which the cluster does "
                "not serve"
            )
            remedy = (
                f"install {gateway_api.oldest} to {gateway_api.newest} of the Gateway API, from its experimental "
                "channel for an alpha version"
            )
            yield target.finding(rule, remedy, value=f"{resource}.{GATEWAY_API_GROUP}")


def _parse_version(version: str) -> tuple[int, int, int] | None:
    match = re.match(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(?!\d)", version)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match is not None else None
