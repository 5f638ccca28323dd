"""Stack files of the corpus, each with its settings or its errors.

`tests.helpers.stack_files` describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh import config
from tests.helpers import kubeconfigs
from tests.helpers.stack_files import (
    CORPUS,
    ERROR_FORMAT,
    Environment,
    StackYaml,
    load_settings,
    read_expectations,
    read_stack_file,
    reveal_texts,
    to_plain,
    to_pulumi_config,
)


@pytest.mark.parametrize("file", sorted(CORPUS.glob("invalid-*.yaml")), ids=lambda file: file.stem)
def test_invalid_stack_file_reports_all_errors(
    file: Path, environment: Environment, corpus_texts: dict[str, str]
) -> None:
    stack_config, secret = to_pulumi_config(read_stack_file(file), corpus_texts)

    with pytest.raises(config.SettingsError) as caught:
        load_settings(stack_config, secret, environment)

    errors = caught.value.errors
    patterns = [".*".join(map(re.escape, line.split("…"))) for line in read_expectations(file)]
    assert len(errors) == len(patterns), "\n".join(errors)
    for error, pattern in zip(errors, patterns, strict=True):
        assert ERROR_FORMAT.fullmatch(error), error
        assert re.fullmatch(pattern, error), error
    assert not [line for line in long_secret_lines(corpus_texts) if line in str(caught.value)]


@pytest.mark.parametrize("file", sorted(CORPUS.glob("valid-*.yaml")), ids=lambda file: file.stem)
def test_valid_stack_file_yields_expected_settings(
    file: Path, environment: Environment, corpus_texts: dict[str, str]
) -> None:
    stack_config, secret = to_pulumi_config(read_stack_file(file), corpus_texts)

    loaded = load_settings(stack_config, secret, environment)

    assert read_expectations(file), "add an `# expect:` comment"
    for line in read_expectations(file):
        path, _, value = line.partition(" = ")
        assert read_setting(loaded, path) == reveal_texts(yaml.load(value, StackYaml), corpus_texts, set()), path


def test_corpus_is_large_enough() -> None:
    assert len(list(CORPUS.glob("invalid-*.yaml"))) >= 75
    assert len(list(CORPUS.glob("valid-*.yaml"))) >= 25


def long_secret_lines(texts: Mapping[str, str]) -> Iterator[str]:
    """Yield every long line of the secrets in the corpus. A short line could appear elsewhere by chance."""
    for name, text in texts.items():
        if not name.endswith(".crt"):
            yield from (line for line in text.splitlines() if len(line) > 40 and not line.startswith("-----"))
    yield kubeconfigs.TOKEN


def read_setting(loaded: config.Settings, path: str) -> Any:
    """Return the setting at a path of the stack file, such as `clusters.west.gateway.loadBalancer.enabled`."""
    first, *rest = path.split(".")
    value: Any = {
        "clusters": {cluster.name: cluster for cluster in loaded.clusters},
        "links": [link.name for link in loaded.links],
        "flat": [link.name for link in loaded.links if not link.has_gateway],
    }.get(first)
    value = value if value is not None else getattr(loaded, to_snake_case(first))
    for part in rest:
        if isinstance(value, tuple | list):
            value = value[int(part)]
        else:
            value = value[part] if isinstance(value, dict) and part in value else getattr(value, to_snake_case(part))
    return to_plain(list(value) if first == "clusters" and not rest else value)


def to_snake_case(key: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", key).lower()
