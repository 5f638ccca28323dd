"""Text of somebody else's inside Markdown, so that none of it is taken for Markdown or HTML.

Follows https://github.github.com/gfm/ (code spans, fenced code blocks, tables).
"""

from __future__ import annotations

import html
import re
import unicodedata

# Characters of a line that are shown.
LONGEST_LINE = 240


def visible(text: str) -> str:
    """A text with a visible sign in place of each character that moves or hides others."""
    return "".join(
        character
        if character in "\n\t" or not unicodedata.category(character).startswith(("C", "Zl", "Zp"))
        else f"\\u{{{ord(character):x}}}"
        for character in text
    )


def line(text: str, longest: int = LONGEST_LINE) -> str:
    """A text as one line of at most so many characters."""
    shown = visible(" ".join(text.split("\n")))
    if len(shown) <= longest:
        return shown
    return f"{shown[:longest]}… ({len(shown) - longest} more characters)"


def code(text: str, *, cell: bool = False, longest: int = LONGEST_LINE) -> str:
    """A text as code in a line.

    Args:
        text: the text.
        cell: whether it stands in a table, where a bar would end its cell.
        longest: characters of it that are shown.
    """
    shown = line(text, longest).strip()
    if cell:
        shown = shown.replace("|", "\\|")
    fence = "`" * (_longest_run(shown) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{fence}{space}{shown}{space}{fence}"


def markup(text: str) -> str:
    """A text as code inside HTML, where Markdown has no say."""
    return f"<code>{html.escape(line(text).strip())}</code>"


def block(lines: list[str], language: str = "") -> str:
    """Lines as a block of code."""
    shown = [line(each) for each in lines]
    fence = "`" * max(3, _longest_run("\n".join(shown)) + 1)
    return "\n".join([f"{fence}{language}", *shown, fence])


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
