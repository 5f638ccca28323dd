"""A Pulumi stack on the lab: its state, its configuration, and the Pulumi commands on it."""

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
from hack.make.pulumi_wrapper import write_salted_copy
from hack.make.stack import LabStack
from mesh.config import PROJECT
from mesh.paths import PROJECT_ROOT
from mesh.pulumi_cli import run_pulumi, stream_pulumi

_REFRESH_OPTION = ("--refresh",)


class LabPulumiStack:
    """A stack on the lab. Commands have no prompts and do not modify the stack file.

    Args:
        state_dir: the lab's folder, which also contains the stack states.
        stack: the stack.
        environment: the whole environment of Pulumi (see `hack.make.environment`).
        log: file for Pulumi's output; None for the output of this process.
    """

    def __init__(
        self, state_dir: StateDir, stack: LabStack, environment: Mapping[str, str], log: IO[str] | None = None
    ) -> None:
        self._state_dir = state_dir
        self._log = log
        self._stack = stack
        self._environment = dict(environment)

    def initialise(self) -> None:
        """Create the stack if it does not exist, and clean up after a killed Pulumi."""
        if not self._state.exists():
            # In a separate folder, because Pulumi writes the salt of the stack's secrets into the stack file.
            workspace = self._salted_file.parent
            workspace.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT_ROOT / "Pulumi.yaml", workspace / "Pulumi.yaml")
            shutil.copyfile(self._stack.file, self._salted_file)
            self._run("stack", "init", self._stack.name, folder=workspace)
        pending_operations.kill_orphans(self._environment["PULUMI_BACKEND_URL"])
        if self._has_stale_lock():
            self._run("cancel", "--yes", "--stack", self._stack.name)

    @property
    def exists(self) -> bool:
        """Return whether the stack has a state."""
        return self._state.exists()

    def up(self, *arguments: str) -> None:
        """Run `pulumi up` without a preview."""
        # After an interrupted `destroy`, the state can contain deleted resources.
        needs_refresh = self._last_destroy_failed or pending_operations.DELETING in self._pending_types
        self._stream(*self.up_command(*arguments, *(_REFRESH_OPTION if needs_refresh else ())))
        if self._pending_types:
            deployment = self._export()
            if pending_operations.drop_completed_operations(deployment["deployment"]):
                self._import(deployment)

    def up_command(self, *arguments: str) -> list[str]:
        """Return the arguments of `pulumi up`."""
        return ["up", "--yes", "--skip-preview", "--suppress-outputs", *self._common, *arguments]

    def preview(self, *arguments: str) -> None:
        """Run `pulumi preview`."""
        self._stream(*self.preview_command(*arguments))

    def preview_command(self, *arguments: str) -> list[str]:
        """Return the arguments of `pulumi preview`."""
        return ["preview", *self._common, *arguments]

    def review(self, *arguments: str) -> int:
        """Run `python -m review` and return its exit code."""
        return subprocess.run(
            self.review_command(*arguments), cwd=PROJECT_ROOT, env=self._environment, check=False
        ).returncode

    def review_command(self, *arguments: str) -> list[str]:
        """Return the whole command of the review."""
        file = self._stack.file if self._is_tracked else self._config_file()
        return [sys.executable, "-m", "review", "--stack", self._stack.name, "--config-file", str(file), *arguments]

    def destroy(self) -> None:
        """Run `pulumi destroy`, and delete the stack."""
        pending = self._pending_types
        if pending:
            deployment = self._export()
            pending_operations.adopt_pending(deployment["deployment"])
            self._import(deployment)
        # A refresh removes deleted resources from the state. Helm fails to uninstall a release that no longer exists.
        options = _REFRESH_OPTION if pending or self._last_destroy_failed else ()
        self._stream(*self.destroy_command(*options))
        # `destroy --remove` would delete the stack file too.
        self._run("stack", "rm", "--yes", "--preserve-config", "--stack", self._stack.name)

    def destroy_command(self, *arguments: str) -> list[str]:
        """Return the arguments of `pulumi destroy`."""
        return ["destroy", "--yes", "--skip-preview", *self._common, *arguments]

    def outputs(self) -> dict[str, Any]:
        """Return the stack outputs, with secrets redacted by Pulumi."""
        outputs: dict[str, Any] = json.loads(self._run("stack", "output", "--json", "--stack", self._stack.name))
        return outputs

    @property
    def _common(self) -> list[str]:
        options = ["--stack", self._stack.name]
        if not sys.stdout.isatty():
            options += ["--non-interactive", "--color=never", "--suppress-progress"]
        return options if self._is_tracked else [*options, "--config-file", str(self._config_file())]

    @property
    def _is_tracked(self) -> bool:
        """Return whether Pulumi finds the stack file by default and does not modify it."""
        return self._stack.has_salt and self._stack.file == PROJECT_ROOT / f"Pulumi.{self._stack.name}.yaml"

    @property
    def _state(self) -> Path:
        return _states(self._state_dir) / f"{self._stack.name}.json"

    @property
    def _salted_file(self) -> Path:
        return self._state_dir.folder / "stacks" / self._stack.name / f"Pulumi.{self._stack.name}.yaml"

    @property
    def _pending_types(self) -> set[str]:
        """Return the types of the pending operations in the stack state."""
        latest = json.loads(self._state.read_text())["checkpoint"].get("latest") or {}
        return {operation["type"] for operation in latest.get("pending_operations") or ()}

    @property
    def _last_destroy_failed(self) -> bool:
        """Return whether the last update of the stack was a failed `destroy`."""
        history = sorted(
            (self._state_dir.folder / "state/.pulumi/history" / PROJECT / self._stack.name).glob("*.history.json")
        )
        last = json.loads(history[-1].read_text()) if history else {}
        return last.get("kind") == "destroy" and last.get("result") == "failed"

    def _export(self) -> dict[str, Any]:
        deployment: dict[str, Any] = json.loads(self._run("stack", "export", "--stack", self._stack.name))
        return deployment

    def _import(self, deployment: Mapping[str, Any]) -> None:
        file = self._salted_file.with_name("state.json")
        file.write_text(json.dumps(deployment))
        self._run("stack", "import", "--stack", self._stack.name, "--file", str(file))
        file.unlink()

    def _config_file(self) -> Path:
        """Write a copy of the current stack file with the salt from Pulumi, and return its path."""
        return write_salted_copy(self._stack.file, self._salted_file)

    def _has_stale_lock(self) -> bool:
        """Return whether the stack is locked only by processes of this machine that have exited."""
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
    """Return the names of all stacks with resources on a lab."""
    return sorted(path.stem for path in _states(state_dir).glob("*.json") if '"resources"' in path.read_text())


def _states(state_dir: StateDir) -> Path:
    return state_dir.folder / "state/.pulumi/stacks" / PROJECT


def _is_pulumi(pid: int) -> bool:
    """Return whether a process is a running Pulumi: neither a zombie nor another program with a reused ID."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "pulumi" in process.name()
    except psutil.NoSuchProcess:
        return False
