"""Reader of the declared Services and namespaces of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.preflight.declared_target import DeclaredTarget
from mesh.service_facts import LivePort, LiveService

# A list of all Services in a namespace is faster than many single requests.
_MAX_SINGLE_REQUESTS = 4
# A Service can select the pods of several workloads, but rarely of more.
_MAX_PODS = 20


@dataclass(frozen=True, kw_only=True)
class DeclaredObjects:
    """The declared Services and namespaces that exist on one cluster, and the Services with the names of mirrors."""

    services: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)  # by namespace and name
    namespaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # metadata by name


def read_declared_objects(client: KubeClient, declared: DeclaredTarget) -> DeclaredObjects:
    """Return the declared Services and namespaces that exist, and the Services with the names of mirrors.

    Args:
        client: the cluster's client.
        declared: the declared Services and namespaces.

    Raises:
        NotReadableError: an object cannot be read.
        ApiUnreachableError, BadCredentialsError: no object can be read.
    """
    services: dict[tuple[str, str], Mapping[str, Any]] = {}
    keys = [(each.namespace, each.name) for each in declared.services]
    keys += [(each.namespace, each.name) for each in declared.mirrors]
    for namespace in dict.fromkeys(namespace for namespace, _ in keys):
        names = list(dict.fromkeys(name for each, name in keys if each == namespace))
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/services"
        if len(names) > _MAX_SINGLE_REQUESTS:
            response = client.get(path, f"the Services of namespace {namespace}") or {}
            items = as_mappings(response.get("items"))
            bodies = {as_text(as_mapping(each, "metadata").get("name")): each for each in items}
        else:
            bodies = {
                name: body
                for name in names
                if (body := client.get(f"{path}/{quote(name, safe='')}", f"Service {namespace}/{name}")) is not None
            }
        services |= {(namespace, name): bodies[name] for name in names if name in bodies}
    namespaces = {
        name: live
        for name in _list_namespace_names(declared)
        if (live := client.get(f"/api/v1/namespaces/{quote(name, safe='')}", f"namespace {name}", METADATA_MEDIA_TYPE))
        is not None
    }
    return DeclaredObjects(services=services, namespaces=namespaces)


def _list_namespace_names(declared: DeclaredTarget) -> list[str]:
    declared_names = [each.name for each in declared.namespaces]
    service_namespaces = [each.namespace for each in declared.services]
    mirror_namespaces = [each.namespace for each in declared.mirrors]
    return list(dict.fromkeys([*declared_names, *service_namespaces, *mirror_namespaces]))


def parse_service(live: Mapping[str, Any]) -> LiveService:
    """Return the facts about a Service."""
    spec = as_mapping(live.get("spec"))
    ports = [port for port in as_mappings(spec.get("ports")) if as_text(port.get("protocol")) in ("", "TCP")]
    return LiveService(
        ports=tuple(
            LivePort(
                name=as_text(port.get("name")),
                port=port["port"],
                target=_parse_target_port(port),
                app_protocol=as_text(port.get("appProtocol")),
            )
            for port in ports
            if isinstance(port.get("port"), int)
        ),
        selector={key: as_text(value) for key, value in as_mapping(spec.get("selector")).items()},
        labels={key: as_text(value) for key, value in as_mapping(dict(live), "metadata", "labels").items()},
        uid=as_text(as_mapping(dict(live), "metadata").get("uid")),
        is_headless=spec.get("clusterIP") == "None",
    )


def _parse_target_port(port: Mapping[str, Any]) -> int | str:
    target = port.get("targetPort")
    return target if target and isinstance(target, (int, str)) else int(port["port"])


def list_pods(client: KubeClient, service: str, namespace: str, live: LiveService) -> list[dict[str, Any]]:
    """Return pods that a Service selects, the first ones if there are many; none without a selector.

    Args:
        client: the cluster's client.
        service: key of the Service, for messages.
        namespace: namespace of the Service.
        live: the Service.

    Raises:
        NotReadableError: the pods cannot be read.
        ApiUnreachableError, BadCredentialsError: no object can be read.
    """
    if not live.selector:
        return []
    selector = quote(",".join(f"{key}={value}" for key, value in live.selector.items()), safe="")
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods?labelSelector={selector}&limit={_MAX_PODS}"
    return as_mappings((client.get(path, f"the pods of Service {service}") or {}).get("items"))
