"""Network and PID namespaces without names: the kernel deletes them with their last process or open file.

https://man7.org/linux/man-pages/man7/namespaces.7.html
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.lab.errors import LabError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of the data plane's programs and containers."""

_CLONE_NEWNET, _CLONE_NEWPID = 0x40000000, 0x20000000

_LAUNCHER = Path(__file__).parents[1] / "exec_with_pdeathsig.py"
_START_TIMEOUT_S = 20.0
_POLL_INTERVAL_S = 0.005
_NOT_PERMITTED = "unshare: cannot create a network namespace here; start the lab as root, outside of a container"
_libc = ctypes.CDLL(None, use_errno=True)


class NamespaceError(LabError):
    """A command in a namespace failed; the message contains its output."""


@dataclass(frozen=True, kw_only=True)
class NamespaceHolder:
    """A process that keeps a network namespace, and for pods a PID namespace, until it is killed."""

    process: subprocess.Popen[bytes]

    @property
    def network(self) -> Path:
        """Return the path of the network namespace."""
        return Path(f"/proc/{self.process.pid}/ns/net")

    @property
    def pids(self) -> Path:
        """Return the path of the PID namespace."""
        return Path(f"/proc/{self.process.pid}/ns/pid_for_children")

    def kill(self) -> None:
        """Kill the holder, and with it every process of its PID namespace."""
        self.process.kill()
        self.process.wait()


async def hold_network() -> NamespaceHolder:
    """Return the holder of a new network namespace; call this in the main thread, whose end ends the holder.

    Raises:
        NamespaceError: this process may not create namespaces.
    """
    return await _start_holder([])


async def hold_pod() -> NamespaceHolder:
    """Return the holder of a new network and PID namespace; called and failing as `hold_network`."""
    # The end of the first process in a PID namespace ends all others, also those that changed their user and thereby
    # lost their parent-death signal.
    return await _start_holder(["--pid", "--fork", "--kill-child"])


async def _start_holder(options: Sequence[str]) -> NamespaceHolder:
    unshare, sleep = find_program("unshare"), find_program("sleep")
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), unshare, "--net", *options, sleep, "infinity"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return await _wait_until_held(process, has_pids=bool(options))
    except BaseException:
        process.kill()
        process.wait()
        raise


async def _wait_until_held(process: subprocess.Popen[bytes], *, has_pids: bool) -> NamespaceHolder:
    holder = NamespaceHolder(process=process)
    paths = [holder.network, *([holder.pids] if has_pids else [])]
    own = {path.name: _identify(Path("/proc/self/ns") / path.name) for path in paths}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_TIMEOUT_S
    while any(_identify(path) in (None, own[path.name]) for path in paths):
        if process.poll() is not None or loop.time() > deadline:
            raise NamespaceError(_NOT_PERMITTED)
        await asyncio.sleep(_POLL_INTERVAL_S)
    return holder


def open_network() -> int:
    """Create a network namespace; return an open file that keeps it.

    Raises:
        NamespaceError: this process may not create namespaces.
    """
    descriptors: list[int] = []

    def create() -> None:
        # A separate thread, because the calling thread must stay in its own namespace.
        if _libc.unshare(_CLONE_NEWNET) == 0:
            descriptors.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=create)
    thread.start()
    thread.join()
    if not descriptors:
        raise NamespaceError(_NOT_PERMITTED)
    return descriptors[0]


@contextlib.contextmanager
def enter_network(namespace: Path) -> Iterator[None]:
    """Put the calling thread into a network namespace; sockets that it creates stay there."""
    with _switch(namespace, "net", _CLONE_NEWNET):
        yield


@contextlib.contextmanager
def start_children_in(pids: Path) -> Iterator[None]:
    """Put the processes that the calling thread starts into a PID namespace."""
    with _switch(pids, "pid_for_children", _CLONE_NEWPID):
        yield


@contextlib.contextmanager
def _switch(namespace: Path, kind: str, flag: int) -> Iterator[None]:
    own = os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        other = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _set_namespace(other, flag)
        finally:
            os.close(other)
        try:
            yield
        finally:
            _set_namespace(own, flag)
    finally:
        os.close(own)


def create_socket(namespace: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Return a new IPv4 socket in a network namespace, where it stays."""
    with enter_network(namespace):
        return socket.socket(socket.AF_INET, kind)


async def connect(namespace: Path, host: str, port: int, *, timeout: float) -> socket.socket:
    """Return a socket that is connected from a network namespace.

    Args:
        namespace: path of the namespace.
        host: IPv4 address of the server.
        port: port of the server.
        timeout: seconds until the server must have accepted the connection.

    Raises:
        OSError, TimeoutError: no server answers.
    """
    client = create_socket(namespace)
    client.setblocking(False)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(client, (host, port)), timeout)
    except BaseException:
        client.close()
        raise
    return client


def run(namespace: Path, argv: Sequence[str], *, lines: Sequence[str] = ()) -> None:
    """Run a command in a network namespace, with these lines as its input.

    Raises:
        NamespaceError: the command failed.
    """
    command = [find_program("nsenter"), f"--net={namespace}", find_program(argv[0]), *argv[1:]]
    done = subprocess.run(
        command, input="".join(f"{line}\n" for line in lines), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NamespaceError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stderr.strip()}")


def find_program(name: str) -> str:
    """Return the path of a program of the system; the folders of `SYSTEM_PATH` count even if PATH lacks them.

    Raises:
        LabError: there is no such program.
    """
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), SYSTEM_PATH)))
    if path is None:
        raise LabError(f"{name}: no such program; install it")
    return path


def _identify(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _set_namespace(descriptor: int, flag: int) -> None:
    if _libc.setns(descriptor, flag):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
