"""Keeps one comment per stack on a pull request (GitHub) or a merge request (GitLab) up to date.

It runs on the standard library alone, so that the job that may write comments installs nothing.
"""

from review.publish.api import ForgeError
from review.publish.comment import upsert_comment

__all__ = ["ForgeError", "upsert_comment"]
