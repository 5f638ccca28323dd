"""Routes from an OpenAPI document, version 2 or 3, as `linkerd profile --open-api` generates them.

Linkerd reads each document as version 2. So a prefix of the paths comes from `basePath`, never from `servers`, and
`trace` operations have no route. Only operations can have `x-linkerd-retryable` and `x-linkerd-timeout`.
https://github.com/linkerd/linkerd2/blob/main/pkg/profiles/openapi.go
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from mesh import durations, strict_yaml
from mesh.service_profiles.document import DocumentFault, ProfileDocumentError, document_error, quote, read_document
from mesh.service_profiles.routes import ProfileRoute, ResponseClass, check_size, quote_regex

# Methods in the order of their routes.
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
# Documents with hundreds of paths and long schemas have some MiB. Each value needs 500 bytes of memory.
LIMITS = strict_yaml.Limits(max_bytes=16 * 2**20, max_values=400_000)

_TAG = "tag:yaml.org,2002:"
_TRUE = ("true", "yes", "on")
# Merge keys inside merged mappings.
_MAX_MERGES = 50
_PATH_REMEDY = "write it as in /authors/{id}"

# A key's node and its value, by the key's text.
_Fields = Mapping[str, tuple[yaml.Node, yaml.Node]]


def read_openapi(file: Path, *, has_shortened_paths: bool) -> list[ProfileRoute]:
    """Return the routes of an OpenAPI document, in the order of Linkerd's CLI.

    Args:
        file: the document, YAML or JSON.
        has_shortened_paths: whether the routes have paths without a slash at the end
            (`LinkerdRelease.has_shortened_profile_paths`).

    Raises:
        ProfileDocumentError: the document is invalid; the exception contains its faults.
    """
    content = read_document(file, LIMITS.max_bytes)
    try:
        root = strict_yaml.compose(content, LIMITS)
    except strict_yaml.StrictYamlError as error:
        rule, _, remedy = str(error).partition("; ")
        default = "correct the syntax" if rule.startswith("not YAML") else "leave out what routes do not need"
        raise document_error(file, rule, remedy or default) from None
    if root is None or _is_null(root):
        raise document_error(file, "empty document", "write a document of OpenAPI 2 or 3")
    reader = _Reader(has_shortened_paths=has_shortened_paths)
    routes = reader.read_root(root)
    if reader.faults:
        raise ProfileDocumentError(file, reader.faults)
    check_size(file, routes)
    return routes


def path_regex(path: str) -> str:
    """Return a regular expression for a path; a parameter such as `{id}` matches one part of it."""
    head, end, tail = path.rpartition("}")
    # Without the text after the last brace, the time is linear even for many opening braces.
    literals = re.split(r"\{[^}]*\}", head + end)
    return "[^/]*".join(map(quote_regex, literals)) + quote_regex(tail)


class _Reader:
    """Reader of one document, which collects faults.

    Keys of mappings are case-insensitive as in Go, except extensions.
    """

    def __init__(self, *, has_shortened_paths: bool) -> None:
        self.faults: list[DocumentFault] = []
        self._has_shortened_paths = has_shortened_paths

    def read_root(self, root: yaml.Node) -> list[ProfileRoute]:
        """Return the routes of the document; meaningless if there are faults."""
        fields = self._read_mapping(root, "the document")
        if fields is None or not self._check_version(root, fields):
            return []
        base_path = self._read_base_path(fields)
        paths = _find(fields, "paths")
        if paths is None:
            self._add(root, "no paths", "add paths with the operations of the service")
            return []
        items = self._read_mapping(paths, "paths") or {}
        routes = [
            route
            for path in sorted(items)
            if self._is_path(path, items[path][0])
            for route in self._read_path_item(self._join(base_path, path), items[path][1])
        ]
        if not routes and not self.faults:
            self._add(paths, "no operations", "add paths with the operations of the service")
        return routes

    def _check_version(self, root: yaml.Node, fields: _Fields) -> bool:
        version = _find(fields, "swagger")
        if version is not None and _text(version) == "2.0":
            return True
        version = _find(fields, "openapi") or version
        if version is not None and re.match(r"3\.[0-9]", _text(version) or ""):
            return True
        remedy = 'write a document of OpenAPI 2 or 3, with swagger: "2.0" or openapi: 3.0.0'
        rule = "no version of OpenAPI" if version is None else "not a supported version of OpenAPI"
        self._add(version or root, rule, remedy)
        return False

    def _read_base_path(self, fields: _Fields) -> str:
        node = _find(fields, "basePath")
        if node is None or _is_null(node) or _text(node) == "":
            return ""
        text = _text(node)
        if text is None or not text.startswith("/") or not text.isprintable():
            self._add(node, "basePath is not a path", "write it as in /api/v2")
            return ""
        return text

    def _is_path(self, path: str, key: yaml.Node) -> bool:
        if path.lower().startswith("x-"):
            return False
        if not path.startswith("/"):
            self._add(key, f"path {quote(path)} must begin with a slash", _PATH_REMEDY)
        elif not path.isprintable():
            self._add(key, f"path {quote(path)} has unprintable characters", _PATH_REMEDY)
        else:
            return True
        return False

    def _join(self, base_path: str, path: str) -> str:
        if self._has_shortened_paths:
            # Go's path.Clean, except for two slashes at the beginning.
            return posixpath.normpath(f"/{base_path.lstrip('/')}{path}".replace("//", "/", 1))
        return f"{base_path.rstrip('/')}/{path.lstrip('/')}"

    def _read_path_item(self, path: str, node: yaml.Node) -> Iterator[ProfileRoute]:
        fields = self._read_mapping(node, f"path {quote(path)}") or {}
        if (reference := _find(fields, "$ref")) is not None:
            rule = f"Linkerd does not follow the $ref of path {quote(path)}"
            self._add(reference, rule, "write the operations of the path here, or bundle the document")
            return
        for method in METHODS:
            operation = _find(fields, method)
            if operation is not None and not _is_null(operation):
                yield self._read_operation(f"{method} {path}", method, path, operation)

    def _read_operation(self, name: str, method: str, path: str, node: yaml.Node) -> ProfileRoute:
        fields = self._read_mapping(node, f"operation {quote(name)}") or {}
        return ProfileRoute(
            name=name,
            method=method,
            path_regex=path_regex(path),
            timeout=self._read_timeout(fields),
            is_retryable=self._read_retryable(fields),
            response_classes=self._read_responses(name, _find(fields, "responses")),
        )

    def _read_timeout(self, fields: _Fields) -> str | None:
        _, node = fields.get("x-linkerd-timeout", (None, None))
        if node is None or _is_null(node):
            return None
        text = _text(node)
        if text == "":
            return None
        if text is None or not durations.is_duration(text):
            self._add(node, f"x-linkerd-timeout {quote(text or '')} is not a duration", durations.REMEDY)
        return text

    def _read_retryable(self, fields: _Fields) -> bool:
        _, node = fields.get("x-linkerd-retryable", (None, None))
        if node is None or _is_null(node):
            return False
        if node.tag != f"{_TAG}bool":
            self._add(node, "x-linkerd-retryable is not a boolean", "write true or false, without quotation marks")
        return (_text(node) or "").lower() in _TRUE

    def _read_responses(self, name: str, node: yaml.Node | None) -> tuple[ResponseClass, ...]:
        fields = self._read_mapping(node, f"responses of {quote(name)}") if node is not None else None
        statuses = set()
        for text, (key, value) in (fields or {}).items():
            # Others are `default`, ranges such as 2XX, and extensions, which Linkerd ignores.
            if re.fullmatch(r"[+-]?[0-9]{1,9}", text):
                self._read_mapping(value, f"response {text} of {quote(name)}")
                statuses.add(int(text))
                if not 100 <= int(text) <= 599:
                    self._add(key, f"invalid status {text} of {quote(name)}", "write a status from 100 to 599")
        return tuple(ResponseClass(status=status) for status in sorted(statuses))

    def _read_mapping(self, node: yaml.Node, name: str) -> _Fields | None:
        """Return the fields of a mapping; None for null and, with a fault, for other values."""
        if isinstance(node, yaml.MappingNode):
            return self._merge(node)
        if not _is_null(node):
            self._add(node, f"{name} is not a mapping", "write keys with values")
        return None

    def _merge(self, node: yaml.MappingNode, depth: int = 0) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return the fields of a mapping and of the mappings that its merge keys name."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag != f"{_TAG}merge":
                if (text := _text(key)) is not None:
                    own[text] = key, value
                continue
            # The first mapping of a list has priority.
            parts = value.value[::-1] if isinstance(value, yaml.SequenceNode) else [value]
            if depth == _MAX_MERGES or not all(isinstance(part, yaml.MappingNode) for part in parts):
                self._add(key, "merge key without a mapping, or with too many", "write the keys here")
                continue
            for part in parts:
                merged |= self._merge(part, depth + 1)
        return {**merged, **own}

    def _add(self, node: yaml.Node, rule: str, remedy: str) -> None:
        self.faults.append(DocumentFault(line=node.start_mark.line + 1, rule=rule, remedy=remedy))


def _find(fields: _Fields, name: str) -> yaml.Node | None:
    """Return the value of a field, whose name is case-insensitive."""
    if name in fields:
        return fields[name][1]
    return next((value for text, (_, value) in fields.items() if text.lower() == name.lower()), None)


def _text(node: yaml.Node) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == f"{_TAG}null")
