"""Truncation of a text: the least important parts are omitted first, and the omitted parts are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TextPart:
    """A part of a text."""

    text: str
    short: str = ""  # replacement if the part is omitted
    rank: int = 0  # 0: never omitted; parts with a high rank are omitted first

    @property
    def savings(self) -> int:
        """Return the number of bytes that the omission of the part saves."""
        return len(self.text.encode()) - len(self.short.encode())


def join_parts(parts: Sequence[TextPart]) -> str:
    """Return all parts as one text, separated by blank lines."""
    return _join([part.text for part in parts])


def truncate_parts(parts: Sequence[TextPart], limit: int, notice: str) -> str:
    """Return parts as one text of at most `limit` bytes, separated by blank lines.

    Args:
        parts: the parts in their order.
        limit: in bytes of UTF-8. A text never has more characters than bytes.
        notice: text after the first part if a part was omitted. `{count}` is replaced by the number of omitted parts.
    """
    whole = join_parts(parts)
    if len(whole.encode()) <= limit:
        return whole
    available = limit - len(notice.encode()) - 16
    size = len(whole.encode())
    omitted: set[int] = set()
    candidates = [number for number, part in enumerate(parts) if part.rank > 0 and part.savings > 0]
    for number in sorted(candidates, key=lambda number: (-parts[number].rank, -parts[number].savings, number)):
        if size <= available:
            break
        omitted.add(number)
        size -= parts[number].savings
    texts = [part.short if number in omitted else part.text for number, part in enumerate(parts)]
    result = _join([texts[0], notice.format(count=len(omitted)), *texts[1:]])
    return result if len(result.encode()) <= limit else _cut(result, limit)


def _join(texts: Sequence[str]) -> str:
    return "\n\n".join(text for text in texts if text) + "\n"


def _cut(text: str, limit: int) -> str:
    """Return the first lines of a text that is too long even without its omitted parts."""
    end = "\n\n… truncated; the full review has the rest.\n"
    available = limit - len(end.encode()) - 8
    lines: list[str] = []
    fence = ""
    for each in text.splitlines():
        available -= len(each.encode()) + 1
        if available < len(fence.encode()) + 1:
            break
        lines.append(each)
        stripped = each.strip()
        if fence and stripped == fence:
            fence = ""
        elif not fence and stripped.startswith("```"):
            fence = "`" * (len(stripped) - len(stripped.lstrip("`")))
    return "\n".join([*lines, *([fence] if fence else [])]) + end
