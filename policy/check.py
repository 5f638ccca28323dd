"""`python -m policy`: the rules as a check over a preview's JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mesh import bounded_io
from policy.config import Config, ConfigError, parse
from policy.preview import PreviewError, read
from policy.rules import violations

# Bytes of a preview: a fleet's has a tenth of them.
LARGEST = 128 * 2**20


def main(arguments: Sequence[str]) -> int:
    """Print each violation in a line.

    Args:
        arguments: of the command.

    Returns:
        0 where nothing mandatory is violated, 1 where something is, 2 where that can't be told.
    """
    parser = argparse.ArgumentParser(
        prog="python -m policy", description="The rules of this policy pack, on a preview."
    )
    parser.add_argument("preview", help="what `pulumi preview --json --show-sames` has printed; - for standard input")
    parser.add_argument("--config", help="a file for --policy-pack-config: how strict rules are")
    chosen = parser.parse_args(arguments)
    try:
        config = parse(_text(chosen.config)) if chosen.config else Config()
    except (ConfigError, OSError, ValueError) as error:
        return _broken(chosen.config, error)
    try:
        resources = read(_text(chosen.preview))
        found = violations(resources, config.bounds, config.levels)
    except (PreviewError, OSError, ValueError, RecursionError) as error:
        return _broken(chosen.preview, error)
    for violation in found:
        print(violation.line())
    mandatory = sum(violation.mandatory for violation in found)
    print(f"{len(resources)} resources, {len(found)} violations, {mandatory} of them mandatory", file=sys.stderr)
    return 1 if mandatory else 0


def _text(file: str) -> str:
    if file == "-":
        return bounded_io.read_bounded(sys.stdin.buffer, LARGEST).decode()
    return bounded_io.read_file_or_pipe(Path(file), LARGEST).decode()


def _broken(file: str, error: Exception) -> int:
    # What can't be read may be anything, so that only our own messages, and the system's, are repeated.
    if isinstance(error, OSError):
        why = error.strerror or "can't be read"
    elif isinstance(error, ConfigError | PreviewError):
        why = str(error)
    else:
        why = "no text" if isinstance(error, UnicodeDecodeError) else "nested too deeply"
    print(f"{'standard input' if file == '-' else file}: {why}", file=sys.stderr)
    return 2
