"""The stack under review: its settings, its secrets, and a copy of its file that Pulumi may write into."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mesh import bounded_io, config, strict_yaml
from mesh.paths import PROJECT_ROOT
from review.pulumi_cli import PreviewFailed, pulumi
from review.redaction import secrets_of


@dataclass(frozen=True, kw_only=True)
class ReviewedStack:
    """One stack, read but not yet previewed."""

    name: str
    file: Path  # the copy
    settings: config.Settings | None  # None: the file has faults, of which the preview will tell
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def read(name: str, file: Path, folder: Path, environment: Mapping[str, str]) -> ReviewedStack:
    """Read a stack.

    Args:
        name: the stack's name.
        file: its stack file.
        folder: where the copy goes: Pulumi writes a salt into a stack file that has none.
        environment: the whole environment of Pulumi, which must be able to decrypt the stack's secrets.

    Raises:
        PreviewFailed: the file or its secrets can't be read.
    """
    copy = folder / f"Pulumi.{name.rpartition('/')[2]}.yaml"
    try:
        copy.write_bytes(bounded_io.read_regular_file(file))
    except OSError as error:
        raise PreviewFailed(f"{file}: {error.strerror}; give the stack file by --config-file") from None
    configured, secret_keys = _configuration(name, copy, environment)
    written = _read(copy) or {}
    secrets: set[str] = set()
    for key in secret_keys:
        for text in _secret_texts((written.get("config") or {}).get(key), _decoded(configured[key])):
            secrets |= secrets_of(text)
    try:
        found = config.settings_from_config(configured, secret_keys, _project(), environment)
    except config.SettingsError:
        found = None
    return ReviewedStack(name=name, file=copy, settings=found, secrets=frozenset(secrets))


def without(stack: ReviewedStack, clusters: Collection[str]) -> None:
    """Declare clusters unreachable in the copy of the stack file, so that the others can be previewed."""
    content: dict[str, Any] = _read(stack.file)
    for key, value in content["config"].items():
        if key.rpartition(":")[2] != "clusters":
            continue
        for name in clusters:
            value[name] = {**(value[name] or {}), "reachable": False}
    stack.file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _read(file: Path) -> Any:
    try:
        return strict_yaml.load(file.read_bytes(), loader=strict_yaml.PulumiLoader)
    except strict_yaml.StrictYamlError as error:
        raise PreviewFailed(f"{file.name}: {error}; mend it") from None


def _configuration(name: str, file: Path, environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """All of a stack's configuration in clear, and the keys of it that hold secrets."""
    command = ["config", "--json", "--show-secrets", "--stack", name, "--config-file", str(file)]
    ended = pulumi(command, environment)
    if ended.returncode != 0:
        raise PreviewFailed(ended.stderr.strip() or f"pulumi config ended with {ended.returncode}")
    entries: Mapping[str, Mapping[str, Any]] = json.loads(ended.stdout)
    return (
        {key: str(entry.get("value", "")) for key, entry in entries.items()},
        [key for key, entry in entries.items() if entry.get("secret")],
    )


def _project() -> str:
    return str(yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())["name"])


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _secret_texts(written: Any, decrypted: Any) -> list[str]:
    """The texts that stand encrypted in a stack file.

    Args:
        written: what the file has.
        decrypted: the same in clear.
    """
    if isinstance(written, Mapping) and written.keys() == {"secure"}:
        return [text for text in _texts(decrypted) if not text.strip().startswith("-----BEGIN CERTIFICATE")]
    if isinstance(written, Mapping) and isinstance(decrypted, Mapping):
        return [text for key in written for text in _secret_texts(written[key], decrypted.get(key))]
    if isinstance(written, list) and isinstance(decrypted, list):
        return [text for pair in zip(written, decrypted, strict=False) for text in _secret_texts(*pair)]
    return []


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else [json.dumps(value)]
