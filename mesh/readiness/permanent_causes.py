"""Causes that cannot resolve themselves, and have lasted long enough to end a wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mesh.readiness.cause import Cause
from mesh.readiness.diagnosis import Diagnosis

# An image can be pushed, and a quota raised, a moment after the release is installed.
PERMANENT_CAUSE_TIMEOUT_S = 30.0


class PermanentCauses:
    """The permanent causes in the latest diagnoses of one wait, with the time of their first sight.

    A cause can be outdated: Kubernetes waits up to minutes before it tries again. So a cause from before the wait
    counts only after a new attempt with the same result.
    """

    def __init__(self) -> None:
        self._earlier_attempts: dict[str, str] = {}
        self._since: dict[str, float] = {}

    def record_earlier(self, diagnoses: Iterable[Diagnosis]) -> None:
        """Record the causes from before the wait."""
        self._earlier_attempts = {identity: cause.attempt for identity, cause in _permanent_causes(diagnoses)}

    def update(self, diagnoses: Sequence[Diagnosis], now_s: float) -> None:
        """Record the causes at a time; a cause that is no longer among them starts again."""
        self._since = {
            identity: self._since.get(identity, now_s)
            for identity, cause in _permanent_causes(diagnoses)
            if not cause.attempt or cause.attempt != self._earlier_attempts.get(identity)
        }

    @property
    def deadline_s(self) -> float:
        """Return the time at which one of the causes ends the wait, if it is still there."""
        return min(self._since.values(), default=float("inf")) + PERMANENT_CAUSE_TIMEOUT_S


def _permanent_causes(diagnoses: Iterable[Diagnosis]) -> Iterator[tuple[str, Cause]]:
    for diagnosis in diagnoses:
        for cause in diagnosis.causes:
            if cause.permanent is not None:
                yield cause.permanent, cause
