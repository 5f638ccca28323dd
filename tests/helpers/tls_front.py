"""A front of an API server: a proxy that ends TLS, with a certificate of a CA of its own."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from cryptography.x509.oid import ExtendedKeyUsageOID

from hack.lab.pki import Pki
from hack.lab.state_dir import StateDir
from tests.helpers.certificates import DAY, IssuedCertificate

_CHUNK_SIZE = 2**16  # bytes


@dataclass(frozen=True, kw_only=True)
class TlsFront:
    """A running front."""

    url: str
    certificate_authority: str  # PEM


@contextmanager
def serve_front(
    lab: StateDir, context: str, folder: Path, *, name: str = "localhost", is_admin: bool = False
) -> Iterator[TlsFront]:
    """Serve a front of a cluster's API server until exit.

    Args:
        lab: the lab.
        context: context of the cluster.
        folder: folder for the certificate.
        name: host name in the certificate.
        is_admin: whether each request is the lab's admin's, as behind a proxy with users of its own.
    """
    now = datetime.now(UTC)
    authority = IssuedCertificate(name="front-ca", begin=now - DAY, end=now + DAY)
    leaf = IssuedCertificate(
        name=name,
        signer=authority,
        begin=now - DAY,
        end=now + DAY,
        ca=False,
        cert_sign=False,
        purposes=(ExtendedKeyUsageOID.SERVER_AUTH,),
        dns_name=name,
    )
    file = folder / f"front-{context}-{name}.pem"
    file.write_text(leaf.pem + leaf.private_key)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(file)
    pki = Pki(folder=lab.cluster(context) / "pki")
    client_tls = ssl.create_default_context(cafile=str(pki.certificate("ca")))
    if is_admin:
        client_tls.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
    upstream = urlsplit(lab.read_status()["clusters"][context]["apiServer"])

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            api_reader, api_writer = await asyncio.open_connection(upstream.hostname, upstream.port, ssl=client_tls)
            await asyncio.gather(_copy(reader, api_writer), _copy(api_reader, writer))
        writer.close()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    start = asyncio.start_server(forward, "127.0.0.1", 0, ssl=server_tls)
    server = asyncio.run_coroutine_threadsafe(start, loop).result(10)
    port = server.sockets[0].getsockname()[1]
    try:
        yield TlsFront(url=f"https://localhost:{port}", certificate_authority=authority.pem)
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_cancel_other_tasks(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _cancel_other_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.CancelledError):
        while chunk := await reader.read(_CHUNK_SIZE):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def write_kubeconfig(lab: StateDir, fronts: dict[str, TlsFront], file: Path) -> None:
    """Write a copy of the lab's kubeconfig that leads to fronts, by cluster, and verifies their certificates."""
    content = yaml.safe_load(lab.kubeconfig.read_text())
    for entry in content["clusters"]:
        front = fronts.get(entry["name"])
        if front is not None:
            cluster: dict[str, Any] = entry["cluster"]
            encoded = base64.b64encode(front.certificate_authority.encode()).decode()
            cluster |= {"server": front.url, "certificate-authority-data": encoded}
    file.write_text(yaml.safe_dump(content))
    file.chmod(0o600)
