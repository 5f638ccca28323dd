"""Routes from a .proto file, as `linkerd profile --proto` generates them.

Each rpc of the file has a route. Its option `idempotency_level` decides whether requests are retried. Imports are not
read. Everything but packages, services and rpcs is only skipped, so protoc may refuse what is accepted here.
https://github.com/linkerd/linkerd2/blob/main/pkg/profiles/proto.go
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh.service_profiles.document import ProfileDocumentError, document_error, quote, read_document
from mesh.service_profiles.routes import ProfileRoute, check_size, quote_regex

MAX_BYTES = 2**20

_RETRYABLE_LEVELS = ("IDEMPOTENT", "NO_SIDE_EFFECTS")
# Possessive quantifiers: a long comment or text needs no memory for backtracking.
_TOKEN = re.compile(
    r"""
    (?P<space> \s++ | //[^\n]*+ | /\*(?s:.)*?\*/ )
    | (?P<text> "[^"\\\n]*+ (?: \\. [^"\\\n]*+ )*+ " | '[^'\\\n]*+ (?: \\. [^'\\\n]*+ )*+ ' )
    | (?P<name> [A-Za-z_]\w*+ )
    | (?P<number> \.?[0-9] (?: [eE][+-] | [\w.] )*+ )
    | (?P<symbol> [-+;:=,.<>()\[\]{}] | /(?!\*) )
    """,
    re.VERBOSE | re.ASCII,
)
_SKIPPED_STATEMENTS = ("edition", "import", "option", "syntax")
_SKIPPED_BLOCKS = ("enum", "extend", "message")


@dataclass(frozen=True, kw_only=True)
class _Token:
    text: str
    line: int
    is_name: bool = False


def read_protobuf(file: Path) -> list[ProfileRoute]:
    """Return the routes of a .proto file, in the order of its rpcs.

    Args:
        file: the file, of any syntax or edition.

    Raises:
        ProfileDocumentError: the file is invalid; the parser stops at the first error.
    """
    content = read_document(file, MAX_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise document_error(file, "not UTF-8", "store the file as UTF-8", line) from None
    routes = _Parser(file, text).parse_file()
    if not routes:
        raise document_error(file, "no rpc", "name the file that contains the service, not one that it imports")
    check_size(file, routes)
    return routes


class _Parser:
    """Parser of one file."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._tokens = self._scan(text)
        self._line = 1  # line of the last token

    def parse_file(self) -> list[ProfileRoute]:
        routes: list[ProfileRoute] = []
        package: str | None = None
        for start in self._tokens:
            if start.text == "package":
                package = self._parse_package(start, package, has_service=bool(routes))
            elif start.text == "service":
                routes += self._parse_service(package or "")
            elif start.text in _SKIPPED_STATEMENTS:
                self._skip_statement()
            elif start.text in _SKIPPED_BLOCKS:
                self._skip_to("{")
                self._skip_block()
            elif start.text != ";":
                raise self._unexpected(start, "a statement such as service or message")
        return routes

    def _parse_package(self, start: _Token, package: str | None, *, has_service: bool) -> str:
        if package is not None:
            raise self._error(start.line, "second package", "remove one of the two")
        if has_service:
            raise self._error(start.line, "Linkerd ignores a package after a service", "write it before the service")
        return "".join(self._skip_statement())

    def _parse_service(self, package: str) -> Iterator[ProfileRoute]:
        service = self._take_name("the name of the service")
        full_name = f"{package}.{service}" if package else service
        self._expect("{")
        while (start := self._require("}")).text != "}":
            if start.text == "rpc":
                yield self._parse_rpc(full_name)
            elif start.text == "option":
                self._skip_statement()
            elif start.text != ";":
                raise self._unexpected(start, "rpc, option or }")

    def _parse_rpc(self, service: str) -> ProfileRoute:
        method = self._take_name("the name of the rpc")
        self._parse_type()
        self._expect("returns")
        self._parse_type()
        end = self._require("; or {")
        level = ""
        if end.text == "{":
            level = self._parse_idempotency_level()
        elif end.text != ";":
            raise self._unexpected(end, "; or {")
        return ProfileRoute(
            name=method,
            method="POST",
            path_regex=quote_regex(f"/{service}/{method}"),
            is_retryable=level in _RETRYABLE_LEVELS,
        )

    def _parse_type(self) -> None:
        self._expect("(")
        token = self._require("a type")
        if token.text == ")":
            raise self._unexpected(token, "a type")
        while token.text != ")":
            if not token.is_name and token.text != ".":
                raise self._unexpected(token, ")")
            token = self._require(")")

    def _parse_idempotency_level(self) -> str:
        """Return the first idempotency level among the options of an rpc, or an empty text."""
        level = ""
        while (start := self._require("}")).text != "}":
            if start.text == "option":
                name, _, value = "\0".join(self._skip_statement()).partition("\0=\0")
                if not level and name.replace("\0", "").strip("()") == "idempotency_level":
                    level = value.strip("\"'")
            elif start.text != ";":
                raise self._unexpected(start, "option or }")
        return level

    def _skip_statement(self) -> list[str]:
        """Return the tokens up to the semicolon, without those inside braces, and skip the semicolon."""
        texts: list[str] = []
        while (token := self._require(";")).text != ";":
            if token.text == "{":
                self._skip_block()
            elif token.text == "}":
                raise self._unexpected(token, ";")
            else:
                texts.append(token.text)
        return texts

    def _skip_block(self) -> None:
        """Skip the tokens up to the brace that closes the block."""
        depth = 1
        while depth:
            token = self._require("}")
            depth += (token.text == "{") - (token.text == "}")

    def _skip_to(self, text: str) -> None:
        while (token := self._require(text)).text != text:
            if token.text in (";", "}"):
                raise self._unexpected(token, text)

    def _take_name(self, expected: str) -> str:
        token = self._require(expected)
        if not token.is_name:
            raise self._unexpected(token, expected)
        return token.text

    def _expect(self, text: str) -> None:
        token = self._require(text)
        if token.text != text:
            raise self._unexpected(token, text)

    def _require(self, expected: str) -> _Token:
        """Return the next token, or raise an error that the file ends before it."""
        token = next(self._tokens, None)
        if token is None:
            raise self._error(self._line, f"the file ends before {expected}", "complete the file")
        return token

    def _scan(self, text: str) -> Iterator[_Token]:
        """Yield the tokens of a text, without white space and comments."""
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                # An open comment, open quotation marks, or a character of no token.
                unknown = text[position : position + 20].partition("\n")[0]
                raise self._error(self._line, f"unexpected {quote(unknown)}", "correct the syntax")
            if match.lastgroup != "space":
                yield _Token(text=match[0], line=self._line, is_name=match.lastgroup == "name")
            self._line += match[0].count("\n")
            position = match.end()

    def _unexpected(self, token: _Token, expected: str) -> ProfileDocumentError:
        return self._error(token.line, f"unexpected {quote(token.text)}", f"write {expected} here")

    def _error(self, line: int, rule: str, remedy: str) -> ProfileDocumentError:
        return document_error(self._file, rule, remedy, line)
