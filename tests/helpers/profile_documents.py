"""OpenAPI documents and .proto files for tests of ServiceProfiles."""

from __future__ import annotations

import json
from typing import Any

from mesh.paths import PROJECT_ROOT

DOCUMENTS = PROJECT_ROOT / "tests" / "testdata" / "service_profiles"


def large_document(*, paths: int) -> str:
    """Return an OpenAPI document of some KiB per path, with three operations each."""
    return json.dumps(
        {
            "openapi": "3.0.0",
            "info": {"title": "Large", "version": "1"},
            "paths": {
                f"/v1/things{number}/{{id}}/part.{number}/": {
                    method: _operation(f"{method}{number}") for method in ("get", "put", "delete")
                }
                for number in range(paths)
            },
        },
        indent=2,
    )


def _operation(name: str) -> dict[str, Any]:
    parameter = {"in": "query", "required": True, "schema": {"type": "string", "description": "A text. " * 10}}
    return {
        "operationId": name,
        "parameters": [{"name": f"filter{number}", **parameter} for number in range(4)],
        "responses": {status: {"description": "Answer"} for status in ("500", "200", "404", "default")},
        "x-linkerd-retryable": name.startswith("get"),
        "x-linkerd-timeout": "300ms",
    }
