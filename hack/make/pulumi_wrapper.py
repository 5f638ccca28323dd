"""Wrapper of Pulumi in the lab's shell, which keeps tracked stack files unchanged.

Pulumi writes the salt of a stack's secrets into the stack file. The salt of the lab belongs to the lab's passphrase, so
it must not be in a file of this repository. The wrapper lets Pulumi read a copy with the salt instead, as `make up`
does. The wrapper is first on the PATH that `make env` prints. This module uses only Python's standard library, because
it starts without the project's import path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

# The folder with the program `pulumi` that starts this module.
FOLDER = Path(__file__).resolve().parent / "bin"

# Commands that read the stack file and have the option `--config-file`.
_COMMANDS = frozenset({"destroy", "dn", "down", "import", "logs", "pre", "preview", "refresh", "up", "update", "watch"})
_SALT = "encryptionsalt:"
_SECRETS_SETTINGS = (_SALT, "encryptedkey:", "secretsprovider:")
_CONFIG_FILE = "--config-file"
_STACK = ("--stack", "-s")
_WORKING_DIRECTORY = ("--cwd", "-C")
# Options with a value that can precede the command.
_OPTIONS_WITH_VALUE = frozenset({*_STACK, *_WORKING_DIRECTORY, "--color", "--verbose", "-v"})


def main(arguments: Sequence[str]) -> None:
    """Replace this process by Pulumi."""
    program = find_program(os.environ.get("PATH", ""))
    if program is None:
        sys.exit("pulumi: not on PATH; run `make up`, then evaluate `make env` again")
    options = config_file_options(arguments, program, os.environ, Path.cwd())
    os.execv(program, ["pulumi", *arguments, *options])


def find_program(path: str) -> str | None:
    """Return the first `pulumi` on a PATH other than this wrapper."""
    folders = [folder for folder in path.split(os.pathsep) if folder and Path(folder).resolve() != FOLDER]
    return shutil.which("pulumi", path=os.pathsep.join(folders))


def config_file_options(
    arguments: Sequence[str], program: str, environment: Mapping[str, str], folder: Path
) -> list[str]:
    """Return the options that let Pulumi read a copy of the stack file; empty if Pulumi would not change the file.

    Args:
        arguments: arguments of Pulumi.
        program: path of Pulumi.
        environment: environment variables of Pulumi.
        folder: working directory of Pulumi.
    """
    backend = urlsplit(environment.get("PULUMI_BACKEND_URL", ""))
    has_config_file = _option_value(arguments, _CONFIG_FILE) is not None
    if backend.scheme != "file" or _find_command(arguments) not in _COMMANDS or has_config_file:
        return []
    folder /= _option_value(arguments, *_WORKING_DIRECTORY) or ""
    name = _option_value(arguments, *_STACK) or environment.get("PULUMI_STACK")
    if name is None:
        # The selected stack.
        show_name = [program, "stack", "--show-name", "--non-interactive"]
        name = subprocess.run(show_name, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()
    name = name.rpartition("/")[2]
    file = folder / f"Pulumi.{name}.yaml"
    if not name or not file.is_file() or _has_secrets_settings(file):
        return []
    salted_file = Path(backend.path).parent / "stacks" / name / file.name
    if not salted_file.is_file():
        return []
    return [_CONFIG_FILE, str(write_salted_copy(file, salted_file))]


def write_salted_copy(file: Path, salted_file: Path) -> Path:
    """Write a copy of a stack file with the salt of another file, next to that file, and return its path.

    Args:
        file: the stack file.
        salted_file: a file with the salt.
    """
    salt = [line for line in salted_file.read_text().splitlines() if line.startswith(_SALT)]
    lines = [line for line in file.read_text().splitlines() if not line.startswith(_SALT)]
    copy = salted_file.with_name("config.yaml")
    copy.write_text("\n".join([*salt, *lines, ""]))
    return copy


def _has_secrets_settings(file: Path) -> bool:
    return any(line.startswith(_SECRETS_SETTINGS) for line in file.read_text().splitlines())


def _find_command(arguments: Sequence[str]) -> str | None:
    is_value = False
    for argument in arguments:
        if not is_value and not argument.startswith("-"):
            return argument
        is_value = argument in _OPTIONS_WITH_VALUE
    return None


def _option_value(arguments: Sequence[str], *names: str) -> str | None:
    """Return the value of an option, written as `--option value`, `--option=value` or `-ovalue`."""
    for index, argument in enumerate(arguments):
        for name in names:
            if argument == name:
                return arguments[index + 1] if index + 1 < len(arguments) else ""
            if argument.startswith(f"{name}="):
                return argument.removeprefix(f"{name}=")
            if not name.startswith("--") and argument.startswith(name) and not argument.startswith("--"):
                return argument.removeprefix(name)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
