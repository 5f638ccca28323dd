"""A real etcd behind mutual TLS, as Cilium clusters offer it to their peers."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.lab import exec_with_pdeathsig, port_reservation
from hack.toolchain import installed

_TIMEOUT_S = 20.0  # an etcd starts in one second


@dataclass(frozen=True, kw_only=True)
class TlsIdentity:
    """Certificate and trusted CA of one side of a TLS connection, in PEM."""

    certificate: str | None  # None: sends no certificate
    key: str | None
    authority: str  # CA that must sign the other side's certificate

    def write(self, folder: Path) -> None:
        """Write one file per field, such as `certificate.pem`."""
        folder.mkdir()
        for name, content in vars(self).items():
            if content is not None:
                (folder / f"{name}.pem").write_text(content)


@dataclass(frozen=True, kw_only=True)
class EtcdPeer:
    """A running etcd."""

    port: int
    process: subprocess.Popen[bytes]

    def refusal(self, client: TlsIdentity, cluster: str, *, domain: str = "mesh.cilium.io") -> str | None:
        """Return the TLS error of a client that requests a cluster's host name, or None if it succeeds."""
        context = ssl.create_default_context(cadata=client.authority)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "client"
            client.write(folder)
            if client.certificate is not None:
                context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        try:
            answer = self._get("/version", f"{cluster}.{domain}", context)
        except OSError as error:  # includes ssl.SSLError
            return str(error)
        return None if answer.startswith(b"HTTP/1.1 200 ") else answer.decode(errors="replace")

    def _get(self, path: str, host: str, context: ssl.SSLContext) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=_TIMEOUT_S) as tcp,
            context.wrap_socket(tcp, server_hostname=host) as connection,
        ):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            # With TLS 1.3 the server reports a rejected client certificate only on the first read.
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer or b"nothing"


@contextmanager
def run_etcd(server: TlsIdentity) -> Iterator[EtcdPeer]:
    """Run an etcd that requires client certificates of the server's CA, and kill it on exit."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        server.write(folder / "server")
        client, peer = port_reservation.reserve_port(), port_reservation.reserve_port()
        etcd = [
            str(installed("kubernetes") / "bin/etcd"),
            f"--data-dir={folder / 'data'}",
            f"--listen-client-urls=https://127.0.0.1:{client}",
            f"--advertise-client-urls=https://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--client-cert-auth",
            f"--trusted-ca-file={folder / 'server/authority.pem'}",
            f"--cert-file={folder / 'server/certificate.pem'}",
            f"--key-file={folder / 'server/key.pem'}",
            # The gateway would connect to this etcd as a client with the server's certificate.
            "--enable-grpc-gateway=false",
            "--unsafe-no-fsync",
        ]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(exec_with_pdeathsig.__file__), str(os.getpid()), *etcd],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                # The user's own settings, such as ETCD_NAME, must not apply.
                env={name: value for name, value in os.environ.items() if not name.startswith("ETCD_")},
            )
        try:
            _wait_until_ready(process, client, log)
            yield EtcdPeer(port=client, process=process)
        finally:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    # etcd listens before it loads its files. A completed handshake proves that they are loaded.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    deadline = time.monotonic() + _TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=1) as tcp,
                context.wrap_socket(tcp),
            ):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"etcd does not start; its log ends:\n{log.read_text(errors='replace')[-2000:]}")
