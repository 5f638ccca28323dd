"""Pulumi, run on one stack of the lab."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from hack.lab.state_dir import StateDir
from hack.make import pending_operations
from hack.make.stack import PROJECT, LabStack
from mesh.paths import PROJECT_ROOT
from mesh.pulumi_cli import run_pulumi, stream_pulumi

_REFRESHED = ("--refresh",)


class LabPulumiStack:
    """Runs Pulumi for one stack, without writing into its file or asking anything.

    Args:
        state_dir: the lab's folder, which also holds the state.
        stack: the stack.
        environment: the whole environment of its processes (see `dev.environment`).
        log: where Pulumi's output goes, in place of this process's own.
    """

    def __init__(
        self, state_dir: StateDir, stack: LabStack, environment: Mapping[str, str], log: IO[str] | None = None
    ) -> None:
        self._state_dir = state_dir
        self._log = log
        self._stack = stack
        self._environment = dict(environment)

    def initialise(self) -> None:
        """Make the stack where there is none yet, and free it of what a Pulumi that was killed has left."""
        if not self._state.exists():
            # In a folder of its own, because Pulumi writes the salt of the stack's secrets into the stack file.
            workspace = self._salted.parent
            workspace.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT_ROOT / "Pulumi.yaml", workspace / "Pulumi.yaml")
            shutil.copyfile(self._stack.file, self._salted)
            self._run("stack", "init", self._stack.name, folder=workspace)
        pending_operations.kill_orphans(self._environment["PULUMI_BACKEND_URL"])
        if self._has_stale_lock():
            self._run("cancel", "--yes", "--stack", self._stack.name)

    @property
    def exists(self) -> bool:
        """Whether there is a state to destroy."""
        return self._state.exists()

    def up(self, *arguments: str) -> None:
        """`pulumi up`, without a question and without a preview before it."""
        # What a `destroy` that was interrupted has removed may stand in the state still.
        half_gone = self._failed_to_destroy or pending_operations.DELETING in self._pending
        self._stream(*self.up_command(*arguments, *(_REFRESHED if half_gone else ())))
        if self._pending:
            deployment = self._export()
            if pending_operations.drop_completed_operations(deployment["deployment"]):
                self._import(deployment)

    def up_command(self, *arguments: str) -> list[str]:
        """The arguments of that `pulumi up`."""
        return ["up", "--yes", "--skip-preview", "--suppress-outputs", *self._common, *arguments]

    def preview(self, *arguments: str) -> None:
        """`pulumi preview`."""
        self._stream(*self.preview_command(*arguments))

    def preview_command(self, *arguments: str) -> list[str]:
        """The arguments of that `pulumi preview`."""
        return ["preview", *self._common, *arguments]

    def review(self, *arguments: str) -> int:
        """`python -m review`; its exit code."""
        return subprocess.run(
            self.review_command(*arguments), cwd=PROJECT_ROOT, env=self._environment, check=False
        ).returncode

    def review_command(self, *arguments: str) -> list[str]:
        """The whole command of that review."""
        file = self._stack.file if self._is_tracked else self._config_file()
        return [sys.executable, "-m", "review", "--stack", self._stack.name, "--config-file", str(file), *arguments]

    def destroy(self) -> None:
        """`pulumi destroy`, and the end of the stack itself."""
        pending = self._pending
        if pending:
            deployment = self._export()
            pending_operations.adopt_pending(deployment["deployment"])
            self._import(deployment)
        # What is gone is forgotten then. Helm fails to uninstall a release that it has uninstalled before.
        refreshed = _REFRESHED if pending or self._failed_to_destroy else ()
        self._stream(*self.destroy_command(*refreshed))
        # `destroy --remove` would remove the stack file as well.
        self._run("stack", "rm", "--yes", "--preserve-config", "--stack", self._stack.name)

    def destroy_command(self, *arguments: str) -> list[str]:
        """The arguments of that `pulumi destroy`."""
        return ["destroy", "--yes", "--skip-preview", *self._common, *arguments]

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets masked."""
        printed = self._run("stack", "output", "--json", "--stack", self._stack.name)
        found: dict[str, Any] = json.loads(printed)
        return found

    @property
    def _common(self) -> list[str]:
        options = ["--stack", self._stack.name]
        if not sys.stdout.isatty():
            options += ["--non-interactive", "--color=never", "--suppress-progress"]
        return options if self._is_tracked else [*options, "--config-file", str(self._config_file())]

    @property
    def _is_tracked(self) -> bool:
        """Whether Pulumi finds the stack file by itself, with nothing to write into it."""
        return self._stack.has_salt and self._stack.file == PROJECT_ROOT / f"Pulumi.{self._stack.name}.yaml"

    @property
    def _state(self) -> Path:
        return _states(self._state_dir) / f"{self._stack.name}.json"

    @property
    def _salted(self) -> Path:
        return self._state_dir.folder / "stacks" / self._stack.name / f"Pulumi.{self._stack.name}.yaml"

    @property
    def _pending(self) -> set[str]:
        """What the state says was begun, and doesn't know the end of: the kinds of operations."""
        latest = json.loads(self._state.read_text())["checkpoint"].get("latest") or {}
        return {operation["type"] for operation in latest.get("pending_operations") or ()}

    @property
    def _failed_to_destroy(self) -> bool:
        """Whether the last command that changed something was a `destroy` that failed."""
        ended = sorted(
            (self._state_dir.folder / "state/.pulumi/history" / PROJECT / self._stack.name).glob("*.history.json")
        )
        last = json.loads(ended[-1].read_text()) if ended else {}
        return last.get("kind") == "destroy" and last.get("result") == "failed"

    def _export(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._run("stack", "export", "--stack", self._stack.name))
        return found

    def _import(self, deployment: Mapping[str, Any]) -> None:
        file = self._salted.with_name("state.json")
        file.write_text(json.dumps(deployment))
        self._run("stack", "import", "--stack", self._stack.name, "--file", str(file))
        file.unlink()

    def _config_file(self) -> Path:
        """A copy of the stack file as it is now, with the salt that Pulumi has made for it."""
        salt = [line for line in self._salted.read_text().splitlines() if line.startswith("encryptionsalt:")]
        copy = self._salted.with_name("config.yaml")
        lines = self._stack.file.read_text().splitlines()
        copy.write_text("\n".join([*salt, *(line for line in lines if not line.startswith("encryptionsalt:")), ""]))
        return copy

    def _has_stale_lock(self) -> bool:
        """Whether each lock of the stack is that of a process of this machine that has ended."""
        locks = [json.loads(path.read_text()) for path in self._lock_folder.glob("*.json")]
        return bool(locks) and all(
            lock.get("hostname") == socket.gethostname() and not _is_pulumi(int(lock["pid"])) for lock in locks
        )

    @property
    def _lock_folder(self) -> Path:
        return self._state_dir.folder / "state/.pulumi/locks/organization" / PROJECT / self._stack.name

    def _run(self, *arguments: str, folder: Path = PROJECT_ROOT) -> str:
        return run_pulumi(arguments, environment=self._environment, folder=folder)

    def _stream(self, *arguments: str) -> None:
        stream_pulumi(arguments, environment=self._environment, folder=PROJECT_ROOT, log=self._log)


def list_lab_stacks(state_dir: StateDir) -> list[str]:
    """The stacks that have something on a lab."""
    return sorted(path.stem for path in _states(state_dir).glob("*.json") if '"resources"' in path.read_text())


def _states(state_dir: StateDir) -> Path:
    return state_dir.folder / "state/.pulumi/stacks" / PROJECT


def _is_pulumi(pid: int) -> bool:
    """Whether a process of this number runs Pulumi: no zombie, and not another one that has the number since."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "pulumi" in process.name()
    except psutil.NoSuchProcess:
        return False
