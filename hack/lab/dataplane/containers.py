"""Containers of a pod: processes with their own root, which are probed, restarted and stopped as by the kubelet."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.lab.dataplane import images, namespaces, probes
from hack.lab.dataplane.environment import FindObject, MissingObjectError, PodFields, container_environment, expand
from hack.lab.dataplane.images import ContainerProgram
from hack.lab.dataplane.probes import ProbeSettings, ProbeTarget, parse_probe
from hack.lab.dataplane.processes import command_prefix, user_of, wait_until_readable
from hack.lab.dataplane.status import ContainerSnapshot
from hack.lab.dataplane.volumes import mounts

_SETUP_SCRIPT = Path(__file__).with_name("container_process.py")
_FIRST_RESTART_DELAY_S, _MAX_RESTART_DELAY_S = 1.0, 20.0
_STABLE_AFTER_S = 60.0  # the restart delay is reset after this run time
_AWAIT_PROGRAM, _AWAIT_PORT, _AWAIT_INTERVAL_S = "linkerd-await", 4191, 0.1
_HOOK_TIMEOUT_S = 120.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PodContext:
    """The parts of a pod that all of its containers share."""

    pod: Mapping[str, Any]
    namespaces: namespaces.NamespaceHolder
    nodes: Path
    fields: PodFields
    folder: Path
    log_folder: Path
    linkerd_folders: Sequence[Path]
    service_ip: str
    find: FindObject
    start_delay_s: float
    report: Callable[[], None]  # called when a state changed
    wait_for_objects: Callable[[], Awaitable[None]]  # returns after a change of a Secret or ConfigMap

    @property
    def name(self) -> str:
        """Return namespace and name, for messages."""
        return f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"

    @property
    def restart_policy(self) -> str:
        """Return the pod's restart policy."""
        return str(self.pod["spec"].get("restartPolicy", "Always"))

    def ports(self) -> dict[str, int]:
        """Return the ports of all containers by name."""
        spec = self.pod["spec"]
        containers = (*spec["containers"], *(spec.get("initContainers") or []))
        return {
            port["name"]: port["containerPort"]
            for container in containers
            for port in container.get("ports") or []
            if "name" in port
        }


