"""Documents with the routes of a service: reads within limits, and errors with their line."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh import bounded_io
from mesh.message_format import escape_unprintable, truncate

# Further faults of one document are only counted.
MAX_FAULTS = 20
_MAX_QUOTED_LENGTH = 80


@dataclass(frozen=True, kw_only=True)
class DocumentFault:
    """One fault of a document."""

    line: int | None  # the first line is 1; None: the fault has no line
    rule: str
    remedy: str

    @property
    def located_rule(self) -> str:
        """Return the rule with its line, such as `line 12: not a duration`."""
        return self.rule if self.line is None else f"line {self.line}: {self.rule}"


class ProfileDocumentError(Exception):
    """A document whose routes cannot be read, with all its faults.

    Args:
        file: path of the document.
        faults: its faults; the error contains the first ones and the number of the others.
    """

    def __init__(self, file: Path, faults: Sequence[DocumentFault]) -> None:
        self.file = file
        self.faults = tuple(faults[:MAX_FAULTS])
        if len(faults) > MAX_FAULTS:
            rule = f"{len(faults) - MAX_FAULTS} more errors"
            self.faults += (DocumentFault(line=None, rule=rule, remedy="correct the others first"),)
        lines = (f"{file}: {fault.located_rule}; {fault.remedy}" for fault in self.faults)
        super().__init__("\n".join(map(escape_unprintable, lines)))


def read_document(file: Path, max_bytes: int) -> bytes:
    """Return the content of a document.

    Raises:
        ProfileDocumentError: the file cannot be read, is empty or too large.
    """
    remedy = "write the path of the document, relative to the stack file"
    try:
        content = bounded_io.read_regular_file(file, max_bytes)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        if error.errno == errno.EFBIG:
            remedy = "leave out what routes do not need, such as schemas and examples"
        raise document_error(file, reason[:1].lower() + reason[1:], remedy) from None
    except ValueError:
        raise document_error(file, "not the name of a file", remedy) from None
    if not content.strip():
        raise document_error(file, "empty file", remedy)
    return content


def quote(text: str) -> str:
    """Return a text of a document for a message: in quotation marks, short, on one line."""
    return f'"{escape_unprintable(truncate(text, _MAX_QUOTED_LENGTH))}"'


def document_error(file: Path, rule: str, remedy: str, line: int | None = None) -> ProfileDocumentError:
    """Return the error of a document with one fault."""
    return ProfileDocumentError(file, [DocumentFault(line=line, rule=rule, remedy=remedy)])
