"""Texts with syntax of shells, templates, YAML, Mermaid or HTML: refused or passed on unchanged."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from mesh.config import SettingsError, parse
from mesh.config.errors import Path
from mesh.config.schema_lookup import ANY_KEY, list_key_paths
from mesh.kube import kubeconfig
from tests.helpers import kubeconfigs
from tests.helpers.full_stack import CILIUM, LINKERD, SECRET_KEYS, set_text, text_paths, with_text
from tests.helpers.fuzz_strategies import DEFINITIONS, SCHEMA
from tests.helpers.mock_engine import Recorder, RunProgram, without_secret_marks
from tests.helpers.stack_files import Environment, read_kubeconfigs_once

pytestmark = pytest.mark.thorough

CONFIGS = {"linkerd": LINKERD, "cilium": CILIUM}
# Each text contains `evil`, by which the test finds it in the results.
HOSTILE_TEXTS = (
    "*evil: {{ fail }}$(id)`id`${HOME}{{ .Values.x }}%s%n\\\"'#: - *a &b !c |>\n"
    "---\nkind: ClusterRole\n\ttab\u202e\u200b\x07<b>",
    '../../evil"]-->{{.Values.x}}$(id)`id`<script>|**b**[c](d)',
)
PROFILE_OWNERS: tuple[Path, ...] = (
    ("services", ANY_KEY),
    ("workloads", ANY_KEY, "podinfo"),
    ("workloads", ANY_KEY, "booksapp"),
)
# Settings that the configurations lack: they name local files, exclude other settings or contain secrets.
UNCOVERED_SETTINGS = {
    ("clusters", ANY_KEY, "kubeconfig"),
    ("clusters", ANY_KEY, "replaces"),
    ("trust", "anchor", "key"),
    ("trust", "issuers", ANY_KEY, "certificate"),
    ("trust", "issuers", ANY_KEY, "key"),
    ("extensions", "gatewayApi", "manifest"),
    ("topology", "except", ANY_KEY, "source"),
    ("workloads", ANY_KEY, "podinfo", "failover", ANY_KEY, "cluster"),
    ("workloads", ANY_KEY, "helloworld", "splits", ANY_KEY, "cluster"),
    *((*owner, "profile", key) for owner in PROFILE_OWNERS for key in ("openapi", "protobuf")),
}


def list_contexts(config: dict[str, Any]) -> list[str]:
    return [cluster.get("context", name) for name, cluster in config["clusters"].items()]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment whose kubeconfig has all contexts, including the hostile texts."""
    names = [*list_contexts(LINKERD), *list_contexts(CILIUM), *HOSTILE_TEXTS]
    servers = {name: {"server": "https://api.example.com"} for name in names}
    return kubeconfigs.write_kubeconfig(tmp_path_factory.mktemp("injection") / "kubeconfig", **servers)


def find_setting_paths(config: dict[str, Any]) -> dict[Path, Path]:
    """Return one path per kind of setting in a configuration, by the generalized path."""
    names = {*config["clusters"], *config.get("namespaces", ()), *config.get("services", ())}
    paths_by_kind: dict[Path, Path] = {}
    for path in text_paths(config):
        kind = tuple(ANY_KEY if isinstance(part, int) or part in names else part for part in path)
        key = kind[:-1] if kind[-1] == "[key]" else None
        if key is None or key not in list_key_paths():  # a replaced key of a setting would be an unknown key
            paths_by_kind.setdefault(kind, path)
    return paths_by_kind


@cache
def find_accepted_paths(name: str, number: int, file: str) -> tuple[Path, ...]:
    """Return the paths of a configuration at which a hostile text is accepted."""
    config = CONFIGS[name]
    return tuple(
        path
        for kind, path in find_setting_paths(config).items()
        if (kind not in list_key_paths() or _accepts_texts(kind)) and "anchor" not in kind
        if _is_accepted(with_text(config, path, HOSTILE_TEXTS[number]), {"KUBECONFIG": file, "HOME": "/nowhere"})
    )


