"""Check of the stack file's chart values against the charts: Helm ignores values that a chart does not have.

A chart has the values of its values.yaml and its values.schema.json, and those that its templates read. Maps without
fixed keys are not checked: empty ones in values.yaml, labels and other parts of Kubernetes objects, `global`, and the
values of a chart's dependencies.

A chart is read only if the stack file sets values of it. A chart that cannot be read is a warning.
Follows https://helm.sh/docs/topics/charts/ (values files, schema files, dependencies).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from mesh.concurrency import run_concurrently
from mesh.config.chart_values import SERVICE_MIRROR
from mesh.config.errors import join_names, suggest
from mesh.config.resolved import ChartValues
from mesh.linkerd_releases import LinkerdRelease
from mesh.message_format import ELLIPSIS, escape_unprintable, format_path
from mesh.paths import PROJECT_ROOT
from mesh.strict_yaml import Limits, StrictYamlError, load_all

if TYPE_CHECKING:
    from mesh.chart_repository import ChartFiles

    ReadCharts = Callable[[str, Sequence[tuple[str, str]]], Mapping[tuple[str, str], ChartFiles | str]]

# For all responses of all chart sources, which are read at the same time.
READ_TIMEOUT_S = 30.0
# Values of the chart service-mirror that exist under the same name in the entries of `controllers`, from Linkerd 2.18.
CONTROLLER_VALUES = (
    "replicas",
    "enablePodAntiAffinity",
    "logLevel",
    "logFormat",
    "resources",
    "nodeSelector",
    "tolerations",
)

_VALUES_LIMITS = Limits(max_bytes=4 * 2**20, max_values=50_000)
_MAX_SCHEMA_PARTS = 50_000
# Keywords of a JSON Schema that restrict a value without `type`.
_TYPED_BY = {"$ref", "allOf", "anyOf", "oneOf", "if", "enum", "const"}
# Parts of Kubernetes objects. A chart's defaults contain some of their keys, but accept all.
_KUBERNETES_MAPS = re.compile(
    r".*(annotations|labels|selector|resources|affinity|securitycontext|env|strategy|rollingupdate|lifecycle|dnsconfig"
    r"|(liveness|readiness|startup)probe)",
    re.IGNORECASE,
)
# Values in templates: `.Values.a.b`, and the second key of `hasKey .Values.a "b"`.
_VALUE = re.compile(r"\.Values((?:\.\w+)+)")
_LOOKUP = re.compile(r'\b(?:hasKey|get|index)\s+\(?\$?[\w.]*\.Values((?:\.\w+)*)\)?\s+"(\w+)"')
# Maps that a template renders or iterates as a whole, so that each key has an effect.
_RENDERING = r"(?:toYaml|toJson|range(?:\s+\$\w+\s*,\s*\$\w+\s*:?=)?)"
_WHOLE_MAPS = (
    re.compile(rf"\b{_RENDERING}\s+\(?\$?[\w.]*\.Values((?:\.\w+)+)(?![\w.])"),
    re.compile(r"\.Values((?:\.\w+)+)\s*\|\s*to(?:Yaml|Json)\b"),
    re.compile(
        r"\bwith\s+\$?[\w.]*\.Values((?:\.\w+)+)\s*-?\}\}"
        rf"(?:(?!\{{\{{-?\s*end\b).){{0,2000}}?\b{_RENDERING}\s+\.(?![\w.])",
        re.DOTALL,
    ),
)
_DEFINITION = re.compile(r'\{\{-?\s*define\s+"([^"]+)"')
_INCLUSION = re.compile(r'\b(?:include|template)\s+"([^"]+)"')


class _InvalidChartError(Exception):
    """A file of a chart that cannot be parsed; the message contains the reason."""


@dataclass(kw_only=True)
class _Node:
    """A value of a chart: its keys, and whether it accepts others."""

    keys: dict[str, _Node] = field(default_factory=dict)
    is_open: bool = False

    def find(self, path: Sequence[str]) -> _Node | None:
        """Return the value at a path."""
        node: _Node | None = self
        for key in path:
            node = node.keys.get(key) if node is not None else None
        return node

    def find_key(self, key: str, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        """Yield the path of each value with a key."""
        for name, node in self.keys.items():
            if name == key:
                yield (*path, name)
            yield from node.find_key(key, (*path, name))


def find_unknown_values(chart_values: Sequence[ChartValues], linkerd_release: LinkerdRelease) -> list[str]:
    """Return a warning for each value that the chart does not have, and for each chart that cannot be read.

    Args:
        chart_values: the values in the stack file.
        linkerd_release: the Linkerd release of the mesh.
    """
    if not chart_values:
        return []
    charts = _read_charts(chart_values, linkerd_release)
    warnings: dict[str, None] = {}
    unreadable: set[tuple[str, str]] = set()
    for each in chart_values:
        chart = charts[each.source, each.chart, each.version]
        if isinstance(chart, _Node):
            label = f"{each.chart} {each.version}"
            if each.chart == SERVICE_MIRROR:
                label = f"the service mirror of Linkerd {each.version}"
            warnings.update(dict.fromkeys(_check(each, chart, label)))
        elif (each.source, each.chart) not in unreadable:
            unreadable.add((each.source, each.chart))
            rule = f"the values were not checked, because {each.chart} {each.version} cannot be read ({chart})"
            remedy = "make the chart source reachable, or compare them with the chart's values.yaml"
            warnings[_warning(each.path, rule, remedy)] = None
    return list(warnings)


def _read_charts(
    chart_values: Sequence[ChartValues], linkerd_release: LinkerdRelease
) -> dict[tuple[str, str, str], _Node | str]:
    """Return the values of each chart by source, name and version, or the reason why it cannot be read."""
    # The import is slow, and most stack files set no values.
    from mesh import chart_repository

    results: dict[tuple[str, str, str], _Node | str] = {}
    by_source: dict[str, dict[tuple[str, str], None]] = {}
    for each in chart_values:
        if each.chart != SERVICE_MIRROR:
            by_source.setdefault(each.source, {})[each.chart, each.version] = None
        elif linkerd_release.has_link_controllers:
            keys = {key: _Node(is_open=True) for key in CONTROLLER_VALUES}
            results[each.source, each.chart, each.version] = _Node(keys=keys)
        else:
            files = chart_repository.read_chart_folder(PROJECT_ROOT / "charts" / SERVICE_MIRROR)
            results[each.source, each.chart, each.version] = _chart_tree(files)
    jobs: list[Callable[[], None]] = [
        partial(_read_source, source, list(charts), results, chart_repository.read_charts)
        for source, charts in by_source.items()
    ]
    if jobs:
        try:
            run_concurrently(jobs, idle_timeout_s=READ_TIMEOUT_S, threads=len(jobs))
        except TimeoutError as error:
            for source, charts in by_source.items():
                for chart, version in charts:
                    results.setdefault((source, chart, version), f"{source}: {error}")
    return results


def _read_source(
    source: str,
    charts: Sequence[tuple[str, str]],
    results: dict[tuple[str, str, str], _Node | str],
    read_charts: ReadCharts,
) -> None:
    for (chart, version), files in read_charts(source, charts).items():
        if isinstance(files, str):
            results[source, chart, version] = files
            continue
        try:
            results[source, chart, version] = _chart_tree(files)
        except _InvalidChartError as error:
            results[source, chart, version] = str(error)


def _chart_tree(files: ChartFiles) -> _Node:
    """Return all values that a chart has.

    Raises:
        _InvalidChartError: the chart's files are invalid.
    """
    root = _Node()
    for path in sorted(files, reverse=True):  # values.yaml before values-ha.yaml
        if re.fullmatch(r"values[^/]*\.yaml", path):
            _add_defaults(root, _parse(files, path))
    if "values.schema.json" in files:
        _add_schema(root, _parse(files, "values.schema.json"))
    templates = _included_templates(files)
    for keys in sorted(_find_references(templates)):
        _add_reference(root, keys)
    for keys in _find_whole_maps(templates):
        node = root.find(keys)
        if node is not None:
            node.is_open = True
    # Helm passes them to the dependencies.
    for name in ("global", *_list_dependencies(files)):
        root.keys[name] = _Node(is_open=True)
    root.is_open = False
    return root


def _parse(files: ChartFiles, path: str) -> dict[str, Any]:
    try:
        if path.endswith(".json"):
            content = json.loads(files[path])
        else:
            content = next(iter(load_all(files[path], _VALUES_LIMITS)), None)
    except (StrictYamlError, ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, StrictYamlError) else "not JSON"
        raise _InvalidChartError(f"{path}: {reason}") from None
    return content if isinstance(content, dict) else {}


def _add_defaults(node: _Node, defaults: Mapping[Any, Any]) -> None:
    for key, value in defaults.items():
        child = node.keys.setdefault(str(key), _Node())
        if isinstance(value, dict) and value:
            _add_defaults(child, value)
        elif value is None or value == "" or isinstance(value, dict | list):
            child.is_open = True


def _add_schema(tree: _Node, root: Mapping[str, Any]) -> None:
    """Add the keys of a JSON Schema.

    Raises:
        _InvalidChartError: the schema is too large.
    """
    parts = 0

    def add(node: _Node, schema: Any, references: tuple[str, ...]) -> None:
        nonlocal parts
        parts += 1
        if parts > _MAX_SCHEMA_PARTS:
            raise _InvalidChartError(f"values.schema.json: more than {_MAX_SCHEMA_PARTS} parts")
        if not isinstance(schema, dict):
            node.is_open = node.is_open or schema is True
            return
        properties = schema.get("properties")
        for key, part in properties.items() if isinstance(properties, dict) else ():
            add(node.keys.setdefault(str(key), _Node()), part, references)
        reference = schema.get("$ref")
        if reference in references:
            node.is_open = True  # a recursive schema allows any depth
        elif isinstance(reference, str):
            add(node, _resolve_reference(root, reference), (*references, reference))
        for part in [
            *(part for group in ("allOf", "anyOf", "oneOf") for part in _as_list(schema.get(group))),
            *(schema[name] for name in ("if", "then", "else") if name in schema),
        ]:
            add(node, part, references)
        if schema.get("additionalProperties") or schema.get("patternProperties"):
            node.is_open = True
        elif not node.keys and schema.get("additionalProperties") is not False:
            types = _as_list(schema.get("type"))
            is_untyped = not types and not schema.keys() & _TYPED_BY
            node.is_open = node.is_open or "object" in types or is_untyped

    add(tree, root, ())


def _resolve_reference(root: Mapping[str, Any], reference: str) -> Any:
    """Return the part of a schema that a local reference names, or True for other references."""
    if not reference.startswith("#"):
        return True
    part: Any = root
    for key in filter(None, reference.removeprefix("#").split("/")):
        part = part.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(part, dict) else None
    return part if part is not None else True


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _included_templates(files: ChartFiles) -> list[str]:
    """Return the text of the chart's templates, and of the dependencies' helper templates that they include."""
    texts = {path: content.decode("utf-8", "replace") for path, content in files.items()}
    definitions: dict[str, str] = {}
    for path, text in texts.items():
        if "/_" in path:
            # The text before the first definition, then names and texts in turn.
            _, *parts = _DEFINITION.split(text)
            definitions.update(zip(parts[::2], parts[1::2], strict=True))
    templates = [text for path, text in texts.items() if path.startswith("templates/")]
    for text in templates:  # grows in the loop
        for name in _INCLUSION.findall(text):
            if name in definitions:
                templates.append(definitions.pop(name))
    return templates


def _find_references(templates: Sequence[str]) -> set[tuple[str, ...]]:
    """Return the paths of all values that templates read."""
    values = (match[1] for text in templates for match in _VALUE.finditer(text))
    lookups = (f"{match[1]}.{match[2]}" for text in templates for match in _LOOKUP.finditer(text))
    return {tuple(path.split(".")[1:]) for path in (*values, *lookups)}


def _find_whole_maps(templates: Sequence[str]) -> set[tuple[str, ...]]:
    """Return the paths of all maps that templates render or iterate as a whole."""
    matches = (match for text in templates for pattern in _WHOLE_MAPS for match in pattern.finditer(text))
    return {tuple(match[1].split(".")[1:]) for match in matches}


def _add_reference(root: _Node, path: Sequence[str]) -> None:
    node = root
    for number, key in enumerate(path, 1):
        child = node.keys.get(key)
        if child is None:
            if node.is_open and node is not root:
                return
            # The template shows no keys of it.
            child = node.keys[key] = _Node(is_open=number == len(path))
        node = child


def _list_dependencies(files: ChartFiles) -> Iterator[str]:
    # Older charts list them in a file of their own.
    for file in {"Chart.yaml", "requirements.yaml"} & files.keys():
        for entry in _as_list(_parse(files, file).get("dependencies")):
            if isinstance(entry, dict):
                yield str(entry.get("alias") or entry.get("name"))
                if entry.get("tags"):
                    yield "tags"
    for path in files:
        match = re.fullmatch(r"charts/([^/]+)/Chart\.yaml", path)
        if match is not None:
            yield match[1]


def _check(values: ChartValues, root: _Node, label: str) -> Iterator[str]:
    def check(node: _Node, content: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
        for key, value in content.items():
            child = node.keys.get(key)
            if child is None:
                if not node.is_open:
                    rule = f"{label} has no such value, so the setting has no effect"
                    yield _warning((*values.path, *path, key), rule, _remedy(root, node, key))
            elif isinstance(value, dict) and not _KUBERNETES_MAPS.fullmatch(key):
                yield from check(child, value, (*path, key))

    yield from check(root, values.values, ())


def _remedy(root: _Node, node: _Node, key: str) -> str:
    nested = key.split(".")
    if len(nested) > 1 and root.find(nested) is not None:
        return f"write it as nested keys: {': { '.join(nested)}: {ELLIPSIS}{' }' * (len(nested) - 1)}"
    remove = "remove it"
    similar = suggest(key, list(node.keys), otherwise=remove)
    if similar != remove:
        return similar
    elsewhere = sorted(root.find_key(key), key=len)[:2]
    if elsewhere:
        return f"move it to {' or '.join(map('.'.join, elsewhere))}"
    return f"{remove}, or choose one of {join_names(list(node.keys))}" if node.keys else remove


def _warning(path: Sequence[str], rule: str, remedy: str) -> str:
    # The value may be a secret.
    return escape_unprintable(f"{format_path(path)}: {ELLIPSIS}: {rule}; {remedy}")
