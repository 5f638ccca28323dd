"""Rules on the project's language that ruff does not have: banned words, openings and names.

`python -m tests.helpers.prose [path …]` prints every violation; `tests/unit/test_style.py` requires that there is none.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from mesh.paths import PROJECT_ROOT
from tests.helpers.project_files import list_project_files

# A standard word for each banned one is in CONTRIBUTING.md.
BANNED = re.compile(
    r"\b(anew|amiss|mend(s|ed|ing)?|told|tells?|said|says|knows|hears?|heard|wants?|made|goes|lest|upkeep|"
    r"wished for|taken away|on its way out|on their way out|nobody else's|at work|stands? beside|be it|no other|"
    r"for ever|in one go|sees|nobody|no one|beside)\b",
    re.IGNORECASE,
)
OPENING = re.compile(r"(What|Who|Whose|Where|Those|It|They|That|Of)\b")
# A comment after code often begins in lower case.
_TRAILING_OPENING = re.compile(OPENING.pattern, re.IGNORECASE)
# Marks of headings, lists, quotations, bold text and cells before the first word of a sentence in Markdown.
_MARKDOWN_MARKS = re.compile(r"^(?:[#>|*-]+|\d+\.)?\s*(?:\*\*)?")
NAMES = frozenset(
    {"found", "wanted", "made", "told", "said", "seen", "asked", "given", "gone", "kept", "listed", "shown"}
    | {"printed", "left", "ran", "sent", "drawn", "chosen", "served", "named"}
)
# Methods that a base class of another library names.
LIBRARY_NAMES = frozenset({"connection_made"})
# Quoted from others: Linkerd's, Helm's and Kubernetes' own words, and the words that this module bans.
EXEMPT = ("tests/helpers/prose.py", "tests/testdata/", "benchmarks/results.md")
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|https?://\S+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
# In shell scripts, YAML and the Makefile, and in templates of charts.
_COMMENT = re.compile(r"(?:^|\s)#+\s+(.*)|/\*\s*(.*?)\*/")
_COMMENTED_FILES = (".yaml", ".yml", ".sh", ".tpl", ".gotmpl", "Makefile", ".ci/run")


@dataclass(frozen=True, kw_only=True)
class ProseViolation:
    """A violation of the rules on language."""

    location: str  # file:line
    rule: str

    def __str__(self) -> str:
        return f"{self.location}: {self.rule}"


def check(paths: list[str]) -> list[ProseViolation]:
    """Return every violation in files of the project, given by their paths in it."""
    violations: list[ProseViolation] = []
    for path in paths:
        if path.startswith(EXEMPT):
            continue
        text = (PROJECT_ROOT / path).read_text()
        if path.endswith(".py"):
            violations += check_python(path, text)
        elif path.endswith(".md"):
            violations += check_markdown(path, text)
        else:
            violations += check_comments(path, text)
    return violations


def checked_files() -> list[str]:
    """Return the paths of all files that the rules are about."""
    suffixes = (".py", ".md", *_COMMENTED_FILES)
    return [path for path in list_project_files() if path.endswith(suffixes) and (PROJECT_ROOT / path).is_file()]


def check_python(path: str, text: str) -> Iterator[ProseViolation]:
    """Yield every violation in a Python file."""
    nodes = list(ast.walk(ast.parse(text)))
    for line, prose in _docstrings(nodes):
        yield from _opening(path, line, prose)
        yield from _words(path, line, prose)
    lines = text.splitlines()
    previous = -1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        prose = token.string.lstrip("#:! ")
        # A comment that continues the line above does not open a sentence.
        if not lines[token.start[0] - 1].lstrip().startswith("#"):
            yield from _opening(path, token.start[0], prose, _TRAILING_OPENING)
        elif token.start[0] != previous + 1:
            yield from _opening(path, token.start[0], prose)
        yield from _words(path, token.start[0], prose)
        previous = token.start[0]
    in_tests = path.startswith("tests/")
    for node in nodes:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.count(" ") >= 2
            and not in_tests
        ):
            yield from _words(path, node.lineno, node.value)
        yield from _names(path, node)


def check_comments(path: str, text: str) -> Iterator[ProseViolation]:
    """Yield every violation in the comments of a file that is neither Python nor Markdown."""
    previous = -1
    for number, part in enumerate(text.splitlines(), 1):
        match = _COMMENT.search(part)
        if match:
            prose = match[1] or match[2] or ""
            if number != previous + 1:
                yield from _opening(path, number, prose)
            yield from _words(path, number, prose)
            previous = number


def _docstrings(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            for statement in body:
                value = getattr(statement, "value", None)
                if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield statement.lineno, value.value


def _names(path: str, node: ast.AST) -> Iterator[ProseViolation]:
    name = None
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        name = node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        name = node.id
    elif isinstance(node, ast.arg):
        name = node.arg
    if name is None or name in LIBRARY_NAMES:
        return
    line = getattr(node, "lineno", 0)
    if name.strip("_") in NAMES:
        yield ProseViolation(location=f"{path}:{line}", rule=f"the name {name} says nothing of what it holds")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("_", " ")
    for match in BANNED.finditer(words):
        yield ProseViolation(location=f"{path}:{line}", rule=f"the name {name} has the banned word {match[0]}")


def _opening(path: str, line: int, prose: str, opening: re.Pattern[str] = OPENING) -> Iterator[ProseViolation]:
    for paragraph in prose.split("\n\n"):
        for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
            match = opening.match(sentence)
            if match and not sentence.endswith("?"):
                rule = f"a sentence begins with {match[1]}: {sentence[:60]!r}"
                yield ProseViolation(location=f"{path}:{line}", rule=rule)


def _words(path: str, line: int, prose: str) -> Iterator[ProseViolation]:
    for number, part in enumerate(prose.split("\n")):
        for match in BANNED.finditer(_QUOTED.sub("", part)):
            yield ProseViolation(
                location=f"{path}:{line + number}", rule=f"banned word {match[0]!r}: {part.strip()[:100]}"
            )


def check_markdown(path: str, text: str) -> Iterator[ProseViolation]:
    """Yield every violation in a Markdown file, outside its code blocks."""
    fenced = False
    paragraph: list[str] = []
    lines = text.splitlines()
    for number, part in enumerate(lines, 1):
        if part.lstrip().startswith("```"):
            fenced = not fenced
            continue
        if fenced:
            continue
        yield from _words(path, number, part)
        if part.startswith("|"):
            for cell in part.strip("|").split("|"):
                yield from _opening(path, number, _MARKDOWN_MARKS.sub("", cell.strip()))
            continue
        paragraph.append(part.strip())
        following = lines[number] if number < len(lines) else ""
        if not following.strip() or part.startswith("#") or re.match(r"\s*(?:[#>|*-]|\d+\.|```)", following):
            yield from _opening(path, number, _MARKDOWN_MARKS.sub("", " ".join(filter(None, paragraph))))
            paragraph = []


if __name__ == "__main__":
    chosen = [path for path in checked_files() if not sys.argv[1:] or path.startswith(tuple(sys.argv[1:]))]
    violations_found = check(chosen)
    print(*violations_found, sep="\n")
    print(f"{len(violations_found)} violations in {len(chosen)} files", file=sys.stderr)
    sys.exit(bool(violations_found))
