"""Hostile chart sources: responses of a repository, and files in a folder."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from hack.lab import charts as lab_charts
from mesh import chart_repository, chart_values
from mesh.config.resolved import ChartValues
from mesh.linkerd_releases import LINKERD_RELEASES
from tests.helpers.chart_archives import build_archive
from tests.helpers.hostile_yaml import HOSTILE_YAML, billion_laughs
from tests.helpers.resource_limits import limited_resources as limited_resources

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("limited_resources")]

OK_RESPONSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
TIMEOUT_S = 0.5
INDEX = "apiVersion: v1\nentries: {linkerd-crds: [{version: %s, appVersion: %s}]}\n"

Connection = socket.socket


def build_response(body: bytes, *headers: str) -> bytes:
    return OK_RESPONSE + "".join(f"{header}\r\n" for header in headers).encode() + b"\r\n" + body


def send_endless_body(connection: Connection) -> None:
    connection.sendall(build_response(b""))
    while True:
        connection.sendall(b"# " + b"x" * 2**20 + b"\n")


def send_body_slowly(connection: Connection) -> None:
    connection.sendall(build_response(b""))
    while True:
        connection.sendall(b"#")
        time.sleep(TIMEOUT_S / 5)


def send_headers_slowly(connection: Connection) -> None:
    connection.sendall(OK_RESPONSE)
    while True:
        connection.sendall(b"X")
        time.sleep(TIMEOUT_S / 5)


def send_nothing(connection: Connection) -> None:
    time.sleep(10 * TIMEOUT_S)


# These responses block the client until its timeout.
SLOW_RESPONSES = (send_body_slowly, send_headers_slowly, send_nothing)
RESPONSES: dict[str, tuple[bytes | Callable[[Connection], None], str]] = {
    "no HTTP": (b"\0\1\2\3\r\n", "unreadable response"),
    "nothing": (b"", ""),
    "half of an answer": (
        OK_RESPONSE + b"Content-Length: 1000\r\n\r\napiVersion: v1\n",
        "invalid content of a chart repository",
    ),
    "a web page": (
        build_response(b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"),
        "invalid content of a chart repository",
    ),
    "a list": (build_response(b"- a\n"), "invalid content of a chart repository"),
    "entries of another kind": (build_response(b"entries: [1]\n"), "invalid content of a chart repository"),
    "versions of another kind": (build_response(b"entries: {linkerd-crds: {a: 1}}\n"), ""),
    "compressed, and not said so": (build_response(gzip.compress(b"entries: {}\n")), "not YAML"),
    "compressed without end": (build_response(gzip.compress(bytes(2**24)), "Content-Encoding: gzip"), "not YAML"),
    "laughter": (build_response(billion_laughs(12).encode()), "aliases expanded"),
    "a version that is laughter": (
        build_response(f"{billion_laughs(12)}entries: {{linkerd-crds: [{{version: *a12}}]}}\n".encode()),
        "aliases expanded",
    ),
    "binary": (build_response(HOSTILE_YAML["binary"][0]), "not YAML"),
    "without end": (send_endless_body, "larger than 64 MiB"),
    "drop by drop": (send_body_slowly, "no result within"),
    "headers drop by drop": (send_headers_slowly, "no result within"),
    "silence": (send_nothing, ""),
    "another place: a file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "not allowed"),
    "another place: FTP": (b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n", "unknown url type: ftp"),
    "another place: itself": (b"HTTP/1.1 302 Found\r\nLocation: /index.yaml\r\n\r\n", "would lead to an infinite loop"),
    "another place: torn": (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", ""),
    "not there": (b"HTTP/1.1 404 Not Found\r\n\r\n", "Not Found"),
}


@contextmanager
def serve_repository(response: bytes | Callable[[Connection], None]) -> Iterator[str]:
    """Serve the same response for every request, and yield the URL."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with closing(connection), suppress(OSError):
                    connection.recv(65536)
                    if isinstance(response, bytes):
                        connection.sendall(response)
                    else:
                        response(connection)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("response", "error"), RESPONSES.values(), ids=RESPONSES.keys())
def test_hostile_chart_repository_is_one_line_error(
    response: bytes | Callable[[Connection], None], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if response in SLOW_RESPONSES:
        monkeypatch.setattr(chart_repository, "DOWNLOAD_TIMEOUT_S", TIMEOUT_S)

    with (
        serve_repository(response) as url,
        pytest.raises(chart_repository.ChartRepositoryError, match=f"^{url}/index.yaml: .*{error}") as raised,
    ):
        chart_repository.list_charts(url, ["linkerd-crds"])

    assert len(str(raised.value)) < 400
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "version", ["1.0.0\\n---\\nkind: ClusterRole", "$(id)", "{{ .Values.x }}", "../../x", "x" * 200, "--debug", ""]
)
def test_invalid_chart_version_is_skipped(version: str) -> None:
    index = (INDEX % (f'"{version}"', "edge-1") + INDEX.partition("entries: ")[0].replace("apiVersion", "x")).encode()

    with serve_repository(build_response(index)) as url:
        assert chart_repository.list_charts(url, ["linkerd-crds"]) == []
    with serve_repository(build_response((INDEX % ("1.0.0", f'"{version}"')).encode())) as url:
        (chart,) = chart_repository.list_charts(url, ["linkerd-crds"])
        assert chart.app_version == ""


