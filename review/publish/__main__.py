"""Create or update the comment of a stack on a pull request (GitHub) or a merge request (GitLab).

The command runs in a CI job and reads the request and the token from the job's environment.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mesh import bounded_io
from review.publish import github, gitlab
from review.publish.api import PublishError
from review.publish.comment import CodeHost, upsert_comment


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code.

    A missing file means that the review job failed. The comment then reports the failure instead of keeping the review
    of an earlier commit, and the exit code is 1.
    """
    options = _parse_arguments(arguments)
    try:
        code_host: CodeHost
        if options.code_host == "github":
            code_host, log_url = github.from_environment(os.environ), github.run_url(os.environ)
        else:
            code_host, log_url = gitlab.from_environment(os.environ), gitlab.run_url(os.environ)
        text = _read_text(options.file)
        comment = _missing_review_text(options.marker, log_url) if text is None else text
        result = upsert_comment(code_host, options.marker, comment)
        print(f"comment of {options.marker}: {result}")
        if text is None:
            raise PublishError(f"--file: {options.file}: no such file: the review failed; read the log of its job")
    except PublishError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m review.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("code_host", choices=["github", "gitlab"], help="code host of the request")
    parser.add_argument("--file", type=Path, required=True, help="Markdown file with the text of the comment")
    parser.add_argument("--marker", required=True, metavar="STACK", help="stack name, which identifies the comment")
    return parser.parse_args(arguments)


def _read_text(file: Path) -> str | None:
    try:
        return bounded_io.read_file_or_pipe(file).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise PublishError(f"--file: {file}: {error}: not a UTF-8 file; name the Markdown file of the review") from None


def _missing_review_text(stack: str, log_url: str | None) -> str:
    log = f"[the log]({log_url})" if log_url else "the log"
    return f"**{stack}**: no review of this commit, because the review job failed. See {log} of the job.\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
