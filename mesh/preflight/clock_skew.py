"""Whether the cluster's clock agrees with this machine's, by which certificates are valid from now on."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from mesh.kube.client import Response
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

# Seconds. Linkerd itself allows for 20 when it signs a proxy's certificate; what is less than a minute is soon over.
_TOLERATED = 60


def check(question: CheckTarget, answer: Response) -> Iterator[Finding]:
    """Findings on the date of an answer."""
    date = time_of(answer)
    if date is None:
        return
    # The header was written at some time of the request, and its second may have been nearly over.
    behind, ahead = answer.asked - (date + 1), date - answer.answered
    remedy = "set both by NTP, and look at the nodes' clocks too"
    value = datetime.datetime.fromtimestamp(date, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if behind > _TOLERATED:
        rule = (
            f"its clock is {_words(behind)} behind this machine's: for that long proxies refuse certificates made now"
        )
        yield question.finding(rule, remedy, value=value, severity=Severity.WARNING)
    elif ahead > _TOLERATED:
        rule = f"its clock is {_words(ahead)} ahead of this machine's: certificates end there that much too soon"
        yield question.finding(rule, remedy, value=value, severity=Severity.WARNING)


def time_of(answer: Response) -> float | None:
    """The cluster's time when it answered, in seconds since 1970."""
    try:
        date = parsedate_to_datetime(answer.date or "")
        return (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _words(seconds: float) -> str:
    if seconds < 180:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 3 * 3600 else f"{seconds / 3600:.0f} hours"
