"""A cause that keeps an object from becoming ready."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A cause that keeps an object from becoming ready, and its remedy.

    The texts contain no secret and no control character, and their length is bounded.
    """

    subject: str  # such as "Pod linkerd-identity-5d4f, container identity"
    reason: str  # in Kubernetes' own terms, such as ImagePullBackOff
    message: str = ""
    remedy: str | None = None  # None: the cause may resolve itself, or another cause has the remedy
    # Identity of a cause that cannot resolve itself, equal between two looks at it; None: it may resolve itself.
    permanent: str | None = None
    # Changes when Kubernetes tries again with the same result. Until then, the cause can be outdated: the kubelet and
    # the controllers wait up to minutes before they try again. Empty: unknown, or there is no further attempt.
    attempt: str = ""
    log: tuple[str, ...] = ()  # last lines of the container's log
