"""Stack files of the corpus, and their conversion to Pulumi configuration.

The corpus in `testdata/settings` contains a stack file for each valid or invalid case. Its comments contain the
expected result: `# expect: <path> = <value>` in a valid file, and `# expect: <error>` for each error of an invalid
file, in order; `…` matches any text. Secrets are `secure: <name>`. Other texts that are generated in each run are
`<name>` (see `config_fixtures.corpus_texts`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pydantic import BaseModel

from mesh.config import PROJECT, Settings, SettingsError, load, parse
from mesh.kube import kubeconfig
from mesh.paths import PROJECT_ROOT

CORPUS = PROJECT_ROOT / "tests" / "testdata" / "settings"

Environment = dict[str, str]

# `path: value: rule; remedy`, on one line.
ERROR_FORMAT = re.compile(r'(\.?[\w$/*…-]+|\[(\d+|"(?:[^"\\]|\\.)*")\])+: .+: .+; .+')


class StackYaml(yaml.SafeLoader):
    """YAML loader that reads dates and words such as `no` as texts, as Pulumi does."""


StackYaml.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
StackYaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))


def read_expectations(file: Path) -> list[str]:
    """Return the expected results in the comments of a corpus file."""
    return re.findall(r"^# expect: (.*)$", file.read_text(), re.MULTILINE)


def read_stack_file(file: Path) -> Any:
    """Return the content of a stack file."""
    return yaml.load(file.read_text(), StackYaml)


read_stack_file_once = cache(read_stack_file)


def decode_json(text: str) -> Any:
    """Decode JSON; a text that is no JSON is returned unchanged."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def to_pulumi_config(stack_file: Any, texts: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return a stack file's configuration as Pulumi passes it to the program, and the keys with secrets."""
    config = stack_file.get("config") if isinstance(stack_file, dict) else None
    pulumi_config: dict[str, str] = {}
    secret_keys: list[str] = []
    # Pulumi itself refuses a file or a `config` that is no mapping.
    for key, value in config.items() if isinstance(config, dict) else ():
        name = key if ":" in key else f"{PROJECT}:{key}"
        secret_names: set[str] = set()
        revealed = reveal_texts(value, texts, secret_names)
        pulumi_config[name] = (
            "" if revealed is None else revealed if isinstance(revealed, str) else json.dumps(revealed)
        )
        secret_keys += [name] if secret_names else []
    return pulumi_config, secret_keys


def reveal_texts(value: Any, texts: Mapping[str, str], secret_names: set[str]) -> Any:
    """Return a value with its named texts inserted; names of secrets are added to `secret_names`."""
    if isinstance(value, dict):
        if value.keys() == {"secure"} and isinstance(value["secure"], str):
            secret_names.add(value["secure"])
            return texts[value["secure"]]
        return {str(key): reveal_texts(item, texts, secret_names) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal_texts(item, texts, secret_names) for item in value]
    reference = re.fullmatch(r"<([\w.-]+)>", value) if isinstance(value, str) else None
    return texts[reference[1]] if reference else value


# Nearly all tests read the same files.
read_kubeconfigs_once = cache(kubeconfig.read_kubeconfigs)


def load_settings(config: Mapping[str, str], secret: list[str], environment: Environment) -> Settings:
    """Load settings as the program does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubeconfig, "read_kubeconfigs", read_kubeconfigs_once)
        patch.setattr(pulumi, "get_project", lambda: PROJECT)
        patch.delenv("MULTICLUSTER_MESH_CHARTS", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("PULUMI_CONFIG", json.dumps(config))
        patch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(secret))
        patch.chdir(environment["HOME"])
        return load()


def parse_errors(config: dict[str, Any], environment: Environment, secret: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the errors of an invalid configuration."""
    with pytest.raises(SettingsError) as raised:
        parse(config, environment, secret)
    return raised.value.errors


def error_message(config: Mapping[str, Any], secret_keys: list[str], environment: Environment) -> str:
    """Load a configuration and return the error message, or an empty text; other exceptions are bugs."""
    texts = {
        f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }
    try:
        load_settings(texts, [f"{PROJECT}:{key}" for key in secret_keys], environment)
    except SettingsError as error:
        assert error.errors
        for message in error.errors:
            assert message.isprintable()
            assert ERROR_FORMAT.fullmatch(message), message
        return str(error)
    return ""


def to_plain(value: Any) -> Any:
    """Return a part of the settings in the form of a stack file."""
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
