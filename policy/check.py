"""Check of a preview's resources against the policies, with one line per violation.

Exit codes: 0 without a mandatory violation, 1 with one, 2 if the preview or the config file is invalid.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mesh import bounded_io
from mesh.broken_pipe import ignore_broken_pipe
from policy.config import PolicyConfig, PolicyConfigError, parse_config
from policy.preview import PreviewError, read_preview
from policy.rules import find_violations

# Ten times the size of a preview of a large fleet.
MAX_PREVIEW_BYTES = 128 * 2**20


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parse_arguments(arguments)
    try:
        config = parse_config(_read_text(options.config)) if options.config else PolicyConfig()
    except (PolicyConfigError, OSError, ValueError) as error:
        return _report_error(options.config, error)
    try:
        resources = read_preview(_read_text(options.preview))
        violations = find_violations(resources, config.limits, config.levels)
    except (PreviewError, OSError, ValueError, RecursionError) as error:
        return _report_error(options.preview, error)
    with ignore_broken_pipe():
        for violation in violations:
            print(violation.line())
    mandatory = sum(violation.is_mandatory for violation in violations)
    print(f"{len(resources)} resources, {len(violations)} violations, {mandatory} of them mandatory", file=sys.stderr)
    return 1 if mandatory else 0


def _parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m policy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preview", help="output of `pulumi preview --json --show-sames`; - for standard input")
    parser.add_argument(
        "--config", metavar="FILE", help="levels and limits of the rules, in the format of --policy-pack-config"
    )
    return parser.parse_args(arguments)


def _read_text(file: str) -> str:
    if file == "-":
        return bounded_io.read_bounded(sys.stdin.buffer, MAX_PREVIEW_BYTES).decode()
    return bounded_io.read_file_or_pipe(Path(file), MAX_PREVIEW_BYTES).decode()


def _report_error(file: str, error: Exception) -> int:
    # An unreadable file can contain secrets, so only messages of this program and of the system are printed.
    if isinstance(error, OSError):
        reason = error.strerror or "cannot be read"
    elif isinstance(error, PolicyConfigError | PreviewError):
        reason = str(error)
    else:
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "nested too deeply"
    print(f"{'standard input' if file == '-' else file}: {reason}", file=sys.stderr)
    return 2
