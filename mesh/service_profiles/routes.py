"""Routes of a ServiceProfile, `linkerd.io/v1alpha2`, and the limits of their number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.service_profiles.document import document_error

# etcd stores no object of more than 1.5 MiB. The rest of the ServiceProfile needs a part of it.
MAX_ROUTES_BYTES = 1_400_000
# Characters with a meaning in Go's regular expressions, as in `regexp.QuoteMeta`.
_METACHARACTER = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclass(frozen=True, kw_only=True)
class ResponseClass:
    """Responses with one status, which count as successes or failures in metrics and for retries."""

    status: int

    @property
    def is_failure(self) -> bool:
        """Return whether the responses are failures."""
        return self.status >= 500


@dataclass(frozen=True, kw_only=True)
class ProfileRoute:
    """A route: the requests with one method and matching paths."""

    name: str
    method: str
    path_regex: str
    timeout: str | None = None
    is_retryable: bool = False
    retry_limit: int | None = None  # only for HTTPRoutes; None: Linkerd's default
    response_classes: tuple[ResponseClass, ...] = ()


def route_spec(route: ProfileRoute) -> dict[str, Any]:
    """Return a route in the form of a ServiceProfile's spec."""
    spec: dict[str, Any] = {
        "name": route.name,
        "condition": {"method": route.method, "pathRegex": route.path_regex},
    }
    if route.response_classes:
        spec["responseClasses"] = [_response_class_spec(each) for each in route.response_classes]
    if route.is_retryable:
        spec["isRetryable"] = True
    if route.timeout is not None:
        spec["timeout"] = route.timeout
    return spec


def quote_regex(text: str) -> str:
    """Return a regular expression that matches only a text, in the notation of Go's `regexp.QuoteMeta`."""
    return _METACHARACTER.sub(r"\\\g<0>", text)


def check_size(file: Path, routes: Sequence[ProfileRoute]) -> None:
    """Check that a ServiceProfile with these routes is not too large for Kubernetes.

    Raises:
        ProfileDocumentError: the routes are too large.
    """
    size = sum(_encoded_sizes(routes))
    if size > MAX_ROUTES_BYTES:
        rule = f"its {len(routes)} routes need {size:,} bytes, a ServiceProfile can have {MAX_ROUTES_BYTES:,}"
        remedy = "remove paths from the document, or move them to a second service"
        raise document_error(file, rule, remedy)


def _encoded_sizes(routes: Iterable[ProfileRoute]) -> Iterable[int]:
    for route in routes:
        yield len(json.dumps(route_spec(route), ensure_ascii=False, separators=(",", ":")).encode()) + 1


def _response_class_spec(response_class: ResponseClass) -> dict[str, Any]:
    spec: dict[str, Any] = {"condition": {"status": {"min": response_class.status, "max": response_class.status}}}
    if response_class.is_failure:
        spec["isFailure"] = True
    return spec
