"""Syntax of a kubeconfig: YAML or JSON, with the types that kubectl can decode.

Follows https://pkg.go.dev/k8s.io/client-go/tools/clientcmd/api/v1.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from mesh import strict_yaml


class KubeconfigError(Exception):
    """A kubeconfig cannot be read; the message has the file and the reason.

    Args:
        message: file and reason.
        remedy: an instruction; None: the caller has one.
    """

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class _KubeconfigLoader(strict_yaml.PulumiLoader):
    """Loader for YAML as kubectl parses it: dates and times are strings, `y` and `on` are booleans."""


# https://github.com/kubernetes-sigs/yaml/blob/master/goyaml.v2/resolve.go
_KubeconfigLoader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if not tag.endswith((":bool", ":int", ":float"))]
    for first, resolvers in strict_yaml.PulumiLoader.yaml_implicit_resolvers.items()
}
for _tag, _shape, _first in (
    ("bool", r"(y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$", "yYoOtTnNfF"),
    ("int", r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.nan$", "-+.0123456789"),
):
    _KubeconfigLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_shape), list(_first))


def parse_content(content: bytes | str, label: str) -> dict[str, Any]:
    """Return the content of a kubeconfig.

    Args:
        content: the text.
        label: name of the kubeconfig for messages.

    Raises:
        KubeconfigError: the content is not a kubeconfig.
    """
    try:
        value = strict_yaml.load(content, loader=_KubeconfigLoader)
    except strict_yaml.StrictYamlError as error:
        # PyYAML without libyaml refuses tabs, which JSON allows.
        value = _parse_json(content)
        if value is None:
            raise KubeconfigError(f"{label}: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise KubeconfigError(f"{label}: not a kubeconfig: a mapping was expected, not a {type(value).__name__}")
    for key, expected in (("kind", "Config"), ("apiVersion", "v1")):
        if value.get(key) not in (None, "", expected):
            raise KubeconfigError(f"{label}: not a kubeconfig: `{key}` is not {expected}")
    for path, rule, remedy in _find_type_errors(value, _KUBECONFIG_SCHEMA, ""):
        raise KubeconfigError(f"{label}: {path}: {rule}", remedy)
    return value


def _parse_json(content: bytes | str) -> dict[str, Any] | None:
    """Return a JSON object, or None if the content is not one that YAML's limits and rules allow."""
    tab, space = ("\t", " ") if isinstance(content, str) else (b"\t", b" ")
    if content.lstrip()[:1] not in ("{", b"{") or tab not in content:  # type: ignore[operator]  # both are one type
        return None
    try:
        json.loads(content)
        # Outside of strings, tabs are white space; JSON allows none inside.
        value = strict_yaml.load(content.replace(tab, space), loader=_KubeconfigLoader)  # type: ignore[arg-type]
    except (ValueError, RecursionError, strict_yaml.StrictYamlError):
        return None
    return value if isinstance(value, dict) else None


# Types of the fields that are read: a name of `_TYPES`, a mapping of fields, a list with the type of its items, or a
# tuple with the type of a mapping's values. Unknown fields are ignored.
_EXTENSIONS_SCHEMA: Any = [{"name": "text"}]
_KUBECONFIG_SCHEMA: Any = {
    "current-context": "text",
    "clusters": [
        {
            "name": "text",
            "cluster": {
                "server": "text",
                "tls-server-name": "text",
                "insecure-skip-tls-verify": "boolean",
                "certificate-authority": "text",
                "certificate-authority-data": "base64",
                "proxy-url": "text",
                "disable-compression": "boolean",
                "extensions": _EXTENSIONS_SCHEMA,
            },
        }
    ],
    "contexts": [{"name": "text", "context": {"cluster": "text", "user": "text", "namespace": "text"}}],
    "users": [
        {
            "name": "text",
            "user": {
                "client-certificate": "text",
                "client-certificate-data": "base64",
                "client-key": "text",
                "client-key-data": "base64",
                "token": "text",
                "tokenFile": "text",
                "as": "text",
                "as-uid": "text",
                "as-groups": ["text"],
                "as-user-extra": (["text"],),
                "username": "text",
                "password": "text",
                "auth-provider": {"name": "text", "config": ("text",)},
                "exec": {
                    "command": "text",
                    "args": ["text"],
                    "env": [{"name": "text", "value": "text"}],
                    "apiVersion": "text",
                    "installHint": "text",
                    "provideClusterInfo": "boolean",
                    "interactiveMode": "text",
                },
            },
        }
    ],
}
_TYPES: dict[str, type] = {"text": str, "base64": str, "boolean": bool}


def _find_type_errors(value: Any, schema: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, rule and remedy for the values that kubectl cannot decode, without the values."""
    if value is None:
        return
    if isinstance(schema, str):
        if not isinstance(value, _TYPES[schema]):
            remedy = "write `true` or `false`" if schema == "boolean" else "enclose it in quotes"
            if isinstance(value, (dict, list)):
                remedy = "correct the value"
            yield path, f"a {'boolean' if schema == 'boolean' else 'string'} was expected", remedy
        elif schema == "base64" and not _is_base64(str(value)):
            yield path, "not valid base64", "copy the value again, or log in again"
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield path, "a list was expected", "correct the value"
            return
        for index, item in enumerate(value):
            yield from _find_type_errors(item if item is not None else {}, schema[0], f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield path, "a mapping was expected", "correct the value"
    else:
        for key, item in value.items():
            item_schema = schema[0] if isinstance(schema, tuple) else schema.get(key)
            if item_schema is not None:
                yield from _find_type_errors(item, item_schema, f"{path}.{key}" if path else str(key))


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(re.sub("[\r\n]", "", text), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
