"""Escaping of foreign text in Markdown, so that it cannot be interpreted as Markdown or HTML.

Follows https://github.github.com/gfm/ (code spans, fenced code blocks, tables).
"""

from __future__ import annotations

import html
import re
import unicodedata

# Characters of a line; the rest is replaced by its length.
MAX_LINE_LENGTH = 240


def escape_invisible(text: str) -> str:
    """Return a text with a visible escape in place of each control and formatting character."""
    return "".join(
        character
        if character in "\n\t" or not unicodedata.category(character).startswith(("C", "Zl", "Zp"))
        else f"\\u{{{ord(character):x}}}"
        for character in text
    )


def to_line(text: str, max_length: int = MAX_LINE_LENGTH) -> str:
    """Return a text as one line of at most `max_length` characters, plus the number of omitted characters."""
    line = escape_invisible(" ".join(text.split("\n")))
    if len(line) <= max_length:
        return line
    return f"{line[:max_length]}… ({len(line) - max_length} more characters)"


def code_span(text: str, *, in_table: bool = False, max_length: int = MAX_LINE_LENGTH) -> str:
    """Return a text as a code span.

    Args:
        text: the text.
        in_table: whether the span is in a table cell, which a bar would end.
        max_length: in characters.
    """
    line = to_line(text, max_length).strip()
    if in_table:
        line = line.replace("|", "\\|")
    fence = "`" * (_longest_backtick_run(line) + 1)
    space = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{space}{line}{space}{fence}"


def html_code(text: str) -> str:
    """Return a text as an HTML `code` element, for places where Markdown is not interpreted."""
    return f"<code>{html.escape(to_line(text).strip())}</code>"


def code_block(lines: list[str], language: str = "") -> str:
    """Return lines as a fenced code block."""
    escaped = [to_line(each) for each in lines]
    fence = "`" * max(3, _longest_backtick_run("\n".join(escaped)) + 1)
    return "\n".join([f"{fence}{language}", *escaped, fence])


def _longest_backtick_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
