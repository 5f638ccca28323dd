"""The page with all settings, docs/settings.md; made from the schema, and so from the definition itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.config.schema import PREFIX, stack_file_schema

# Where it is kept.
SETTINGS_PAGE = "docs/settings.md"

_INTRODUCTION = """\
# All settings

<!-- `make schema` writes this page from mesh/config/models/stack_file.py. -->

A stack file is `Pulumi.<stack>.yaml`. Its settings stand below `config`, each top key with `multicluster-mesh:` before
it, or with the name of the project that `pulumi new` has made. By this first line, editors that speak to the YAML
language server complete and check them:

```yaml
# yaml-language-server: $schema=./stack.schema.json
```

A key that isn't here is a mistake, and all mistakes of a file are told at once, before any cluster is asked. Secrets
have their places in `trust`, `kubeconfigs`, `imagePullSecret`, `dashboardPassword` and `buoyantCloud`, where
`pulumi config set --secret --path …` writes them; nothing else may be one.
"""
_NULL = {"type": "null"}
_WORDS = {"string": "text", "boolean": "`true`, `false`", "integer": "number", "object": "any mapping"}

Node = Mapping[str, Any]


def settings_page() -> str:
    """The page as it is kept in its file."""
    whole = stack_file_schema()
    page = _Page(whole["definitions"], whole["properties"]["config"]["properties"])
    return "\n".join([_INTRODUCTION, *page.lines()]).rstrip() + "\n"


class _Page:
    def __init__(self, definitions: Mapping[str, Node], top: Mapping[str, Node]) -> None:
        self._definitions = definitions
        self._top = top

    def lines(self) -> Iterator[str]:
        for key, node in self._top.items():
            rows = list(self._rows(node, key.removeprefix(PREFIX)))
            value = self._value(node)
            yield f"## {key}\n"
            yield f"{self._description(node)}\n"
            if value:
                yield f"It is {value}{':' if rows else '.'}\n"
            if rows:
                yield "| setting | value | default | what it says |"
                yield "| --- | --- | --- | --- |"
                yield from rows
                yield ""

    def _rows(self, node: Node, path: str) -> Iterator[str]:
        """A row for each key below a node."""
        for inner, place in self._mappings(node, path):
            for key, child in inner["properties"].items():
                here = f"{place}.{key}"
                same = self._told_elsewhere(child, here)
                value = same or self._value(child)
                default = "needed" if key in inner.get("required", []) else ""
                default = _code(child["default"]) if "default" in child else default
                yield f"| {' | '.join([f'`{here}`', value, default, self._description(child)])} |".replace("  ", " ")
                if not same:
                    yield from self._rows(child, here)

    def _mappings(self, node: Node, path: str) -> Iterator[tuple[Node, str]]:
        """The mappings with keys of their own in a node, and where they are."""
        for choice in _choices(node):
            if "$ref" in choice:
                yield self._definition(choice), path
            elif "items" in choice:
                yield from self._mappings(choice["items"], f"{path}[]")
            elif (item := _item(choice)) is not None:
                yield from self._mappings(item, f"{path}.<cluster>")

    def _told_elsewhere(self, node: Node, path: str) -> str | None:
        """A reference to another top key, if that has all keys of a node."""
        if "$ref" not in node:
            return None
        keys = self._definition(node)["properties"]
        for key, other in self._top.items():
            name = key.removeprefix(PREFIX)
            for told in [self._definition(choice)["properties"] for choice in _choices(other) if "$ref" in choice]:
                if name != path.split(".")[0] and all(told.get(each) == keys[each] for each in keys):
                    without = ", ".join(_code(each) for each in told if each not in keys)
                    but = f" but {without}" if without else ""
                    return f"keys of [`{name}`](#{_anchor(name)}){but}"
        return None

    def _definition(self, node: Node) -> Node:
        found: Node = self._definitions[node["$ref"].rsplit("/", 1)[1]]
        return found

    def _description(self, node: Node) -> str:
        refs = [self._definition(choice) for choice in _choices(node) if "$ref" in choice]
        found = node.get("description") or (refs[0].get("description", "") if refs else "")
        # A row of a table is one line.
        return " ".join(str(found).split()).replace("|", "\\|").replace("<", "&lt;")

    def _value(self, node: Node) -> str:
        """What a node may be, in a few words; nothing if all there is to say are its keys."""
        found: list[str] = []
        for choice in _choices(node):
            if "enum" in choice:
                found += [_code(each) for each in choice["enum"] if each is not None]
            elif "const" in choice:
                found.append(_code(choice["const"]))
            elif "secure" in choice.get("properties", {}):
                found.append("or a secret" if found else "a secret")
            elif "items" in choice:
                each = self._value(choice["items"]) or "mapping"
                found.append(f"a list of {each}{'' if each.startswith('`') else 's'}")
            elif (item := _item(choice)) is not None:
                found.append(_by_key(self._value(item)))
            elif "properties" in choice:
                found.append(f"a mapping with keys among {', '.join(map(_code, choice['properties']))}")
            elif "maximum" in choice:
                found.append(f"{choice['minimum']} to {choice['maximum']}")
            elif "$ref" not in choice:
                found.append(_WORDS[_kind(choice)])
            elif found:
                found.append("or a mapping")
        return ", ".join(found)


def _by_key(value: str) -> str:
    """What a mapping is whose keys are names, by what is under each."""
    return "a mapping of texts" if value == "text" else f"a mapping by cluster{', each ' if value else ''}{value}"


def _item(node: Node) -> Node | None:
    """What is under each key of a mapping whose keys are names."""
    items = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    return next((item for item in items if isinstance(item, dict)), None)


def _choices(node: Node) -> list[Node]:
    return [choice for choice in node.get("anyOf", [node]) if choice != _NULL]


def _kind(node: Node) -> str:
    kind = node["type"]
    return str(kind[0] if isinstance(kind, list) else kind)


def _code(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _anchor(name: str) -> str:
    """What hosts of Git make of a heading."""
    return f"{PREFIX.removesuffix(':')}{name.lower()}"
