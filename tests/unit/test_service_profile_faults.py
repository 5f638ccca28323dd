"""Errors of OpenAPI documents and .proto files: file, line, rule and remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mesh.service_profiles import openapi, protobuf
from mesh.service_profiles.document import MAX_FAULTS, DocumentFault, ProfileDocumentError
from mesh.service_profiles.openapi import read_openapi
from mesh.service_profiles.protobuf import read_protobuf


def faults_of(tmp_path: Path, content: str | bytes, name: str = "cart.yaml") -> list[str]:
    """Return the faults of a document as `line: rule; remedy`; the name decides which reader reads it."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ProfileDocumentError) as raised:
        read(file)
    assert raised.value.file == file
    assert all(line.startswith(f"{file}: ") and line.isprintable() for line in str(raised.value).split("\n"))
    return [f"{fault.located_rule}; {fault.remedy}" for fault in raised.value.faults]


def read(file: Path) -> None:
    if file.suffix == ".proto":
        read_protobuf(file)
    else:
        read_openapi(file, has_shortened_paths=False)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("swagger: '2.0'\npaths: {}", "line 2: no operations; add paths with the operations of the service"),
        ("swagger: '2.0'\npaths:", "line 2: no operations; add paths with the operations of the service"),
        ("swagger: '2.0'", "line 1: no paths; add paths with the operations of the service"),
        ("swagger: '2.0'\npaths: [/a]", "line 2: paths is not a mapping; write keys with values"),
        ("[]", "line 1: the document is not a mapping; write keys with values"),
        ("# nothing", "empty document; write a document of OpenAPI 2 or 3"),
        ("null", "empty document; write a document of OpenAPI 2 or 3"),
        ("a: {", "not YAML at line 2; correct the syntax"),
        ("--- a\n--- b", "not YAML at line 2; correct the syntax"),
        ("a: 1\na: 2", 'line 2: duplicate key "a"; remove one of the two'),
        ("a: &a [*a]", "line 1: an alias for a collection that contains it; leave out what routes do not need"),
    ],
)
def test_broken_document_is_an_error(tmp_path: Path, content: str, fault: str) -> None:
    assert faults_of(tmp_path, content) == [fault]


@pytest.mark.parametrize("version", ["", "info: {}", "swagger: 1.2", "openapi: 4.0.0", "openapi: [3.0.0]", "openapi:"])
def test_unsupported_version_is_an_error(tmp_path: Path, version: str) -> None:
    (fault,) = faults_of(tmp_path, f"{version}\npaths: {{/a: {{get: {{}}}}}}")

    assert "version of OpenAPI; write a document of OpenAPI 2 or 3, with swagger:" in fault


def test_all_faults_of_a_document_are_reported(tmp_path: Path) -> None:
    content = """\
swagger: "2.0"
basePath: api
paths:
  a: {}
  /b: {$ref: "b.yaml"}
  /c: []
  /d:
    get: text
    put: {x-linkerd-timeout: 300, x-linkerd-retryable: "true", responses: []}
    post:
      x-linkerd-timeout: 5 seconds
      responses:
        200: text
        700: {}
  "/e\\nf": {}
  /g: {<<: 1}
"""
    assert sorted(faults_of(tmp_path, content), key=lambda fault: int(fault.split(":")[0].removeprefix("line "))) == [
        "line 2: basePath is not a path; write it as in /api/v2",
        'line 4: path "a" must begin with a slash; write it as in /authors/{id}',
        'line 5: Linkerd does not follow the $ref of path "/b"; write the operations of the path here, or bundle the '
        "document",
        'line 6: path "/c" is not a mapping; write keys with values',
        'line 8: operation "GET /d" is not a mapping; write keys with values',
        'line 9: x-linkerd-timeout "300" is not a duration; write a number with the unit ms, s, m or h, as in 300ms',
        "line 9: x-linkerd-retryable is not a boolean; write true or false, without quotation marks",
        'line 9: responses of "PUT /d" is not a mapping; write keys with values',
        'line 11: x-linkerd-timeout "5 seconds" is not a duration; write a number with the unit ms, s, m or h, as in '
        "300ms",
        'line 13: response 200 of "POST /d" is not a mapping; write keys with values',
        'line 14: invalid status 700 of "POST /d"; write a status from 100 to 599',
        'line 15: path "/e\\u000af" has unprintable characters; write it as in /authors/{id}',
        "line 16: merge key without a mapping, or with too many; write the keys here",
    ]


