"""Whether the Gateway API's CRDs are those that Linkerd needs, and whose they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import mapping, mappings, text
from mesh.kube.ownership import GATEWAY_API, LINKERD_CRDS, belongs_to_release, server_side_appliers
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget, GatewayApiTarget

_BUNDLE = "gateway.networking.k8s.io/bundle-version"
_POLICY = "helm.sh/resource-policy"
# Those that Linkerd's chart may bring.
_ROUTES = ("httproutes", "grpcroutes", "tlsroutes", "tcproutes")
_NOT_INSTALLED = "set extensions.gatewayApi: { install: false }"


def check(question: CheckTarget, wanted: GatewayApiTarget, api: KubeClient) -> Iterator[Finding]:
    """Findings on the CRDs of the Gateway API's routes."""
    # Their metadata alone: of a CRD itself, schemas are nearly all.
    listed = api.get(CRDS_PATH, "whose the Gateway API's CRDs are", METADATA_LIST_MEDIA_TYPE) or {}
    found = {
        text(mapping(crd, "metadata").get("name")): mapping(crd, "metadata") for crd in mappings(listed.get("items"))
    }
    routes = {name: found[name] for name in (f"{route}.{GATEWAY_API}" for route in _ROUTES) if name in found}
    if wanted.brought_by == "others":
        yield from _of_others(question, wanted, api, routes)
        return
    foreign = [name for name, metadata in routes.items() if not _ours(question, wanted, metadata)]
    if foreign and wanted.brought_by == "linkerd-crds":
        rule = "not the Helm release's linkerd-crds, so Helm would refuse to install it (invalid ownership metadata)"
        remedy = f"{_NOT_INSTALLED}, or leave extensions.gatewayApi as it was where it has installed them"
        yield question.finding(rule, remedy, value=", ".join(foreign))
    elif foreign and not question.adopt:
        rule = "exists already and was not made by this stack; `destroy` would delete it with all routes of everybody"
        yield question.finding(rule, f"{_NOT_INSTALLED}, or {question.path}.adopt: true", value=", ".join(foreign))


def _ours(question: CheckTarget, wanted: GatewayApiTarget, metadata: Mapping[str, Any]) -> bool:
    if belongs_to_release(metadata, LINKERD_CRDS, question.control_plane_namespace):
        return True
    # So Pulumi's managers are called by default, each with a name of its own.
    by_pulumi = any(manager.startswith("pulumi-kubernetes") for manager in server_side_appliers(metadata))
    return by_pulumi and wanted.brought_by == "manifest"


def _of_others(
    question: CheckTarget, wanted: GatewayApiTarget, api: KubeClient, routes: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    name = f"httproutes.{GATEWAY_API}"
    if name not in routes:
        rule = "extensions.gatewayApi says that the Gateway API is there already, but this cluster has no such CRD"
        remedy = "install the Gateway API there, or leave `install: false` out"
        yield question.finding(rule, remedy, value=name)
        return
    # Helm looks at what is there, not at what its chart says.
    leaving = [
        route
        for route, metadata in routes.items()
        if _ours(question, wanted, metadata) and mapping(dict(metadata), "annotations").get(_POLICY) != "keep"
    ]
    if leaving:
        rule = "Helm would delete it with all routes, as linkerd-crds brings it no longer"
        remedy = f"have Helm leave it: kubectl annotate crd {' '.join(leaving)} {_POLICY}=keep"
        yield question.finding(rule, remedy, value=", ".join(leaving))
    bundle = text(mapping(dict(routes[name]), "annotations").get(_BUNDLE))
    version, oldest, newest = _parsed(bundle), _parsed(wanted.oldest), _parsed(wanted.newest)
    if version is None or (oldest is not None and version < oldest) or (newest is not None and version > newest):
        what = f"Linkerd {question.linkerd} supports {wanted.oldest} to {wanted.newest} of the Gateway API"
        value = f"{name} {to_single_line(bundle, 40) or 'without a version'}"
        remedy = "install one of these, or use no more of it than they have"
        yield question.finding(what, remedy, value=value, severity=Severity.WARNING)
    served: dict[str, set[str]] = {}
    for resource, api_version in wanted.served:
        if api_version not in served:
            answer = api.get(f"/apis/{api_version}", f"which versions of {GATEWAY_API} are served") or {}
            served[api_version] = {text(each.get("name")) for each in mappings(answer.get("resources"))}
        if resource not in served[api_version]:
            rule = f"Linkerd {question.linkerd} and this program's samples need it in {api_version}, which isn't served"
            remedy = (
                f"install {wanted.oldest} to {wanted.newest} of the Gateway API, its experimental channel for an alpha"
            )
            yield question.finding(rule, remedy, value=f"{resource}.{GATEWAY_API}")


def _parsed(version: str) -> tuple[int, int, int] | None:
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(?!\d)", version)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found is not None else None
