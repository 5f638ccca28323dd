"""Settings, by the corpus: what each stack file comes to, or every fault of it. See `stack_files` for its form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh import config as settings
from tests.helpers import kubeconfigs
from tests.helpers.stack_files import (
    CORPUS,
    FAULT,
    Environment,
    StackYaml,
    content,
    expected,
    handed_over,
    load,
    plain,
    revealed,
)


@pytest.mark.parametrize("file", sorted(CORPUS.glob("invalid-*.yaml")), ids=lambda file: file.stem)
def test_an_invalid_stack_file_is_refused_with_all_its_faults(
    file: Path, environment: Environment, texts: dict[str, str]
) -> None:
    config, secret = handed_over(content(file), texts)

    with pytest.raises(settings.SettingsError) as caught:
        load(config, secret, environment)

    found = caught.value.errors
    shapes = [".*".join(map(re.escape, line.split("…"))) for line in expected(file)]
    assert len(found) == len(shapes), "\n".join(found)
    for fault, shape in zip(found, shapes, strict=True):
        assert FAULT.fullmatch(fault), fault
        assert re.fullmatch(shape, fault), fault
    assert not [line for line in secret_lines(texts) if line in str(caught.value)]


@pytest.mark.parametrize("file", sorted(CORPUS.glob("valid-*.yaml")), ids=lambda file: file.stem)
def test_a_valid_stack_file_comes_to_what_it_says(file: Path, environment: Environment, texts: dict[str, str]) -> None:
    config, secret = handed_over(content(file), texts)

    loaded = load(config, secret, environment)

    assert expected(file), "say what comes of it"
    for line in expected(file):
        path, _, value = line.partition(" = ")
        assert outcome(loaded, path) == revealed(yaml.load(value, StackYaml), texts, set()), path


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(list(CORPUS.glob("invalid-*.yaml"))) >= 75
    assert len(list(CORPUS.glob("valid-*.yaml"))) >= 25


def secret_lines(texts: Mapping[str, str]) -> Iterator[str]:
    """Every line of what is secret in the corpus, long enough not to be anywhere by chance."""
    for name, text in texts.items():
        if not name.endswith(".crt"):
            yield from (line for line in text.splitlines() if len(line) > 40 and not line.startswith("-----"))
    yield kubeconfigs.TOKEN


def outcome(loaded: settings.Settings, path: str) -> Any:
    """What the settings have at a path, written as in a stack file: `clusters.west.gateway.loadBalancer.enabled`."""
    first, *rest = path.split(".")
    found: Any = {
        "clusters": {cluster.name: cluster for cluster in loaded.clusters},
        "links": [link.name for link in loaded.links],
        "flat": [link.name for link in loaded.links if not link.gateway],
    }.get(first)
    found = found if found is not None else getattr(loaded, snake(first))
    for part in rest:
        if isinstance(found, tuple | list):
            found = found[int(part)]
        else:
            found = found[part] if isinstance(found, dict) and part in found else getattr(found, snake(part))
    return plain(list(found) if first == "clusters" and not rest else found)


def snake(key: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", key).lower()
