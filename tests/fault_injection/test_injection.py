"""Texts that are more than texts to a shell, a template, YAML, Mermaid or HTML: refused, or carried as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from mesh import config as settings
from mesh.config.errors import Path
from mesh.config.schema_lookup import ANY_KEY, all_key_paths
from mesh.kube import kubeconfig
from tests.helpers import kubeconfigs
from tests.helpers.full_stack import CILIUM, LINKERD, SECRET_KEYS, set_text, text_paths, with_text
from tests.helpers.fuzz_strategies import DEFINITIONS, SCHEMA
from tests.helpers.mock_engine import Recorder, RunProgram, without_secret_marks
from tests.helpers.stack_files import Environment, read_kubeconfigs_once

pytestmark = pytest.mark.thorough

CONFIGS = {"linkerd": LINKERD, "cilium": CILIUM}
# Each has a mark, by which it is found again wherever it goes.
HOSTILE_TEXTS = (
    "*evil: {{ fail }}$(id)`id`${HOME}{{ .Values.x }}%s%n\\\"'#: - *a &b !c |>\n"
    "---\nkind: ClusterRole\n\ttab\u202e\u200b\x07<b>",
    '../../evil"]-->{{.Values.x}}$(id)`id`<script>|**b**[c](d)',
)
# What a stack file need not say here: it names files of this machine, excludes something else, or is a secret's.
UNCOVERED_SETTINGS = {
    ("clusters", ANY_KEY, "kubeconfig"),
    ("trust", "anchor", "key"),
    ("trust", "issuers", ANY_KEY, "certificate"),
    ("trust", "issuers", ANY_KEY, "key"),
    ("extensions", "gatewayApi", "manifest"),
    ("topology", "except", ANY_KEY, "source"),
    ("workloads", ANY_KEY, "podinfo", "failover", ANY_KEY, "cluster"),
    ("workloads", ANY_KEY, "helloworld", "splits", ANY_KEY, "cluster"),
}


def list_contexts(config: dict[str, Any]) -> list[str]:
    return [said.get("context", name) for name, said in config["clusters"].items()]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment whose kubeconfig has a context for whatever a cluster's may be called."""
    names = [*list_contexts(LINKERD), *list_contexts(CILIUM), *HOSTILE_TEXTS]
    servers = {name: {"server": "https://api.example.com"} for name in names}
    return kubeconfigs.write_kubeconfig(tmp_path_factory.mktemp("injection") / "kubeconfig", **servers)


def find_places(config: dict[str, Any]) -> dict[Path, Path]:
    """A place of each kind in a configuration, by what is common to those of its kind."""
    names = set(config["clusters"])
    found: dict[Path, Path] = {}
    for path in text_paths(config):
        kind = tuple(ANY_KEY if isinstance(part, int) or part in names else part for part in path)
        key = kind[:-1] if kind[-1] == "[key]" else None
        if key is None or key not in all_key_paths():  # the names of settings themselves are unknown keys else
            found.setdefault(kind, path)
    return found


@cache
def accepted_places(name: str, number: int, file: str) -> tuple[Path, ...]:
    """The places of a configuration at which a hostile text is no fault."""
    config = CONFIGS[name]
    return tuple(
        place
        for kind, place in find_places(config).items()
        if (kind not in all_key_paths() or _accepts_texts(kind)) and "anchor" not in kind
        if _is_accepted(with_text(config, place, HOSTILE_TEXTS[number]), {"KUBECONFIG": file, "HOME": "/nowhere"})
    )


def _is_accepted(config: dict[str, Any], environment: Environment) -> bool:
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kubeconfig, "read_kubeconfigs", read_kubeconfigs_once)
            settings.parse(config, environment, SECRET_KEYS)
    except settings.SettingsError as error:
        assert all(fault.isprintable() for fault in error.errors)
        return False
    return True


def test_every_text_setting_is_covered() -> None:
    said = {kind for config in CONFIGS.values() for kind in find_places(config)}
    reached = {kind[: len(key)] for kind in said for key in all_key_paths() if len(kind) >= len(key)}
    of_texts = {key for key in all_key_paths() if _accepts_texts(key)}

    assert of_texts - reached - UNCOVERED_SETTINGS == set()


def _accepts_texts(key: Path) -> bool:
    """Whether a setting takes a text of one's own, by the schema."""
    ours = SCHEMA["properties"]["config"]["properties"]
    nodes: list[dict[str, Any]] = [{"properties": {name.partition(":")[2]: node for name, node in ours.items()}}]
    for part in key:
        inner = [_child_node(node, part) for node in nodes]
        nodes = [found for each in inner if each is not None for found in _alternatives(each)]
    return any("string" in node.get("type", ()) and "enum" not in node for node in nodes)


def _child_node(node: dict[str, Any], part: str | int) -> dict[str, Any] | None:
    found = node.get("properties", {}).get(part)
    if part == ANY_KEY:
        found = node.get("items") or next(iter(node.get("patternProperties", {}).values()), None)
        found = found or node.get("additionalProperties")
    return found if isinstance(found, dict) else None


def _alternatives(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of the schema, with all that it refers to and may be."""
    yield node
    for each in [*node.get("anyOf", []), *([DEFINITIONS[node["$ref"].rpartition("/")[2]]] if "$ref" in node else [])]:
        yield from _alternatives(each)


@pytest.mark.parametrize("name", CONFIGS)
def test_hostile_text_is_refused_or_arrives_unchanged(name: str, run: RunProgram, environment: Environment) -> None:
    base = run(CONFIGS[name], secret=SECRET_KEYS)
    fitting: dict[Path, list[str]] = {}
    for number, text in enumerate(HOSTILE_TEXTS):
        for place in accepted_places(name, number, environment["KUBECONFIG"]):
            fitting.setdefault(place, []).append(text)
    # Those that take several get them by turns.
    chosen = {place: fit[number % len(fit)] for number, (place, fit) in enumerate(fitting.items())}
    config = copy.deepcopy(CONFIGS[name])
    # Deep down first: a key that is put under another name hides what is below it.
    for place in sorted(chosen, key=lambda path: (path[-1] == "[key]", -len(path))):
        set_text(config, place, chosen[place])

    found = run(config, secret=SECRET_KEYS)

    assert chosen
    assert list_resources(found) == list_resources(base)
    for kind, where, each in list_texts(found):
        if "evil" in each:
            assert each in HOSTILE_TEXTS or _is_harmless(kind, where, each), (kind, where, each)


def list_resources(found: Recorder) -> set[tuple[str, str]]:
    return {(each.typ, each.name) for each in found.resources}


def list_texts(found: Recorder) -> Iterator[tuple[str, Path, str]]:
    for each in found.resources:
        for where, text in walk_texts(without_secret_marks(each.inputs), ()):
            yield each.typ, where, text
    for where, text in walk_texts(without_secret_marks(found.outputs), ()):
        yield "output", where, text


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


def _is_harmless(kind: str, where: Path, found: str) -> bool:
    """Where a text may stand with something around it, because there it can't be taken for anything else."""
    if kind == "output" and "overrides" in where:
        return True  # the paths of a chart's values, for its reader
    # A line of an htpasswd file; the user's name has neither spaces nor colons.
    return found.removesuffix(":hash\n") in HOSTILE_TEXTS and kind.endswith(":Secret") and where[-1] == "auth"