class Container:
    """One container: its process, and its state for the pod's status."""

    def __init__(self, context: PodContext, spec: Mapping[str, Any], *, is_init: bool, restarts: int) -> None:
        """Prepare the container without starting it; `restarts` counts those before this process."""
        self.spec = spec
        self.name: str = spec["name"]
        self.is_init = is_init
        self.is_sidecar = is_init and spec.get("restartPolicy") == "Always"
        self.started = asyncio.Event()  # the startup probe has succeeded
        self._context = context
        self._target = ProbeTarget(
            nodes=context.nodes,
            address=context.fields.address,
            ports=context.ports(),
            run_command=self.run_command,
        )
        self._restarts = restarts
        self._process: subprocess.Popen[bytes] | None = None
        self._uid = self._gid = 0
        self._exit: asyncio.Task[int] | None = None
        self._stopping = False
        self._is_ready = False
        self._began = self._finished = 0.0
        self._exit_code: int | None = None
        self._waiting = ("", "")

    @property
    def pid(self) -> int | None:
        """Return the pid of the running process."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def is_running(self) -> bool:
        """Return whether the process runs."""
        return self.pid is not None

    def state(self) -> ContainerSnapshot:
        """Return the state for the pod's status."""
        return ContainerSnapshot(
            name=self.name,
            image=self.spec["image"],
            is_init=self.is_init,
            is_sidecar=self.is_sidecar,
            pid=self.pid,
            started_at=self._began,
            finished_at=self._finished,
            exit_code=self._exit_code,
            is_started=self.is_running and self.started.is_set(),
            is_ready=self._is_ready and self.is_running,
            restarts=self._restarts,
            waiting_reason=self._waiting[0],
            waiting_message=self._waiting[1],
        )

    def describe(self) -> dict[str, Any]:
        """Return the container's entry for the data plane's state file."""
        return {"pid": self.pid, "uid": self._uid, "gid": self._gid}

    def _set_waiting(self, reason: str, message: str = "") -> None:
        if self._waiting != (reason, message):
            self._waiting = (reason, message)
            self._context.report()

    async def run_to_completion(self) -> bool:
        """Run an init container until it succeeds; return False if it failed and must not be restarted."""
        while True:
            await self.start()
            assert self._exit is not None
            code = await asyncio.shield(self._exit)
            self._context.report()
            if code == 0 or self._stopping:
                return code == 0
            if self._context.restart_policy == "Never":
                return False
            await self._back_off()

    async def keep_running(self) -> None:
        """Supervise a started container: probe it, and restart it when it ends, as the restart policy requires."""
        while True:
            probing = asyncio.create_task(self._probe())
            try:
                assert self._exit is not None
                code = await asyncio.shield(self._exit)
            finally:
                probing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await probing
            self._is_ready = False
            self.started.clear()
            self._context.report()
            policy = "Always" if self.is_sidecar else self._context.restart_policy
            if self._stopping or policy == "Never" or (policy == "OnFailure" and code == 0):
                return
            await self._back_off()
            await self.start()

    async def start(self) -> None:
        """Start the process as soon as all that it refers to exists, and run its postStart hook."""
        if self._context.start_delay_s and not self.is_init:
            # The time that a kubelet needs to pull an image.
            self._set_waiting("ContainerCreating")
            await asyncio.sleep(self._context.start_delay_s)
        while True:
            try:
                self._spawn()
                break
            except MissingObjectError as error:
                self._set_waiting("CreateContainerConfigError", str(error))
                await self._context.wait_for_objects()
        self._set_waiting("")
        self._context.report()
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        if hook:
            await self._run_post_start(hook)
        if not self.spec.get("startupProbe"):
            self.started.set()
            if not self.spec.get("readinessProbe"):
                self._is_ready = True
            self._context.report()

    async def stop(self, deadline: float) -> None:
        """Stop the process: preStop hook, SIGTERM, and SIGKILL at the deadline (of the event loop's clock)."""
        self._stopping = True
        process = self._process
        if process is None or self._exit is None or process.poll() is not None:
            return
        loop = asyncio.get_running_loop()
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if hook:
            with contextlib.suppress(TimeoutError):
                remaining = max(0.0, deadline - loop.time())
                await asyncio.wait_for(probes.perform(hook, self._target, remaining), remaining)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await asyncio.wait([self._exit], timeout=max(0.0, deadline - loop.time()))
        self.kill()
        await asyncio.shield(self._exit)

    def kill(self) -> None:
        """Kill the process, without waiting."""
        if self._process and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def run_command(self, command: Sequence[str], timeout: float) -> bool:
        """Run a command in the container; return whether it succeeded in time."""
        if self.pid is None:
            return False
        try:
            prefix = command_prefix(self.pid, self._uid, self._gid)
        except OSError:  # the container has just ended
            return False
        process = await asyncio.create_subprocess_exec(
            *prefix,
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return await asyncio.wait_for(process.wait(), timeout) == 0
        except TimeoutError:
            return False
        finally:
            # Also after a cancellation, because the container that is probed has ended.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def _spawn(self) -> None:
        context = self._context
        variables = container_environment(self.spec, context.fields, context.service_ip, context.find)
        program = self._select_program(variables)
        self._uid, self._gid = user_of(context.pod["spec"], self.spec)
        folder = context.folder / "containers" / self.name
        scratch = folder / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        specification = {
            "argv": program.argv,
            "environment": {**variables, **program.variables},
            "uid": self._uid,
            "gid": self._gid,
            "hostname": context.pod["metadata"]["name"][:63],
            "network": str(context.namespaces.network),
            "scratch": str(scratch),
            "mounts": self._mounts(program),
        }
        file = folder / "specification.json"
        file.write_text(json.dumps(specification))
        context.log_folder.mkdir(parents=True, exist_ok=True)
        log = context.log_folder / f"{context.name.replace('/', '_')}_{self.name}.log"
        with log.open("ab") as output, namespaces.start_children_in(context.namespaces.pids):
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SETUP_SCRIPT), str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._began, self._is_ready = time.time(), False
        # Opened at once: after `poll` has read the exit code, the pid means nothing.
        self._exit = asyncio.create_task(self._wait_for_exit(self._process, os.pidfd_open(self._process.pid)))
        _log.info("%s: container %s: started, pid %s", context.name, self.name, self._process.pid)

    def _select_program(self, variables: Mapping[str, str]) -> ContainerProgram:
        return images.select_program(
            self.spec,
            [expand(argument, variables) for argument in self.spec.get("args") or []],
            [expand(argument, variables) for argument in self.spec.get("command") or []],
            self._context.linkerd_folders,
            is_job=self._context.restart_policy != "Always",
        )

    def _mounts(self, program: ContainerProgram) -> list[tuple[str, str]]:
        folder = self._context.folder
        pairs = [
            (str(folder / "resolv.conf"), "/etc/resolv.conf"),
            (str(folder / "hosts"), "/etc/hosts"),
            # The interpreter can be in a folder that only its owner may enter.
            (sys.base_prefix, images.PYTHON_TARGET),
            (str(images.SERVERS_FOLDER), images.SERVERS_TARGET),
            (sysconfig.get_path("platlib"), images.PACKAGES_TARGET),
        ]
        if program.linkerd_folder is not None:
            pairs += images.list_programs(program.linkerd_folder)
        return pairs + mounts(self.spec, folder / "volumes")

    async def _wait_for_exit(self, process: subprocess.Popen[bytes], descriptor: int) -> int:
        await wait_until_readable(descriptor)
        code = process.wait()
        # As a shell reports the signal that ended a process.
        self._exit_code, self._finished = (128 - code if code < 0 else code), time.time()
        _log.info("%s: container %s: ended with exit code %s", self._context.name, self.name, self._exit_code)
        return self._exit_code

    async def _back_off(self) -> None:
        delay = min(_MAX_RESTART_DELAY_S, _FIRST_RESTART_DELAY_S * 2**self._restarts)
        if self._finished - self._began > _STABLE_AFTER_S:
            delay = _FIRST_RESTART_DELAY_S
        self._set_waiting("CrashLoopBackOff", f"exit code {self._exit_code}; restart in {delay:.0f} s")
        await asyncio.sleep(delay)
        self._restarts += 1

    async def _run_post_start(self, hook: Mapping[str, Any]) -> None:
        command = (hook.get("exec") or {}).get("command") or [""]
        if not command[0].endswith(_AWAIT_PROGRAM):
            await probes.perform(hook, self._target, _HOOK_TIMEOUT_S)
            return
        # The program is not among those of `$LAB_DATAPLANE`; it waits for the proxy's readiness.
        deadline = time.monotonic() + _HOOK_TIMEOUT_S
        while self.is_running and time.monotonic() < deadline:
            action = {"httpGet": {"port": _AWAIT_PORT, "path": "/ready"}}
            if await probes.perform(action, self._target, 1.0):
                return
            await asyncio.sleep(_AWAIT_INTERVAL_S)

    async def _probe(self) -> None:
        startup = parse_probe(self.spec.get("startupProbe"))
        if startup is not None and not self.started.is_set():
            if not await self._wait_for_success(startup):
                self._kill_after_failed_probe("startup")
                return
            self.started.set()
            self._is_ready = not self.spec.get("readinessProbe")
            self._context.report()
        async with asyncio.TaskGroup() as group:
            if readiness := parse_probe(self.spec.get("readinessProbe")):
                group.create_task(self._probe_readiness(readiness))
            if liveness := parse_probe(self.spec.get("livenessProbe")):
                group.create_task(self._probe_liveness(liveness))

    async def _wait_for_success(self, probe: ProbeSettings) -> bool:
        await asyncio.sleep(probe.initial_delay_s)
        deadline = time.monotonic() + probe.failure_threshold * probe.period_s
        while not await probe.succeeds(self._target):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(probe.interval_s(has_succeeded=False))
        return True

    async def _probe_readiness(self, probe: ProbeSettings) -> None:
        await asyncio.sleep(probe.initial_delay_s)
        successes = failures = 0
        while True:
            if await probe.succeeds(self._target):
                successes, failures = successes + 1, 0
            else:
                successes, failures = 0, failures + 1
            is_ready = self._is_ready
            if successes >= probe.success_threshold:
                is_ready = True
            elif failures >= probe.failure_threshold:
                is_ready = False
            if is_ready != self._is_ready:
                self._is_ready = is_ready
                self._context.report()
            await asyncio.sleep(probe.interval_s(has_succeeded=self._is_ready))

    async def _probe_liveness(self, probe: ProbeSettings) -> None:
        await asyncio.sleep(probe.initial_delay_s)
        failures = 0
        while failures < probe.failure_threshold:
            failures = 0 if await probe.succeeds(self._target) else failures + 1
            await asyncio.sleep(probe.period_s)
        self._kill_after_failed_probe("liveness")

    def _kill_after_failed_probe(self, kind: str) -> None:
        if not self._stopping:
            _log.warning("%s: container %s: %s probe failed; restarting it", self._context.name, self.name, kind)
            self.kill()
