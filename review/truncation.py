"""Making a text fit: its least important parts go first, and what went is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TextPart:
    """A piece of a text."""

    text: str
    short: str = ""  # what stands in its place when it is left out
    rank: int = 0  # 0: never left out; the higher, the sooner

    @property
    def gain(self) -> int:
        """Bytes that leaving it out saves."""
        return len(self.text.encode()) - len(self.short.encode())


def truncate_parts(parts: Sequence[TextPart], limit: int, notice: str) -> str:
    """The parts as one text of at most `limit` bytes, a blank line between them.

    Args:
        parts: in the order in which they stand.
        limit: in bytes of UTF-8, of which no text has fewer than characters.
        notice: what is said first when something was left out; `{count}` in it becomes how many parts.
    """
    whole = _joined([part.text for part in parts])
    if len(whole.encode()) <= limit:
        return whole
    room = limit - len(notice.encode()) - 16
    size = len(whole.encode())
    out: set[int] = set()
    candidates = [number for number, part in enumerate(parts) if part.rank > 0 and part.gain > 0]
    for number in sorted(candidates, key=lambda number: (-parts[number].rank, -parts[number].gain, number)):
        if size <= room:
            break
        out.add(number)
        size -= parts[number].gain
    texts = [part.short if number in out else part.text for number, part in enumerate(parts)]
    result = _joined([texts[0], notice.format(count=len(out)), *texts[1:]])
    return result if len(result.encode()) <= limit else _cut(result, limit)


def _joined(texts: Sequence[str]) -> str:
    return "\n\n".join(text for text in texts if text) + "\n"


def _cut(text: str, limit: int) -> str:
    """The first lines of a text of which even the important parts don't fit."""
    end = "\n\n… and so on; the rest is in the full review.\n"
    room = limit - len(end.encode()) - 8
    kept: list[str] = []
    fence = ""
    for each in text.splitlines():
        room -= len(each.encode()) + 1
        if room < len(fence.encode()) + 1:
            break
        kept.append(each)
        stripped = each.strip()
        if fence and stripped == fence:
            fence = ""
        elif not fence and stripped.startswith("```"):
            fence = "`" * (len(stripped) - len(stripped.lstrip("`")))
    return "\n".join([*kept, *([fence] if fence else [])]) + end
