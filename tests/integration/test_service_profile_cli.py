"""Routes of OpenAPI documents and .proto files, compared with `linkerd profile` of each available release."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.linkerd_releases import find_linkerd_release
from mesh.service_profiles.openapi import read_openapi
from mesh.service_profiles.protobuf import read_protobuf
from mesh.service_profiles.routes import route_spec
from tests.helpers.linkerd_clis import list_clis
from tests.helpers.profile_documents import DOCUMENTS, large_document

pytestmark = pytest.mark.lab(minutes=0.2)

# The CLI never ends for a .proto file that ends within an rpc.
TIMEOUT_S = 60


def run_cli(program: Path, option: str, document: Path) -> list[Any]:
    """Return the routes of the profile that a CLI generates."""
    command: list[str | Path] = [
        program,
        "profile",
        option,
        document,
        "--ignore-cluster",
        "--namespace",
        "shop",
        "cart",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout
    routes: list[Any] = yaml.safe_load(output)["spec"]["routes"]
    return routes


@pytest.fixture
def documents(tmp_path: Path) -> list[Path]:
    large = tmp_path / "large.json"
    large.write_text(large_document(paths=500))
    unusual_paths = tmp_path / "unusual.yaml"
    paths = ["/", "//", "/a//b/", "/a/../../b", "/{a{b}c}", "/{open", "/close}", "/a\\{b}", "/./x/.", "/é~!'()*;:@&=,"]
    unusual_paths.write_text(
        yaml.safe_dump({"swagger": "2.0", "basePath": "//v1/", "paths": {path: {"get": {}} for path in paths}})
    )
    return [*(DOCUMENTS / name for name in ("petstore.yaml", "books.json")), large, unusual_paths]


def test_openapi_routes_equal_those_of_each_cli(documents: list[Path]) -> None:
    clis = list_clis()
    assert clis, "the toolchain has no CLI"
    for release, program in clis.items():
        linkerd_release = find_linkerd_release(release)
        assert linkerd_release is not None
        read = partial(read_openapi, has_shortened_paths=linkerd_release.has_shortened_profile_paths)
        for document in documents:
            expected = run_cli(program, "--open-api", document)
            assert [route_spec(route) for route in read(document)] == expected, (release, document.name)


def test_protobuf_routes_equal_those_of_each_cli() -> None:
    for release, program in list_clis().items():
        for document in (DOCUMENTS / name for name in ("voting.proto", "plain.proto")):
            expected = run_cli(program, "--proto", document)
            assert [route_spec(route) for route in read_protobuf(document)] == expected, (release, document.name)
