"""Checks of the stack file's values, and annotations of types that call them, with rule and remedy for messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError


def build_error(rule: str, remedy: str) -> PydanticCustomError:
    """Return the Pydantic error for a value that breaks a rule."""
    return PydanticCustomError("rule", "{rule}; {remedy}", {"rule": rule, "remedy": remedy})


def match_pattern(pattern: str, rule: str, remedy: str, max_length: int) -> tuple[Any, ...]:
    """Return the annotations of a text that matches a pattern, for Pydantic and the JSON Schema."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > max_length or not compiled.fullmatch(value):
            raise build_error(rule, remedy)
        return value

    schema = {"type": "string", "pattern": pattern, "maxLength": max_length}
    return (AfterValidator(check), WithJsonSchema(schema))


def validate_with(check: Callable[[Any], bool], rule: str, remedy: str) -> AfterValidator:
    """Return the annotation of a value that passes a check."""

    def validate(value: Any) -> Any:
        if not check(value):
            raise build_error(rule, remedy)
        return value

    return AfterValidator(validate)


def make_url_check(*schemes: str) -> Callable[[str], bool]:
    """Return a check for plain URLs with one of the schemes, without password, query and fragment."""

    def check(value: str) -> bool:
        try:
            parts = urlsplit(value)
            is_plain = value.isascii() and value.isprintable() and " " not in value and "@" not in parts.netloc
            is_base = not parts.query and not parts.fragment and "//" not in parts.path
            return is_plain and is_base and parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            return False

    return check


is_api_server = make_url_check("https")
_is_chart_url = make_url_check("https", "http", "oci")


def is_chart_source(value: str) -> bool:
    """Return whether a text is the URL of a chart source or an existing folder."""
    try:
        return _is_chart_url(value) or Path(expand_path(value)).is_dir()
    except (OSError, ValueError):
        return False


def expand_path(path: str) -> str:
    """Return a path with a leading `~` expanded to the home folder."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # unknown user
        return path


def is_regex(value: str) -> bool:
    """Return whether a text is a regular expression that Linkerd's proxy supports."""
    # The regular expressions of Linkerd's proxy have no look-around and no back references.
    if re.search(r"\(\?(?!:|P<)|\\[1-9]", value):
        return False
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):  # huge numbers, deep nesting
        return False
    return True


def is_port_range(value: int | str) -> bool:
    """Return whether a value is a port, or a range such as 3000-3010."""
    ends = (
        [int(each) for each in str(value).split("-")] if re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", str(value)) else []
    )
    return bool(ends) and 1 <= ends[0] <= ends[-1] <= 65535


def _is_manifest_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        is_plain = value.isascii() and value.isprintable() and " " not in value
        return is_plain and parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_manifest(value: str) -> bool:
    """Return whether a text is the URL of a manifest or an existing file."""
    if re.match(r"[a-z0-9+.-]+:", value, re.IGNORECASE):
        return _is_manifest_url(value)
    try:
        return Path(expand_path(value)).is_file()
    except (OSError, ValueError):
        return False
