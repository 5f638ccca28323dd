"""Hostile OpenAPI documents and .proto files: an error within the resource limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.service_profiles.document import ProfileDocumentError
from mesh.service_profiles.openapi import read_openapi
from mesh.service_profiles.protobuf import MAX_BYTES, read_protobuf
from tests.helpers.hostile_yaml import HOSTILE_YAML
from tests.helpers.resource_limits import limited_resources as limited_resources

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("limited_resources")]

_SIZE = 3 * 2**20
_RPC = "rpc A(B) returns (C);"

OPENAPI = {
    "many paths": "".join(f"  /p{number}: {{get: {{}}}}\n" for number in range(60_000)),
    "too many paths": "".join(f"  /p{number}: {{get: {{}}}}\n" for number in range(200_000)),
    "one path item many times": "  /: &a {get: {}}\n" + "".join(f"  /p{number}: *a\n" for number in range(90_000)),
    "a long path": f"  ? /{'{' * _SIZE}\n  : {{get: {{}}}}\n",
    "many open braces": "".join(f"  '/{number}{'{' * 1000}': {{get: {{}}}}\n" for number in range(2000)),
    "a chain of merge keys": "  x-0: &x0 {get: {}}\n"
    + "".join(f"  x-{number}: &x{number} {{<<: *x{number - 1}}}\n" for number in range(1, 500))
    + "  /a: *x499\n",
}
PROTOBUF = {
    "braces": "message M " + "{" * MAX_BYTES,
    "an open comment": "/*" + "*" * MAX_BYTES,
    "open quotation marks": 'option a = "' + "\\a" * MAX_BYTES,
    "many texts": "option a = " + "'a' " * (MAX_BYTES // 4),
    "a long name": "a" * MAX_BYTES,
    "a long package": f"package {'a.' * (MAX_BYTES // 2 - 50)}a; service S {{ {_RPC} }}",
    "a long number": "option a = " + "1e+" * (MAX_BYTES // 3),
    "many rpcs": f"service S {{ {_RPC * (MAX_BYTES // len(_RPC) - 1)} }}",
}


@pytest.mark.parametrize("content", [each for each, _ in HOSTILE_YAML.values()], ids=HOSTILE_YAML.keys())
def test_hostile_yaml_is_no_openapi_document(tmp_path: Path, content: bytes) -> None:
    check_openapi(tmp_path, content)


@pytest.mark.parametrize("paths", OPENAPI.values(), ids=OPENAPI.keys())
def test_hostile_openapi_document_is_refused(tmp_path: Path, paths: str) -> None:
    check_openapi(tmp_path, f"swagger: '2.0'\npaths:\n{paths}".encode())


@pytest.mark.parametrize("content", PROTOBUF.values(), ids=PROTOBUF.keys())
def test_hostile_protobuf_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.proto"
    file.write_text(content[:MAX_BYTES])

    with pytest.raises(ProfileDocumentError) as raised:
        read_protobuf(file)

    assert str(raised.value).isprintable()


def check_openapi(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "openapi.yaml"
    file.write_bytes(content)

    with pytest.raises(ProfileDocumentError) as raised:
        read_openapi(file, has_shortened_paths=True)

    assert str(raised.value).isprintable()