@pytest.mark.parametrize("count", [MAX_FAULTS, MAX_FAULTS + 5])
def test_number_of_reported_faults_is_limited(tmp_path: Path, count: int) -> None:
    paths = "".join(f"  p{number}: {{}}\n" for number in range(count))

    faults = faults_of(tmp_path, f"swagger: '2.0'\npaths:\n{paths}")

    assert faults[MAX_FAULTS:] == (["5 more errors; correct the others first"] if count > MAX_FAULTS else [])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            "syntax = 'proto3';\nmessage M {}",
            "no rpc; name the file that contains the service, not one that it imports",
        ),
        ("service S {\n  rpc A(B) returns (C)\n}", 'line 3: unexpected "}"; write ; or { here'),
        ("service S {\n  rpc A(B) {}", 'line 2: unexpected "{"; write returns here'),
        ("service S {\n  rpc A() returns (C);", 'line 2: unexpected ")"; write a type here'),
        ("service S {\n  rpc A(B) returns (C) {", "line 2: the file ends before }; complete the file"),
        ("service S {\n  rpc A(B) returns (C) { rpc", 'line 2: unexpected "rpc"; write option or } here'),
        ("service S {\n  call A", 'line 2: unexpected "call"; write rpc, option or } here'),
        ("service 1 {}", 'line 1: unexpected "1"; write the name of the service here'),
        ("message M {", "line 1: the file ends before }; complete the file"),
        ("message M;", 'line 1: unexpected ";"; write { here'),
        ("option a = 1 }", 'line 1: unexpected "}"; write ; here'),
        ("/* open", 'line 1: unexpected "/* open"; correct the syntax'),
        ('\n\nimport "open;', 'line 3: unexpected ""open;"; correct the syntax'),
        ("swagger: 2", 'line 1: unexpected "swagger"; write a statement such as service or message here'),
        ("service größe {}", 'line 1: unexpected "öße {}"; correct the syntax'),
        ("package a;\npackage b;", "line 2: second package; remove one of the two"),
        (
            "service S { rpc A(B) returns (C); }\npackage a;",
            "line 2: Linkerd ignores a package after a service; write it before the service",
        ),
        (b"// \xc3\xa9\n\xff", "line 2: not UTF-8; store the file as UTF-8"),
        ("\0", 'line 1: unexpected "\\u0000"; correct the syntax'),
    ],
)
def test_broken_protobuf_file_is_an_error(tmp_path: Path, content: str | bytes, fault: str) -> None:
    assert faults_of(tmp_path, content, "cart.proto") == [fault]


@pytest.mark.parametrize("name", ["cart.yaml", "cart.proto"])
def test_unreadable_file_is_an_error(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    remedy = "write the path of the document, relative to the stack file"

    def fault(path: Path = file) -> DocumentFault:
        with pytest.raises(ProfileDocumentError) as raised:
            read(path)
        return raised.value.faults[0]

    assert fault() == DocumentFault(line=None, rule="no such file or directory", remedy=remedy)
    file.mkdir()
    assert fault().rule == "is a directory"
    file.rmdir()
    os.mkfifo(file)
    assert fault().rule == "not a file"
    file.unlink()
    file.write_text(" \n")
    assert fault().rule == "empty file"
    assert fault(file.with_name(f"\0{name}")).rule == "not the name of a file"
    assert fault(file.with_name(f"{'x' * 300}{name}")).rule == "file name too long"


@pytest.mark.parametrize(
    ("name", "max_bytes"), [("cart.yaml", openapi.LIMITS.max_bytes), ("cart.proto", protobuf.MAX_BYTES)]
)
def test_size_of_a_document_is_limited(tmp_path: Path, name: str, max_bytes: int) -> None:
    (fault,) = faults_of(tmp_path, b"#" * (max_bytes + 1), name)

    assert (
        fault == f"larger than {max_bytes >> 20} MiB; leave out what routes do not need, such as schemas and examples"
    )


def test_routes_larger_than_a_kubernetes_object_are_an_error(tmp_path: Path) -> None:
    rpcs = "".join(f"  rpc Method{number}(A) returns (B);\n" for number in range(20_000))

    (fault,) = faults_of(tmp_path, f"package {'long.' * 20}name;\nservice S {{\n{rpcs}}}", "cart.proto")

    assert fault.startswith("its 20000 routes need 4,")
    assert fault.endswith(
        "a ServiceProfile can have 1,400,000; remove paths from the document, or move them to a second service"
    )
