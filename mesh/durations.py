"""Durations, in the part of Go's syntax that Linkerd and the Gateway API share."""

from __future__ import annotations

import re

PATTERN = r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+"
MAX_LENGTH = 32
REMEDY = "write a number with the unit ms, s, m or h, as in 300ms"


def is_duration(text: str) -> bool:
    """Return whether a text is a duration such as 1m30.5s."""
    return len(text) <= MAX_LENGTH and re.fullmatch(PATTERN, text) is not None
