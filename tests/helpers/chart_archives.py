"""Chart archives, and servers of a chart repository and of an OCI registry that serve them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

Files = Mapping[str, Any]  # texts, or content to write as YAML or JSON
Response = tuple[int, Mapping[str, str], bytes]
TOKEN = "an-anonymous-token"


def build_archive(name: str, version: str, files: Files) -> bytes:
    """Return a chart archive with a Chart.yaml and other files.

    Args:
        name: name of the chart.
        version: version of the chart.
        files: content of each file, by path in the chart.
    """
    content: dict[str, Any] = {"Chart.yaml": {"apiVersion": "v2", "name": name, "version": version}, **files}
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        for path, value in content.items():
            text = value if isinstance(value, str) else _serialize(path, value)
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return output.getvalue()


def _serialize(path: str, value: Any) -> str:
    return json.dumps(value) if path.endswith(".json") else yaml.safe_dump(value)


@contextmanager
def serve(respond: Callable[[str, Mapping[str, str]], Response]) -> Iterator[tuple[str, list[str]]]:
    """Serve responses on the loopback interface, and yield the host with its port and the list of requested paths.

    Args:
        respond: returns status, headers and body for a path and the request's headers.
    """
    requests: list[str] = []

    class ChartRequestHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            status, headers, body = respond(self.path, dict(self.headers))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), ChartRequestHandler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()


def repository_responses(
    archives: Mapping[tuple[str, str], bytes], *, folder: str = "archives"
) -> Callable[[str, Mapping[str, str]], Response]:
    """Return the responses of a chart repository whose index names archives in another folder.

    Args:
        archives: archives by chart name and version.
        folder: path of the archives, relative to the repository.
    """
    entries: dict[str, list[dict[str, Any]]] = {}
    for name, version in archives:
        urls = [f"{folder}/{name}-{version}.tgz"]
        entries.setdefault(name, []).append({"name": name, "version": version, "urls": urls})
    index = yaml.safe_dump({"apiVersion": "v1", "entries": entries}).encode()
    files = {f"/charts/{folder}/{name}-{version}.tgz": archive for (name, version), archive in archives.items()}
    files["/charts/index.yaml"] = index

    def respond(path: str, headers: Mapping[str, str]) -> Response:
        return (200, {}, files[path]) if path in files else (404, {}, b"")

    return respond


def registry_responses(
    archives: Mapping[tuple[str, str], bytes], *, needs_token: bool = True, accepts_anonymous: bool = True
) -> Callable[[str, Mapping[str, str]], Response]:
    """Return the responses of an OCI registry with charts below `charts/`.

    Args:
        archives: archives by chart name and version.
        needs_token: whether the registry requires a token of its token service.
        accepts_anonymous: whether the token service grants tokens without credentials.
    """
    files: dict[str, bytes] = {}
    for (name, version), archive in archives.items():
        digest = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        layers: Sequence[Mapping[str, str]] = [
            {"mediaType": "application/vnd.cncf.helm.chart.provenance.v1.prov", "digest": "sha256:0"},
            {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": digest},
        ]
        base = f"/v2/charts/{name}"
        files[f"{base}/manifests/{version.replace('+', '_')}"] = json.dumps({"layers": layers}).encode()
        files[f"{base}/blobs/{digest}"] = archive

    def respond(path: str, headers: Mapping[str, str]) -> Response:
        if path.startswith("/token?"):
            return (200, {}, json.dumps({"token": TOKEN}).encode()) if accepts_anonymous else (401, {}, b"")
        if needs_token and headers.get("Authorization") != f"Bearer {TOKEN}":
            challenge = f'Bearer realm="http://{headers["Host"]}/token",service="registry",scope="repository:x:pull"'
            return 401, {"WWW-Authenticate": challenge}, b""
        return (200, {}, files[path]) if path in files else (404, {}, b"")

    return respond
