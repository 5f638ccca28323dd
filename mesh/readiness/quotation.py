"""Quotations from events, conditions and logs: without secrets and control characters, and of bounded length."""

from __future__ import annotations

import re
from functools import lru_cache

from mesh.kube.errors import redact_credentials, to_single_line
from mesh.redaction import SECRET, hide_secrets

MAX_MESSAGE_LENGTH = 600
MAX_LOG_LINES = 10
_MAX_LOG_LINE_LENGTH = 300
_MAX_NAME_LENGTH = 253
# A text is cut before redaction too, because its author chooses the length.
_MAX_INPUT_LENGTH = 2**16

# Escape sequences of terminals: CSI, then OSC, DCS and similar up to their terminator, then all others.
_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_END = re.compile(r"\r?\n|\r")
# The beginning of a private key can be above the lines that were read.
_KEY_END = re.compile(r"\A(?:(?!-----BEGIN )[\s\S])*?-----END [A-Z0-9 ]*PRIVATE KEY-----")
# A quoted secret can contain spaces.
_QUOTED_SECRET = re.compile(
    r"""((?<![\w.-])[\w.-]{0,64}(?:passw(?:or)?d|passphrase|pwd|token|secret|credentials?|api[_-]?key|private[_-]?key|auth)"""
    r"""["']?\s*[:=]\s*)(?:"[^"\n]+"?|'[^'\n]+'?)""",
    re.IGNORECASE,
)
_LABELLED_SECRET = re.compile(
    r"((?<![\w.-])[\w.-]{0,64}(?:pwd|credentials?)\s*[:=]\s*)(?!\[secret\])[^\s\"',;]{3,}", re.IGNORECASE
)
# Messages of registries have a colon after these words, and no secret.
_WORD_WITHOUT_SECRET = re.compile(
    r"\b(token|authorization): (?=unexpected status|authorization failed|server message|insufficient_scope"
    r"|no basic auth|failed to |rpc error|Get \"|Post \")",
    re.IGNORECASE,
)
_BLOB = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
_HEXADECIMAL = re.compile(r"(?<!sha256:)(?<![\w/-])[0-9a-z]{32,}(?![\w/-])")
_WORD = re.compile(r"[A-Za-z_-]*[0-9]{0,3}")


@lru_cache(maxsize=256)
def quote(text: str, max_length: int = MAX_MESSAGE_LENGTH) -> str:
    """Return foreign text on one line, such as the message of an event.

    Args:
        text: the text.
        max_length: maximum number of characters.
    """
    return to_single_line(_redact(_remove_escape_sequences(text[:_MAX_INPUT_LENGTH])), max_length)


def quote_name(name: str) -> str:
    """Return a name from the cluster, which is not secret."""
    return to_single_line(_remove_escape_sequences(name[:_MAX_INPUT_LENGTH]), _MAX_NAME_LENGTH)


def quote_log(text: str) -> tuple[str, ...]:
    """Return the last lines of a log.

    Args:
        text: the log, or more of its end than is quoted: a secret can begin above the quoted lines.
    """
    redacted = _redact(_remove_escape_sequences(text[-_MAX_INPUT_LENGTH:]))
    lines = (to_single_line(line, _MAX_LOG_LINE_LENGTH) for line in _LINE_END.split(redacted))
    return tuple([line for line in lines if line][-MAX_LOG_LINES:])


def _remove_escape_sequences(text: str) -> str:
    return _ESCAPE_SEQUENCE.sub("", text)


def _redact(text: str) -> str:
    text = text.replace('\\"', '"')  # JSON in a JSON text
    text = _KEY_END.sub(SECRET, text, count=1)
    text = _WORD_WITHOUT_SECRET.sub(r"\1, ", text)
    text = _QUOTED_SECRET.sub(lambda match: f"{match[1]}{SECRET}", text)
    text = _LABELLED_SECRET.sub(lambda match: f"{match[1]}{SECRET}", text)
    text = redact_credentials(hide_secrets(text), hides_long_words=False)
    text = _BLOB.sub(lambda match: SECRET if _looks_random(match[0]) else match[0], text)
    return _HEXADECIMAL.sub(lambda match: SECRET if any(map(str.isdigit, match[0])) else match[0], text)


def _looks_random(run: str) -> bool:
    """Return whether a long run of characters is no name, path or digest: base64 mixes cases and digits."""
    if not (any(map(str.isupper, run)) and any(map(str.islower, run)) and any(map(str.isdigit, run))):
        return False
    return not all(_WORD.fullmatch(part) for part in re.split(r"[/_=-]", run))
