"""Stack under review: settings, secrets, and a copy of the stack file that Pulumi may modify."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mesh import bounded_io, config, strict_yaml
from mesh.paths import PROJECT_ROOT
from mesh.pulumi_cli import PulumiCommandError, run_pulumi
from review.preview import PreviewFailedError
from review.redaction import secret_forms


@dataclass(frozen=True, kw_only=True)
class ReviewedStack:
    """A stack before its preview."""

    name: str
    file: Path  # copy of the stack file
    settings: config.Settings | None  # None: the stack file is invalid; the preview reports its errors
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def read_stack(name: str, file: Path, folder: Path, environment: Mapping[str, str]) -> ReviewedStack:
    """Read the configuration of a stack.

    Args:
        name: name of the stack.
        file: the stack file.
        folder: folder of the copy. Pulumi writes a salt into a stack file without one.
        environment: the whole environment of Pulumi, which must be able to decrypt the stack's secrets.

    Raises:
        PreviewFailedError: the file or its secrets cannot be read.
    """
    copy = folder / f"Pulumi.{name.rpartition('/')[2]}.yaml"
    try:
        copy.write_bytes(bounded_io.read_regular_file(file))
    except OSError as error:
        raise PreviewFailedError(f"{file}: {error.strerror}; set --config-file to the stack file") from None
    values, secret_keys = _read_config(name, copy, environment)
    encrypted = (_load_file(copy) or {}).get("config") or {}
    secrets: set[str] = set()
    for key in secret_keys:
        for text in _find_secret_texts(encrypted.get(key), _decode(values[key])):
            secrets |= secret_forms(text)
    try:
        settings = config.settings_from_config(values, secret_keys, _read_project_name(), environment)
    except config.SettingsError:
        settings = None
    return ReviewedStack(name=name, file=copy, settings=settings, secrets=frozenset(secrets))


def declare_unreachable(stack: ReviewedStack, clusters: Collection[str]) -> None:
    """Set `reachable: false` for clusters in the copy of the stack file, so that a preview of the others succeeds."""
    content: dict[str, Any] = _load_file(stack.file)
    for key, value in content["config"].items():
        if key.rpartition(":")[2] != "clusters":
            continue
        for name in clusters:
            value[name] = {**(value[name] or {}), "reachable": False}
    stack.file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _load_file(file: Path) -> Any:
    try:
        return strict_yaml.load(file.read_bytes(), loader=strict_yaml.PulumiLoader)
    except strict_yaml.StrictYamlError as error:
        raise PreviewFailedError(f"{file.name}: {error}; correct the stack file") from None


def _read_config(name: str, file: Path, environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the whole configuration of a stack in clear text, and the keys with secrets."""
    command = ["config", "--json", "--show-secrets", "--stack", name, "--config-file", str(file)]
    try:
        output = run_pulumi(command, environment=environment)
    except PulumiCommandError as error:
        raise PreviewFailedError(error.stderr.strip() or str(error)) from None
    entries: Mapping[str, Mapping[str, Any]] = json.loads(output)
    return (
        {key: str(entry.get("value", "")) for key, entry in entries.items()},
        [key for key, entry in entries.items() if entry.get("secret")],
    )


def _read_project_name() -> str:
    return str(yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())["name"])


def _decode(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _find_secret_texts(encrypted: Any, decrypted: Any) -> list[str]:
    """Return the clear text of all encrypted values of a stack file, except certificates.

    Args:
        encrypted: a value of the stack file.
        decrypted: the same value in clear text.
    """
    if isinstance(encrypted, Mapping) and encrypted.keys() == {"secure"}:
        return [text for text in _find_texts(decrypted) if not text.strip().startswith("-----BEGIN CERTIFICATE")]
    if isinstance(encrypted, Mapping) and isinstance(decrypted, Mapping):
        return [text for key in encrypted for text in _find_secret_texts(encrypted[key], decrypted.get(key))]
    if isinstance(encrypted, list) and isinstance(decrypted, list):
        return [text for pair in zip(encrypted, decrypted, strict=False) for text in _find_secret_texts(*pair)]
    return []


def _find_texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _find_texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _find_texts(item)]
    return [value] if isinstance(value, str) else [json.dumps(value)]
