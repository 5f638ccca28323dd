"""Chart sources of somebody who means ill: what a repository answers, and what lies in a folder."""

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
from mesh import chart_repository
from tests.helpers.hostile_yaml import REFUSED, laughs
from tests.helpers.resource_limits import bounded as bounded

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("bounded")]

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
PATIENCE = 0.5
ENTRY = "apiVersion: v1\nentries: {linkerd-crds: [{version: %s, appVersion: %s}]}\n"

Connection = socket.socket


def body(content: bytes, *headers: str) -> bytes:
    return OK + "".join(f"{header}\r\n" for header in headers).encode() + b"\r\n" + content


def without_end(connection: Connection) -> None:
    connection.sendall(body(b""))
    while True:
        connection.sendall(b"# " + b"x" * 2**20 + b"\n")


def drop_by_drop(connection: Connection) -> None:
    connection.sendall(body(b""))
    while True:
        connection.sendall(b"#")
        time.sleep(PATIENCE / 5)


def headers_drop_by_drop(connection: Connection) -> None:
    connection.sendall(OK)
    while True:
        connection.sendall(b"X")
        time.sleep(PATIENCE / 5)


def silence(connection: Connection) -> None:
    time.sleep(10 * PATIENCE)


# What would keep others waiting as long as they have patience.
SLOW = (drop_by_drop, headers_drop_by_drop, silence)
ANSWERS: dict[str, tuple[bytes | Callable[[Connection], None], str]] = {
    "no HTTP": (b"\0\1\2\3\r\n", "not an answer that could be read"),
    "nothing": (b"", ""),
    "half of an answer": (OK + b"Content-Length: 1000\r\n\r\napiVersion: v1\n", "not what a chart repository has"),
    "a web page": (body(b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"), "not what a chart repository has"),
    "a list": (body(b"- a\n"), "not what a chart repository has"),
    "entries of another kind": (body(b"entries: [1]\n"), "not what a chart repository has"),
    "versions of another kind": (body(b"entries: {linkerd-crds: {a: 1}}\n"), ""),
    "compressed, and not said so": (body(gzip.compress(b"entries: {}\n")), "not YAML"),
    "compressed without end": (body(gzip.compress(bytes(2**24)), "Content-Encoding: gzip"), "not YAML"),
    "laughter": (body(laughs(12).encode()), "aliases written out"),
    "a version that is laughter": (
        body(f"{laughs(12)}entries: {{linkerd-crds: [{{version: *a12}}]}}\n".encode()),
        "aliases written out",
    ),
    "binary": (body(REFUSED["binary"][0]), "not YAML"),
    "without end": (without_end, "larger than 64 MiB"),
    "drop by drop": (drop_by_drop, "nothing was done for"),
    "headers drop by drop": (headers_drop_by_drop, "nothing was done for"),
    "silence": (silence, ""),
    "another place: a file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "not allowed"),
    "another place: FTP": (b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n", "unknown url type: ftp"),
    "another place: itself": (b"HTTP/1.1 302 Found\r\nLocation: /index.yaml\r\n\r\n", "would lead to an infinite loop"),
    "another place: torn": (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", ""),
    "not there": (b"HTTP/1.1 404 Not Found\r\n\r\n", "Not Found"),
}


@contextmanager
def repository(answer: bytes | Callable[[Connection], None]) -> Iterator[str]:
    """The URL of what gives that answer to whoever asks."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with closing(connection), suppress(OSError):
                    connection.recv(65536)
                    if isinstance(answer, bytes):
                        connection.sendall(answer)
                    else:
                        answer(connection)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("answer", "said"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_hostile_chart_repository_is_told_of_in_a_line(
    answer: bytes | Callable[[Connection], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer in SLOW:
        monkeypatch.setattr(chart_repository, "DOWNLOAD_TIMEOUT_S", PATIENCE)

    with (
        repository(answer) as url,
        pytest.raises(chart_repository.ChartRepositoryError, match=f"^{url}/index.yaml: .*{said}") as caught,
    ):
        chart_repository.list_charts(url, ["linkerd-crds"])

    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "version", ["1.0.0\\n---\\nkind: ClusterRole", "$(id)", "{{ .Values.x }}", "../../x", "x" * 200, "--debug", ""]
)
def test_a_version_that_helm_could_not_ask_for_is_passed_over(version: str) -> None:
    index = (ENTRY % (f'"{version}"', "edge-1") + ENTRY.partition("entries: ")[0].replace("apiVersion", "x")).encode()

    with repository(body(index)) as url:
        assert chart_repository.list_charts(url, ["linkerd-crds"]) == []
    with repository(body((ENTRY % ("1.0.0", f'"{version}"')).encode())) as url:
        (found,) = chart_repository.list_charts(url, ["linkerd-crds"])
        assert found.app_version == ""


def archive(path: Path, name: str, content: bytes) -> None:
    with tarfile.open(path, "w:gz") as packed:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))


def hostile_archives(folder: Path) -> list[Path]:
    """One archive for each thing that can be wrong with one, in a folder."""
    archive(folder / "laughter-1.tgz", "linkerd-crds/Chart.yaml", laughs(12).encode())
    archive(folder / "large-1.tgz", "linkerd-crds/Chart.yaml", b"name: linkerd-crds\nversion: 1.0.0\n#" + bytes(2**22))
    archive(folder / "nowhere-1.tgz", "linkerd-crds/values.yaml", b"")
    archive(folder / "list-1.tgz", "linkerd-crds/Chart.yaml", b"- name\n")
    archive(folder / "twice-1.tgz", "linkerd-crds/Chart.yaml", b"name: linkerd-crds\nversion: 1.0.0\nversion: 2.0.0\n")
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as packed:
        link = tarfile.TarInfo("linkerd-crds/Chart.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
    (folder / "link-1.tgz").write_bytes(whole.getvalue())
    (folder / "cut-1.tgz").write_bytes((folder / "list-1.tgz").read_bytes()[:40])
    # As much as a gigabyte, which nobody needs to unpack.
    (folder / "bomb-1.tgz").write_bytes(gzip.compress(bytes(2**20)) * 1024)
    (folder / "text-1.tgz").write_text("hello")
    (folder / "folder-1.tgz").mkdir()
    os.mkfifo(folder / "pipe-1.tgz")
    (folder / "nothing-1.tgz").symlink_to("/dev/zero")
    return sorted(folder.glob("*.tgz"))


def test_hostile_archives_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    found = hostile_archives(tmp_path)

    assert len(found) == 12
    assert chart_repository.list_charts(str(tmp_path), ["linkerd-crds"]) == []


def test_the_lab_leaves_hostile_archives_out_of_its_repository(tmp_path: Path) -> None:
    hostile_archives(tmp_path)

    assert lab_charts.index([tmp_path])["entries"] == {}