def write_archive(path: Path, name: str, content: bytes) -> None:
    with tarfile.open(path, "w:gz") as tar_file:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar_file.addfile(entry, io.BytesIO(content))


def write_hostile_archives(folder: Path) -> list[Path]:
    """Write one archive per defect to a folder, and return their paths."""
    write_archive(folder / "laughter-1.tgz", "linkerd-crds/Chart.yaml", billion_laughs(12).encode())
    write_archive(
        folder / "large-1.tgz", "linkerd-crds/Chart.yaml", b"name: linkerd-crds\nversion: 1.0.0\n#" + bytes(2**22)
    )
    write_archive(folder / "nowhere-1.tgz", "linkerd-crds/values.yaml", b"")
    write_archive(folder / "list-1.tgz", "linkerd-crds/Chart.yaml", b"- name\n")
    write_archive(
        folder / "twice-1.tgz", "linkerd-crds/Chart.yaml", b"name: linkerd-crds\nversion: 1.0.0\nversion: 2.0.0\n"
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar_file:
        link = tarfile.TarInfo("linkerd-crds/Chart.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar_file.addfile(link)
    (folder / "link-1.tgz").write_bytes(buffer.getvalue())
    (folder / "cut-1.tgz").write_bytes((folder / "list-1.tgz").read_bytes()[:40])
    # Expands to a gigabyte.
    (folder / "bomb-1.tgz").write_bytes(gzip.compress(bytes(2**20)) * 1024)
    (folder / "text-1.tgz").write_text("hello")
    (folder / "folder-1.tgz").mkdir()
    os.mkfifo(folder / "pipe-1.tgz")
    (folder / "nothing-1.tgz").symlink_to("/dev/zero")
    return sorted(folder.glob("*.tgz"))


def test_hostile_archives_are_skipped(tmp_path: Path) -> None:
    archives = write_hostile_archives(tmp_path)

    assert len(archives) == 12
    assert chart_repository.list_charts(str(tmp_path), ["linkerd-crds"]) == []


def test_lab_repository_excludes_hostile_archives(tmp_path: Path) -> None:
    write_hostile_archives(tmp_path)

    assert lab_charts.build_index([tmp_path])["entries"] == {}


def warn(source: Path | str) -> str:
    """Return the only warning about a chart value, from a hostile source."""
    values = ChartValues(path=("values",), chart="linkerd-crds", version="1.0.0", source=str(source), values={"x": 1})
    (warning,) = chart_values.find_unknown_values([values], LINKERD_RELEASES["2.20"])
    assert warning.isprintable() and len(warning) < 700
    return warning


@pytest.mark.parametrize("scheme", ["http", "oci"])
@pytest.mark.parametrize(("response", "error"), RESPONSES.values(), ids=RESPONSES.keys())
def test_hostile_chart_source_is_one_warning(
    response: bytes | Callable[[Connection], None], error: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if response in SLOW_RESPONSES:
        monkeypatch.setattr(chart_values, "READ_TIMEOUT_S", TIMEOUT_S)

    with serve_repository(response) as url:
        assert "cannot be read (" in warn(url.replace("http", scheme))


def test_hostile_archive_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for number, archive in enumerate(write_hostile_archives(tmp_path / "all")):
        folder = tmp_path / str(number)
        folder.mkdir()
        archive.rename(folder / "linkerd-crds-1.0.0.tgz")
        assert warn(folder).startswith("values")


DEEP_SCHEMA = '{"properties": {"a": ' * 5_000 + "1" + "}}" * 5_000
HOSTILE_FILES: dict[str, dict[str, str]] = {
    "values that are laughter": {"values.yaml": billion_laughs(12)},
    "values that are a list": {"values.yaml": "- a\n"},
    "a schema that is deep": {"values.schema.json": DEEP_SCHEMA},
    "a schema that refers to itself": {
        "values.schema.json": '{"$ref": "#", "allOf": [{"$ref": "#"}, {"$ref": "#/x"}]}'
    },
    "a schema of other types": {
        "values.schema.json": '{"properties": [1], "allOf": 1, "type": [{}], "$ref": ["#"], "if": [], "oneOf": ["x"]}'
    },
    "a template without end": {"templates/a.yaml": "{{ with .Values.a }}" * 50_000},
    "a template of letters": {"templates/a.yaml": "hasKey " + "a." * 1_000_000},
    "helpers that include each other": {
        "templates/_a.tpl": '{{ define "a" }}{{ include "b" . }}{{ end }}{{ define "b" }}{{ include "a" . }}{{ end }}'
    },
    "dependencies of other types": {"Chart.yaml": "name: linkerd-crds\ndependencies: {a: [1]}\n", "values.yaml": "{}"},
}


@pytest.mark.parametrize("files", HOSTILE_FILES.values(), ids=HOSTILE_FILES.keys())
def test_hostile_file_of_chart_is_one_warning(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "linkerd-crds-1.0.0.tgz").write_bytes(build_archive("linkerd-crds", "1.0.0", files))

    assert warn(tmp_path).startswith("values")