def _is_accepted(config: dict[str, Any], environment: Environment) -> bool:
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kubeconfig, "read_kubeconfigs", read_kubeconfigs_once)
            parse(config, environment, SECRET_KEYS)
    except SettingsError as error:
        assert all(fault.isprintable() for fault in error.errors)
        return False
    return True


def test_every_text_setting_is_covered() -> None:
    kinds = {kind for config in CONFIGS.values() for kind in find_setting_paths(config)}
    covered = {kind[: len(key)] for kind in kinds for key in list_key_paths() if len(kind) >= len(key)}
    text_settings = {key for key in list_key_paths() if _accepts_texts(key)}

    assert text_settings - covered - UNCOVERED_SETTINGS == set()


def _accepts_texts(key: Path) -> bool:
    """Return whether a setting accepts arbitrary texts, by the schema."""
    properties = SCHEMA["properties"]["config"]["properties"]
    nodes: list[dict[str, Any]] = [{"properties": {name.partition(":")[2]: node for name, node in properties.items()}}]
    for part in key:
        children = [_child_node(node, part) for node in nodes]
        nodes = [inner for child in children if child is not None for inner in _alternatives(child)]
    return any("string" in node.get("type", ()) and "enum" not in node for node in nodes)


def _child_node(node: dict[str, Any], part: str | int) -> dict[str, Any] | None:
    child = node.get("properties", {}).get(part)
    if part == ANY_KEY:
        child = node.get("items") or next(iter(node.get("patternProperties", {}).values()), None)
        child = child or node.get("additionalProperties")
    return child if isinstance(child, dict) else None


def _alternatives(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of the schema with its references and alternatives."""
    yield node
    for alternative in [
        *node.get("anyOf", []),
        *([DEFINITIONS[node["$ref"].rpartition("/")[2]]] if "$ref" in node else []),
    ]:
        yield from _alternatives(alternative)


@pytest.mark.parametrize("name", CONFIGS)
def test_hostile_text_is_refused_or_arrives_unchanged(name: str, run: RunProgram, environment: Environment) -> None:
    baseline = run(CONFIGS[name], secret=SECRET_KEYS)
    texts_by_path: dict[Path, list[str]] = {}
    for number, text in enumerate(HOSTILE_TEXTS):
        for path in find_accepted_paths(name, number, environment["KUBECONFIG"]):
            texts_by_path.setdefault(path, []).append(text)
    # Settings that accept several texts alternate between them.
    text_by_path = {path: texts[number % len(texts)] for number, (path, texts) in enumerate(texts_by_path.items())}
    config = copy.deepcopy(CONFIGS[name])
    # Deepest paths first, because a replaced key changes the paths below it.
    for path in sorted(text_by_path, key=lambda path: (path[-1] == "[key]", -len(path))):
        set_text(config, path, text_by_path[path])

    recorder = run(config, secret=SECRET_KEYS)

    assert text_by_path
    assert list_resources(recorder) == list_resources(baseline)
    for kind, path, value in list_texts(recorder):
        if "evil" in value:
            assert value in HOSTILE_TEXTS or _is_harmless(kind, path, value), (kind, path, value)


def list_resources(recorder: Recorder) -> set[tuple[str, str]]:
    return {(args.typ, args.name) for args in recorder.resources}


def list_texts(recorder: Recorder) -> Iterator[tuple[str, Path, str]]:
    for args in recorder.resources:
        for path, text in walk_texts(without_secret_marks(args.inputs), ()):
            yield args.typ, path, text
    for path, text in walk_texts(without_secret_marks(recorder.outputs), ()):
        yield "output", path, text


def walk_texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, "[key]"), key
            yield from walk_texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from walk_texts(item, (*path, number))
    elif isinstance(value, str):
        yield path, value


def _is_harmless(kind: str, path: Path, text: str) -> bool:
    """Return whether a hostile text within a longer text is harmless at its path."""
    if kind == "output" and "overrides" in path:
        return True  # paths of chart values, only displayed
    # A line of an htpasswd file; the user name contains neither spaces nor colons.
    return text.removesuffix(":hash\n") in HOSTILE_TEXTS and kind.endswith(":Secret") and path[-1] == "auth"
