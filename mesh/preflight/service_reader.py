"""Reads the declared Services and namespaces of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.service_facts import LivePort, LiveService


def read_service(client: KubeClient, namespace: str, name: str) -> LiveService | None:
    """Return a Service, or None if it does not exist.

    Args:
        client: the cluster's client.
        namespace: namespace of the Service.
        name: name of the Service.

    Raises:
        NotReadableError: the Service cannot be read.
        ApiUnreachableError, BadCredentialsError: no object can be read.
    """
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/services/{quote(name, safe='')}"
    live = client.get(path, f"Service {namespace}/{name}")
    return None if live is None else parse_service(live)


def list_existing_namespaces(client: KubeClient, names: Iterable[str]) -> list[str]:
    """Return those of the namespaces that exist; raise as `read_service` does.

    Args:
        client: the cluster's client.
        names: names of namespaces.
    """
    return [
        name
        for name in names
        if client.get(f"/api/v1/namespaces/{quote(name, safe='')}", f"namespace {name}", METADATA_MEDIA_TYPE)
    ]


def parse_service(live: Mapping[str, Any]) -> LiveService:
    """Return the facts about a Service."""
    spec = as_mapping(live.get("spec"))
    ports = [port for port in as_mappings(spec.get("ports")) if as_text(port.get("protocol")) in ("", "TCP")]
    return LiveService(
        ports=tuple(
            LivePort(
                name=as_text(port.get("name")),
                port=port["port"],
                target=port.get("targetPort") or port["port"],
                app_protocol=as_text(port.get("appProtocol")),
            )
            for port in ports
            if isinstance(port.get("port"), int)
        ),
        selector={key: as_text(value) for key, value in as_mapping(spec.get("selector")).items()},
        labels={key: as_text(value) for key, value in as_mapping(live, "metadata", "labels").items()},
        is_headless=spec.get("clusterIP") == "None",
    )
