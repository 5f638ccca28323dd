"""One comment per stack on a pull request (GitHub) or a merge request (GitLab), created or updated.

Only the standard library is used, so that the job with write access to comments installs nothing.
"""

from review.publish.api import PublishError
from review.publish.comment import upsert_comment

__all__ = ["PublishError", "upsert_comment"]
