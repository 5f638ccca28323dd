"""Environment variables and arguments of containers.

https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hack.lab.dataplane.namespaces import SYSTEM_PATH

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z0-9_.-]+)\))")
_MAP_FIELD = re.compile(r"metadata\.(labels|annotations)(?:\['(?P<key>.+)'\])?")

FindObject = Callable[[str, str], Mapping[str, Any] | None]
"""Returns a ConfigMap or Secret of the pod's namespace, by kind (`configMap` or `secret`) and name."""


class MissingObjectError(Exception):
    """A pod refers to an object or a key that does not exist (yet)."""


@dataclass(frozen=True, kw_only=True)
class PodFields:
    """A pod's fields that containers can refer to."""

    pod: Mapping[str, Any]
    address: str
    node_address: str

    def read(self, path: str) -> str:
        """Return the value of a `fieldRef`.

        Raises:
            ValueError: Kubernetes has no such field.
        """
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        if match := _MAP_FIELD.fullmatch(path):
            values = metadata.get(match[1]) or {}
            if match["key"]:
                return str(values.get(match["key"], ""))
            return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
        values = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.nodeName": spec["nodeName"],
            "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
            "status.podIP": self.address,
            "status.podIPs": self.address,
            "status.hostIP": self.node_address,
            "status.hostIPs": self.node_address,
        }
        if path not in values:
            raise ValueError(f"fieldRef {path}: no such field")
        return str(values[path])


def expand(value: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value; `$$` becomes `$`, and unknown names are kept."""

    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(replace, value)


def container_environment(
    container: Mapping[str, Any], fields: PodFields, service_ip: str, find: FindObject
) -> dict[str, str]:
    """Return a container's environment: the variables of the API server's Service, then those of the container.

    Raises:
        MissingObjectError: a ConfigMap, a Secret or a key is missing and not optional.
    """
    variables = {
        "PATH": SYSTEM_PATH,
        "HOSTNAME": fields.read("metadata.name"),
        "KUBERNETES_SERVICE_HOST": service_ip,
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT": f"tcp://{service_ip}:443",
    }
    for source in container.get("envFrom") or []:
        kind = "configMap" if "configMapRef" in source else "secret"
        reference = source[f"{kind}Ref"]
        for key, content in read_keys(find, kind, reference).items():
            variables[f"{source.get('prefix', '')}{key}"] = content.decode(errors="replace")
    for entry in container.get("env") or []:
        value = _read_entry(entry, container, fields, find, variables)
        if value is not None:
            variables[entry["name"]] = value
    return variables


def read_keys(find: FindObject, kind: str, reference: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the contents of a ConfigMap or Secret by key; nothing if it is missing and optional.

    Raises:
        MissingObjectError: the object is missing and not optional.
    """
    name = reference.get("name") or reference.get("secretName") or ""
    item = find(kind, name)
    if item is None:
        if reference.get("optional"):
            return {}
        raise MissingObjectError(f"{kind} {name}: does not exist yet")
    data = item.get("data") or {}
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in data.items()}
    binary = {key: base64.b64decode(value) for key, value in (item.get("binaryData") or {}).items()}
    return {**{key: value.encode() for key, value in data.items()}, **binary}


def _read_entry(
    entry: Mapping[str, Any],
    container: Mapping[str, Any],
    fields: PodFields,
    find: FindObject,
    variables: Mapping[str, str],
) -> str | None:
    source = entry.get("valueFrom")
    if source is None:
        return expand(entry.get("value", ""), variables)
    if "fieldRef" in source:
        return fields.read(source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return _read_resource(source["resourceFieldRef"]["resource"], container)
    kind = "configMap" if "configMapKeyRef" in source else "secret"
    reference = source[f"{kind}KeyRef"]
    content = read_keys(find, kind, reference).get(reference["key"])
    if content is None and not reference.get("optional"):
        raise MissingObjectError(f"{kind} {reference['name']}: has no key {reference['key']} yet")
    return None if content is None else content.decode(errors="replace")


def _read_resource(resource: str, container: Mapping[str, Any]) -> str:
    """Return a container's request or limit; without a number, one processor."""
    kind, _, name = resource.partition(".")
    value = str((container.get("resources") or {}).get(kind, {}).get(name, "1"))
    return value if value.isdigit() else "1"
