"""Stack files of tests: the corpus, and how one gets to the program.

The corpus in `testdata/settings` has a whole stack file for each thing that can be said, or said wrongly. Comments in
it say what comes of it: `# expect: <path> = <value>` of a valid one, `# expect: <fault>` for each fault of an invalid
one, in order, where `…` may stand for anything. Pulumi's secrets are `secure: <name>` there, and other texts that are
made for each run `<name>`: see `surroundings.texts`.
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

from mesh import config as settings
from mesh.kube import kubeconfig
from mesh.paths import PROJECT_ROOT

CORPUS = PROJECT_ROOT / "tests" / "testdata" / "settings"

Environment = dict[str, str]

# `path: value: rule; remedy`, on one line.
ERROR_FORMAT = re.compile(r'(\.?[\w$/*…-]+|\[(\d+|"(?:[^"\\]|\\.)*")\])+: .+: .+; .+')


class StackYaml(yaml.SafeLoader):
    """YAML as Pulumi reads it: dates, and words such as `no`, are texts."""


StackYaml.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
StackYaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))


def read_expectations(file: Path) -> list[str]:
    """What the comments of a file of the corpus say."""
    return re.findall(r"^# expect: (.*)$", file.read_text(), re.MULTILINE)


def read_stack_file(file: Path) -> Any:
    return yaml.load(file.read_text(), StackYaml)


read_stack_file_once = cache(read_stack_file)


def decode_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def to_pulumi_config(stack_file: Any, texts: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """A stack file as Pulumi hands it to the program: its configuration, and the keys that hold secrets."""
    config = stack_file.get("config") if isinstance(stack_file, dict) else None
    found: dict[str, str] = {}
    secret: list[str] = []
    # Pulumi itself refuses a file, or a `config`, that is no mapping; to the program it would be as good as empty.
    for key, value in config.items() if isinstance(config, dict) else ():
        name = key if ":" in key else f"{settings.PROJECT}:{key}"
        names: set[str] = set()
        plain = reveal_texts(value, texts, names)
        found[name] = "" if plain is None else plain if isinstance(plain, str) else json.dumps(plain)
        secret += [name] if names else []
    return found, secret


def reveal_texts(value: Any, texts: Mapping[str, str], secret: set[str]) -> Any:
    """A value with the texts that it names in their places; the names of those that are secret go to `secret`."""
    if isinstance(value, dict):
        if value.keys() == {"secure"} and isinstance(value["secure"], str):
            secret.add(value["secure"])
            return texts[value["secure"]]
        return {str(key): reveal_texts(item, texts, secret) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal_texts(item, texts, secret) for item in value]
    named = re.fullmatch(r"<([\w.-]+)>", value) if isinstance(value, str) else None
    return texts[named[1]] if named else value


# The same files for nearly all tests.
read_kubeconfigs_once = cache(kubeconfig.read_kubeconfigs)


def load_settings(config: Mapping[str, str], secret: list[str], environment: Environment) -> settings.Settings:
    """What the program itself does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubeconfig, "read_kubeconfigs", read_kubeconfigs_once)
        patch.setattr(pulumi, "get_project", lambda: settings.PROJECT)
        patch.delenv("MULTICLUSTER_MESH_CHARTS", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("PULUMI_CONFIG", json.dumps(config))
        patch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(secret))
        patch.chdir(environment["HOME"])
        return settings.load()


def parse_errors(config: dict[str, Any], environment: Environment, secret: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(settings.SettingsError) as caught:
        settings.parse(config, environment, secret)
    return caught.value.errors


def error_message(config: Mapping[str, Any], secret: list[str], environment: Environment) -> str:
    """Load it, and give the message if there is one; anything else that is raised is a slip of the program."""
    texts = {
        f"{settings.PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
    }
    try:
        load_settings(texts, [f"{settings.PROJECT}:{key}" for key in secret], environment)
    except settings.SettingsError as error:
        assert error.errors
        for fault in error.errors:
            assert fault.isprintable()
            assert ERROR_FORMAT.fullmatch(fault), fault
        return str(error)
    return ""


def to_plain(value: Any) -> Any:
    """A part of the settings as a stack file would have it."""
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
