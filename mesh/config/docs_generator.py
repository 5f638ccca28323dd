"""Generator of docs/settings.md, the page with all settings, from the JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.config.schema import PREFIX, build_schema

SETTINGS_PAGE = "docs/settings.md"

_INTRODUCTION = """\
# All settings

<!-- `make schema` generates this page from the models in mesh/config/models/. -->

The stack file is `Pulumi.<stack>.yaml`. Its settings are below `config`. Each top-level key has the prefix
`multicluster-mesh:`. In a project that `pulumi new` created, the prefix can also be the project's name.

With this first line, editors with a YAML language server complete and check the settings:

```yaml
# yaml-language-server: $schema=./stack.schema.json
```

Unknown keys are errors. `preview` and `up` report all errors of a file at once, before they contact any cluster.

Only `trust`, `kubeconfigs`, `imagePullSecret`, `dashboardPassword` and `buoyantCloud` can contain secrets. Write them
with `pulumi config set --secret --path …`.

A required setting is required only if the mapping that contains it is present.
"""
_NULL = {"type": "null"}
# Placeholders for the keys of mappings, by path; other mappings are by cluster.
_ENTRY_NAMES = {"namespaces": "<namespace>", "services": "<namespace>/<service>"}
_TYPE_WORDS = {"string": "text", "boolean": "`true`, `false`", "integer": "number", "object": "any mapping"}

Node = Mapping[str, Any]


def render_settings_page() -> str:
    """Return the content of the settings page."""
    schema = build_schema()
    page = _Page(schema["definitions"], schema["properties"]["config"]["properties"])
    return "\n".join([_INTRODUCTION, *page.render_lines()]).rstrip() + "\n"


class _Page:
    """Renderer of the page: one section per top-level key, one table row per setting."""

    def __init__(self, definitions: Mapping[str, Node], top: Mapping[str, Node]) -> None:
        self._definitions = definitions
        self._top = top

    def render_lines(self) -> Iterator[str]:
        for key, node in self._top.items():
            rows = list(self._render_rows(node, key.removeprefix(PREFIX)))
            entry_name = _ENTRY_NAMES.get(key.removeprefix(PREFIX))
            value = self._describe_value(node) if entry_name is None else f"a mapping by `{entry_name}`"
            yield f"## {key}\n"
            yield f"{self._read_description(node)}\n"
            if value:
                yield f"Value: {value}{':' if rows else '.'}\n"
            if rows:
                yield "| setting | value | default | meaning |"
                yield "| --- | --- | --- | --- |"
                yield from rows
                yield ""

    def _render_rows(self, node: Node, path: str) -> Iterator[str]:
        """Yield a row for each key below a node."""
        for mapping, mapping_path in self._list_mappings(node, path):
            for key, child in mapping["properties"].items():
                child_path = f"{mapping_path}.{key}"
                reference = self._find_reference(child, child_path)
                value = reference or self._describe_value(child)
                default = "required" if key in mapping.get("required", []) else ""
                default = _format_code(child["default"]) if "default" in child else default
                cells = [f"`{child_path}`", value, default, self._read_description(child)]
                yield f"| {' | '.join(cells)} |".replace("  ", " ")
                if not reference:
                    yield from self._render_rows(child, child_path)

    def _list_mappings(self, node: Node, path: str) -> Iterator[tuple[Node, str]]:
        """Yield the mappings with named keys in a node, with their paths."""
        for choice in _list_choices(node):
            if "$ref" in choice:
                yield self._find_definition(choice), path
            elif "items" in choice:
                yield from self._list_mappings(choice["items"], f"{path}[]")
            elif (entry := _find_entry_schema(choice)) is not None:
                yield from self._list_mappings(entry, f"{path}.{_ENTRY_NAMES.get(path, '<cluster>')}")

    def _find_reference(self, node: Node, path: str) -> str | None:
        """Return a link to the section of another top-level key that has all keys of a node; None without one."""
        if "$ref" not in node:
            return None
        keys = self._find_definition(node)["properties"]
        for top_key, top_node in self._top.items():
            name = top_key.removeprefix(PREFIX)
            for choice in _list_choices(top_node):
                if "$ref" not in choice or name == path.split(".")[0]:
                    continue
                top_keys = self._find_definition(choice)["properties"]
                if all(top_keys.get(key) == keys[key] for key in keys):
                    missing = ", ".join(_format_code(key) for key in top_keys if key not in keys)
                    exception = f" except {missing}" if missing else ""
                    return f"keys of [`{name}`](#{_build_anchor(name)}){exception}"
        return None

    def _find_definition(self, node: Node) -> Node:
        definition: Node = self._definitions[node["$ref"].rsplit("/", 1)[1]]
        return definition

    def _read_description(self, node: Node) -> str:
        definitions = [self._find_definition(choice) for choice in _list_choices(node) if "$ref" in choice]
        description = node.get("description") or (definitions[0].get("description", "") if definitions else "")
        # A table row must be one line. Placeholders such as `<service>` are in backquotes, so `<` needs no escape.
        return " ".join(str(description).split()).replace("|", "\\|")

    def _describe_value(self, node: Node) -> str:
        """Return the accepted values of a node in words; empty for a plain mapping, whose keys have their own rows."""
        words: list[str] = []
        for choice in _list_choices(node):
            if "enum" in choice:
                words += [_format_code(value) for value in choice["enum"] if value is not None]
            elif "const" in choice:
                words.append(_format_code(choice["const"]))
            elif "secure" in choice.get("properties", {}):
                words.append("or a secret" if words else "a secret")
            elif "items" in choice:
                entry_words = self._describe_value(choice["items"]) or "mapping"
                words.append(f"a list of {entry_words}{'' if entry_words.startswith('`') else 's'}")
            elif (entry := _find_entry_schema(choice)) is not None:
                words.append(_describe_mapping(self._describe_value(entry)))
            elif "properties" in choice:
                words.append(f"a mapping with keys from {', '.join(map(_format_code, choice['properties']))}")
            elif "maximum" in choice:
                words.append(f"{choice['minimum']} to {choice['maximum']}")
            elif "$ref" not in choice:
                words.append(_TYPE_WORDS[_read_type(choice)])
            elif words:
                words.append("or a mapping")
        return ", ".join(words)


def _describe_mapping(entry_words: str) -> str:
    """Return the words for a mapping whose keys are names, from those for its entries."""
    if entry_words == "text":
        return "a mapping of texts"
    return f"a mapping by cluster{', each ' if entry_words else ''}{entry_words}"


def _find_entry_schema(node: Node) -> Node | None:
    """Return the schema of the entries of a mapping whose keys are names."""
    entries = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    return next((entry for entry in entries if isinstance(entry, dict)), None)


def _list_choices(node: Node) -> list[Node]:
    return [choice for choice in node.get("anyOf", [node]) if choice != _NULL]


def _read_type(node: Node) -> str:
    name = node["type"]
    return str(name[0] if isinstance(name, list) else name)


def _format_code(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _build_anchor(name: str) -> str:
    """Return the anchor that Git hosts generate for a section's heading."""
    return f"{PREFIX.removesuffix(':')}{name.lower()}"
