"""Check of the cluster's clock against this machine's, which sets the validity of certificates."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from mesh.kube.transport import Response
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

# Linkerd itself tolerates 20 seconds in a proxy's certificate. A difference of less than a minute is soon over.
_MAX_SKEW_S = 60


def check(target: CheckTarget, response: Response) -> Iterator[Finding]:
    """Yield a finding if the date of a response differs too much."""
    date = response_time(response)
    if date is None:
        return
    # The server wrote the header during the request, and the header has whole seconds only.
    behind_s, ahead_s = response.sent_at - (date + 1), date - response.received_at
    remedy = "synchronize both with NTP, and check the nodes' clocks too"
    value = datetime.datetime.fromtimestamp(date, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if behind_s > _MAX_SKEW_S:
        duration = _format_duration(behind_s)
        rule = f"its clock is {duration} behind this machine's: for that time proxies refuse new certificates"
        yield target.finding(rule, remedy, value=value, severity=Severity.WARNING)
    elif ahead_s > _MAX_SKEW_S:
        duration = _format_duration(ahead_s)
        rule = f"its clock is {duration} ahead of this machine's: certificates expire there that much earlier"
        yield target.finding(rule, remedy, value=value, severity=Severity.WARNING)


def response_time(response: Response) -> float | None:
    """Return the cluster's time at its response, in seconds since 1970."""
    try:
        date = parsedate_to_datetime(response.date or "")
        return (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _format_duration(seconds: float) -> str:
    if seconds < 180:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 3 * 3600 else f"{seconds / 3600:.0f} hours"
