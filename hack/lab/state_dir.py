"""The folder in which one lab lives, and the locks that keep two commands apart."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hack.lab.errors import LabError
from mesh.paths import PROJECT_ROOT


@dataclass(frozen=True, kw_only=True)
class StateDir:
    """Paths below one lab's folder. Two labs with two folders share nothing."""

    folder: Path

    @property
    def spec(self) -> Path:
        """Which clusters are wanted; commands write it, the supervisor reads it."""
        return self.folder / "spec.json"

    @property
    def status(self) -> Path:
        """What is running; the supervisor writes it, commands read it."""
        return self.folder / "status.json"

    @property
    def ports(self) -> Path:
        """The ports of the chart repository and the DNS, so that their addresses outlive a stop."""
        return self.folder / "ports.json"

    @property
    def kubeconfig(self) -> Path:
        """One context per cluster."""
        return self.folder / "kubeconfig"

    @property
    def log(self) -> Path:
        """The supervisor's own log."""
        return self.folder / "supervisor.log"

    def cluster(self, name: str) -> Path:
        """The folder of one cluster: keys, data, logs."""
        return self.folder / "clusters" / name

    def known_clusters(self) -> list[str]:
        """Names of the clusters that have data here, running or not."""
        return sorted(path.parent.name for path in self.folder.glob("clusters/*/identity.json"))

    def create(self) -> None:
        """Make the folder, readable by its owner only: it holds keys.

        Raises:
            LabError: it can't be made or written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise LabError(
                f"{self.folder}: the lab's folder can't be used ({error.strerror}). "
                "Set LAB_HOME to a folder you may write to."
            ) from error

    @contextlib.contextmanager
    def editing(self) -> Iterator[None]:
        """Hold the lock under which the spec is changed and the supervisor is started."""
        with self._open("edit.lock") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def try_lock(self, name: str) -> IO[str] | None:
        """Take a lock if it is free: the open file keeps it (also against other processes) until it is closed."""
        handle = self._open(name)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return None
        return handle

    def is_running(self) -> bool:
        """Whether a supervisor is alive: it holds its lock as long as it lives, however it dies."""
        if not self.folder.is_dir():
            return False
        handle = self.try_lock("supervisor.lock")
        if handle is None:
            return True
        handle.close()
        return False

    def read_status(self) -> dict[str, Any]:
        """The supervisor's last word, or an empty one."""
        return read_mapping(self.status)

    def _open(self, name: str) -> IO[str]:
        return (self.folder / name).open("a", encoding="utf-8")


def locate() -> StateDir:
    """The lab's folder: `$LAB_HOME`, or `.lab` beside the packages."""
    chosen = os.environ.get("LAB_HOME")
    return StateDir(folder=Path(chosen).expanduser().absolute() if chosen else PROJECT_ROOT / ".lab")


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON file's mapping, or an empty one where there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_atomically(path: Path, content: str, *, mode: int = 0o600) -> None:
    """Replace a file so that a reader sees the old content or the new, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(content)
    temporary.replace(path)
