"""Keeps one comment per stack on a pull request (GitHub) or a merge request (GitLab) up to date.

It runs on the standard library alone, so that the job that may write comments installs nothing.
"""

from forge.api import ForgeError
from forge.comment import keep

__all__ = ["ForgeError", "keep"]
