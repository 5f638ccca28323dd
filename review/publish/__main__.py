"""`python -m review.publish github|gitlab --file FILE --marker STACK`: create or update the comment of a stack."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mesh import bounded_io
from review.publish import github, gitlab
from review.publish.api import ForgeError
from review.publish.comment import CodeHost, upsert_comment


def main(arguments: list[str]) -> int:
    """Run the command; its exit code.

    Where the file isn't there, whatever should have written it has failed. The comment then says so, in place of what
    an earlier commit has left in it, and the exit code is 1.
    """
    parser = argparse.ArgumentParser(prog="python3 -m review.publish", description=__doc__)
    parser.add_argument("forge", choices=["github", "gitlab"])
    parser.add_argument("--file", type=Path, required=True, help="the Markdown to put into the comment")
    parser.add_argument("--marker", required=True, metavar="STACK", help="whose comment it is")
    chosen = parser.parse_args(arguments)
    try:
        forge: CodeHost
        if chosen.forge == "github":
            forge, log = github.from_environment(os.environ), github.run_url(os.environ)
        else:
            forge, log = gitlab.from_environment(os.environ), gitlab.run_url(os.environ)
        text = _text(chosen.file)
        done = upsert_comment(forge, chosen.marker, _none(chosen.marker, log) if text is None else text)
        print(f"comment of {chosen.marker}: {done}")
        if text is None:
            raise ForgeError(f"--file: {chosen.file}: not there: the review ended without it; see the log of its job")
    except ForgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _text(file: Path) -> str | None:
    try:
        return bounded_io.read_file_or_pipe(file).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ForgeError(f"--file: {file}: {error}: it must be a file of UTF-8; give the review's Markdown") from None


def _none(stack: str, log: str | None) -> str:
    where = f"[The log]({log}) says why" if log else "The log of that job says why"
    return f"**{stack}**: no review of this commit: the job that makes it ended before. {where}.\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
