"""Routes of ServiceProfiles from OpenAPI documents and .proto files.

The expected profiles in tests/testdata/service_profiles are output of `linkerd profile`, of Linkerd 2.14.10 and
edge-26.8.3. tests/integration/test_service_profile_cli.py compares with the CLI itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.linkerd_releases import find_linkerd_release
from mesh.service_profiles.openapi import path_regex, read_openapi
from mesh.service_profiles.protobuf import read_protobuf
from mesh.service_profiles.routes import ProfileRoute, ResponseClass, quote_regex, route_spec
from tests.helpers.profile_documents import DOCUMENTS, large_document
from tests.helpers.resource_limits import limited_resources as limited_resources


def read_profile(name: str) -> list[Any]:
    """Return the routes of a profile that Linkerd's CLI generated."""
    profile = yaml.safe_load((DOCUMENTS / f"{name}.profile.yaml").read_text())
    routes: list[Any] = profile["spec"]["routes"]
    return routes


@pytest.mark.parametrize(("release", "profile"), [("2.14.10", "petstore.2.14"), ("edge-26.8.3", "petstore.edge")])
def test_openapi_2_document_has_routes_of_cli(release: str, profile: str) -> None:
    linkerd_release = find_linkerd_release(release)
    assert linkerd_release is not None

    routes = read_openapi(DOCUMENTS / "petstore.yaml", has_shortened_paths=linkerd_release.has_shortened_profile_paths)

    assert [route_spec(route) for route in routes] == read_profile(profile)


def test_openapi_3_document_has_routes_of_cli() -> None:
    routes = read_openapi(DOCUMENTS / "books.json", has_shortened_paths=False)

    assert [route_spec(route) for route in routes] == read_profile("books")


@pytest.mark.parametrize("name", ["voting", "plain"])
def test_protobuf_file_has_routes_of_cli(name: str) -> None:
    routes = read_protobuf(DOCUMENTS / f"{name}.proto")

    assert [route_spec(route) for route in routes] == read_profile(name)


def test_route_has_all_settings_of_its_operation() -> None:
    (route,) = read_openapi(DOCUMENTS / "books.json", has_shortened_paths=True)

    assert route == ProfileRoute(
        name="GET /books/{id}",
        method="GET",
        path_regex="/books/[^/]*",
        timeout="2.5s",
        response_classes=(ResponseClass(status=200), ResponseClass(status=503)),
    )
    assert [each.is_failure for each in route.response_classes] == [False, True]


def test_route_spec_has_only_set_fields() -> None:
    assert route_spec(ProfileRoute(name="any", method="GET", path_regex="/")) == {
        "name": "any",
        "condition": {"method": "GET", "pathRegex": "/"},
    }


@pytest.mark.parametrize(
    ("path", "regex"),
    [
        ("/", "/"),
        ("/a.b/{id}", r"/a\.b/[^/]*"),
        ("/{a}-{b}", "/[^/]*-[^/]*"),
        ("/{}", "/[^/]*"),
        ("/{a{b}c}", r"/[^/]*c\}"),
        ("/{open", r"/\{open"),
        ("/close}", r"/close\}"),
        ("/a\\{b}", r"/a\\[^/]*"),
    ],
)
def test_parameters_match_one_part_of_a_path(path: str, regex: str) -> None:
    assert path_regex(path) == regex


def test_all_metacharacters_are_quoted() -> None:
    assert quote_regex("\\.+*?()|[]{}^$-_~/") == r"\\\.\+\*\?\(\)\|\[\]\{\}\^\$-_~/"


@pytest.mark.parametrize(
    ("base_path", "path", "shortened", "joined"),
    [
        ("", "/a/", "/a", "/a/"),
        ("/", "/", "/", "/"),
        ("/api", "/", "/api", "/api/"),
        ("//x//y/../", "///a//", "/x/a", "//x//y/../a//"),
        ("/..", "/../a", "/a", "/../../a"),
    ],
)
def test_base_path_precedes_each_path(tmp_path: Path, base_path: str, path: str, shortened: str, joined: str) -> None:
    file = tmp_path / "openapi.yaml"
    file.write_text(yaml.safe_dump({"swagger": "2.0", "basePath": base_path, "paths": {path: {"get": {}}}}))

    for has_shortened_paths, expected in ((True, shortened), (False, joined)):
        (route,) = read_openapi(file, has_shortened_paths=has_shortened_paths)
        assert route.name == f"GET {expected}"


@pytest.mark.usefixtures("limited_resources")
def test_document_with_500_paths_is_read_quickly(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(large_document(paths=500))

    routes = read_openapi(file, has_shortened_paths=False)

    assert file.stat().st_size > 2 * 2**20
    assert len(routes) == 1500


def test_package_is_optional_in_a_service(tmp_path: Path) -> None:
    file = tmp_path / "a.proto"
    file.write_text('edition = "2023"; service S { rpc message(stream stream.A) returns (.B) { } ; }')

    assert [route.path_regex for route in read_protobuf(file)] == ["/S/message"]


@pytest.mark.parametrize(
    ("options", "is_retryable"),
    [
        ("option idempotency_level = IDEMPOTENT;", True),
        ("option idempotency_level = IDEMPOTENCY_UNKNOWN; option idempotency_level = IDEMPOTENT;", False),
        ("option (other).idempotency_level = IDEMPOTENT;", False),
        ("option (other) = { idempotency_level: IDEMPOTENT };", False),
        ("// option idempotency_level = IDEMPOTENT;", False),
        ("option (text) = 'option idempotency_level = IDEMPOTENT;';", False),
    ],
)
def test_idempotent_rpc_is_retryable(tmp_path: Path, options: str, is_retryable: bool) -> None:
    file = tmp_path / "a.proto"
    file.write_text(f"service S {{ rpc A(B) returns (C) {{ {options}\n }} }}")

    (route,) = read_protobuf(file)

    assert route.is_retryable is is_retryable
