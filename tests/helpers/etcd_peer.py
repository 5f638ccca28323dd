"""A real etcd behind mutual TLS, as Cilium's clusters have one for each other: who may read it is for TLS to say."""

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

from hack.lab import exec_with_pdeathsig, ports
from hack.toolchain import installed

_TIMEOUT_S = 20.0  # seconds; an etcd of its own starts in one


@dataclass(frozen=True, kw_only=True)
class TlsIdentity:
    """Who one side of a connection is, and whom it believes; all of it PEM."""

    certificate: str | None  # None: it shows none
    key: str | None
    authority: str  # what the other side's certificate must be signed by

    def write(self, folder: Path) -> None:
        """Write a file for each, such as `certificate.pem`, as programs want them."""
        folder.mkdir()
        for name, content in vars(self).items():
            if content is not None:
                (folder / f"{name}.pem").write_text(content)


@dataclass(frozen=True, kw_only=True)
class EtcdPeer:
    """An etcd that runs."""

    port: int
    process: subprocess.Popen[bytes]

    def refusal(self, client: TlsIdentity, cluster: str, *, domain: str = "mesh.cilium.io") -> str | None:
        """Why a client that asks for a cluster's name gets no answer, in the words of TLS; None: it gets one."""
        context = ssl.create_default_context(cadata=client.authority)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "client"
            client.write(folder)
            if client.certificate is not None:
                context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        try:
            answer = self._get("/version", f"{cluster}.{domain}", context)
        except OSError as error:  # every ssl.SSLError is one
            return str(error)
        return None if answer.startswith(b"HTTP/1.1 200 ") else answer.decode(errors="replace")

    def _get(self, path: str, host: str, context: ssl.SSLContext) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            # With TLS 1.3 the server's view of the client's certificate arrives only now.
            answer = b""
            while received := connection.recv(65536):
                answer += received
        return answer or b"nothing"


@contextmanager
def run_etcd(server: TlsIdentity) -> Iterator[EtcdPeer]:
    """Run an etcd that asks clients for certificates of the server's authority; it is gone afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        server.write(folder / "server")
        client, peer = ports.reserve_port(), ports.reserve_port()
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
            # Of use to nobody here, and it would be a client of this etcd with the server's own certificate.
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
                # Settings of somebody's own, such as ETCD_NAME.
                env={name: value for name, value in os.environ.items() if not name.startswith("ETCD_")},
            )
        try:
            _wait_until_ready(process, client, log)
            yield EtcdPeer(port=client, process=process)
        finally:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    # It listens before it has looked at its files; once it has, it shows its certificate to anybody.
    anybody = ssl.create_default_context()
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    deadline = time.monotonic() + _TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=1) as plain,
                anybody.wrap_socket(plain),
            ):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"etcd does not start; its log ends:\n{log.read_text(errors='replace')[-2000:]}")
