"""State folder of one lab, and the locks that prevent concurrent changes."""

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
    """Paths below one lab's folder; labs in different folders share nothing."""

    folder: Path

    @property
    def spec(self) -> Path:
        """Return the path of the desired state; commands write the file, and the supervisor reads it."""
        return self.folder / "spec.json"

    @property
    def status(self) -> Path:
        """Return the path of the current state; the supervisor writes the file, and commands read it."""
        return self.folder / "status.json"

    @property
    def ports(self) -> Path:
        """Return the path of the ports of chart repository and DNS, which stay the same after a stop."""
        return self.folder / "ports.json"

    @property
    def kubeconfig(self) -> Path:
        """Return the path of the kubeconfig, which has one context per cluster."""
        return self.folder / "kubeconfig"

    @property
    def log(self) -> Path:
        """Return the path of the supervisor's log."""
        return self.folder / "supervisor.log"

    def cluster(self, name: str) -> Path:
        """Return the folder of one cluster, with its keys, data and logs."""
        return self.folder / "clusters" / name

    def known_clusters(self) -> list[str]:
        """Return the names of all clusters with data here, running or not."""
        return sorted(path.parent.name for path in self.folder.glob("clusters/*/allocation.json"))

    def create(self) -> None:
        """Create the folder, readable by its owner only, because it contains keys.

        Raises:
            LabError: the folder cannot be created or written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise LabError(
                f"{self.folder}: cannot be used as the lab's folder ({error.strerror}); "
                "set LAB_HOME to a folder with write permission"
            ) from error

    @contextlib.contextmanager
    def edit_lock(self) -> Iterator[None]:
        """Hold the lock for changes of the spec and for starting the supervisor."""
        with self._open("edit.lock") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def try_lock(self, name: str) -> IO[str] | None:
        """Take a lock if it is free; return the open file, which holds the lock until it is closed."""
        handle = self._open(name)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return None
        return handle

    def is_running(self) -> bool:
        """Return whether a supervisor runs; its lock ends with its process, even after `kill -9`."""
        if not self.folder.is_dir():
            return False
        handle = self.try_lock("supervisor.lock")
        if handle is None:
            return True
        handle.close()
        return False

    def read_status(self) -> dict[str, Any]:
        """Return the last status that the supervisor wrote, or an empty one."""
        return read_mapping(self.status)

    def _open(self, name: str) -> IO[str]:
        return (self.folder / name).open("a", encoding="utf-8")


def locate() -> StateDir:
    """Return the lab's folder: `$LAB_HOME`, or `.lab` in the project's root."""
    folder = os.environ.get("LAB_HOME")
    return StateDir(folder=Path(folder).expanduser().absolute() if folder else PROJECT_ROOT / ".lab")


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file, or an empty mapping if there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_atomically(path: Path, content: str, *, mode: int = 0o600) -> None:
    """Replace a file atomically: a reader gets the old content or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(content)
    temporary.replace(path)
