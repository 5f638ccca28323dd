"""Service mirrors of one cluster: a local process of the real program for each fake pod.

Each link has a mirror. Its pods belong to the link or, in later releases, to the multicluster extension. Later releases
also have a local mirror in each cluster, for federated services with a member in that cluster.
"""

import asyncio
import contextlib
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.lab import kubeconfig, linkerd, port_reservation
from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiClient, ApiError
from hack.lab.errors import LabError
from hack.lab.pki import Pki
from hack.lab.restarting_process import Command, RestartingProcess
from hack.lab.state_dir import write_atomically
from mesh.kube.constants import CLUSTER_NAME_LABEL

_SELECTOR = "component in (linkerd-service-mirror, controller, local-service-mirror)"
_LOCAL_MIRROR_FLAG = re.compile(r"--?local-mirror(=true)?")
_TOKEN_LIFETIME_S = 24 * 3600
_STOP_GRACE_S = 3.0  # between SIGTERM and SIGKILL
_RETRY_INTERVAL_S = 2
_MIN_RENEWAL_INTERVAL_S = 60.0
_IMAGE_TAG = re.compile(r":(?:stable-)?v?(?P<release>[^:@/]+)(?:@[^@]*)?$")
_OVERRIDDEN_FLAG = re.compile(r"--?(kubeconfig|metrics-addr)(=.*)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MirrorPod:
    """The parts of a pod that determine its process."""

    uid: str
    namespace: str
    name: str
    target: str | None  # None: the local mirror
    service_account: str
    release: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]


def parse_mirror_pod(pod: dict[str, Any]) -> MirrorPod | None:
    """Return the mirror in a pod, or None if the pod does not run or contains no mirror."""
    metadata, spec = pod["metadata"], pod["spec"]
    if metadata.get("deletionTimestamp") or pod.get("status", {}).get("phase") != "Running":
        return None
    for container in spec["containers"]:
        arguments = container.get("args") or []
        if arguments[:1] != ["service-mirror"]:
            continue
        tag = _IMAGE_TAG.search(container["image"])
        local = any(map(_LOCAL_MIRROR_FLAG.fullmatch, arguments))
        return MirrorPod(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            target=None if local else metadata.get("labels", {}).get(CLUSTER_NAME_LABEL, arguments[-1]),
            service_account=spec.get("serviceAccountName", "default"),
            release=tag["release"] if tag else container["image"],
            arguments=tuple(arguments[1:]),
            environment=tuple((e["name"], e["value"]) for e in container.get("env") or [] if "value" in e),
        )
    return None


def mirror_arguments(pod_arguments: tuple[str, ...], *, kubeconfig_file: Path, metrics_port: int) -> list[str]:
    """Return the pod's arguments, with the lab's kubeconfig and metrics address in place of the pod's."""
    others, skip = [], False
    for argument in pod_arguments:
        match = _OVERRIDDEN_FLAG.fullmatch(argument)
        if skip or match:
            # After `-flag` without `=` the next argument is the flag's value.
            skip = bool(match and not match[2])
            continue
        others.append(argument)
    return [f"-kubeconfig={kubeconfig_file}", f"-metrics-addr=127.0.0.1:{metrics_port}", *others]


class MirrorProcesses:
    """A watch of a cluster's mirror pods, and a process for each pod."""

    def __init__(
        self,
        folder: Path,
        allocation: ClusterAllocation,
        pki: Pki,
        api: ApiClient,
        dns: Callable[[], str],
        releases: Callable[[], Sequence[Path]],
    ) -> None:
        """Prepare the watch without starting it.

        Args:
            folder: the cluster's folder.
            allocation: the cluster's addresses and ports.
            pki: the cluster's certificates.
            api: the client of its API server.
            dns: returns the address (host:port) of the lab's DNS.
            releases: returns the folders of `$LAB_LINKERD`.
        """
        self._folder = folder
        self._allocation = allocation
        self._pki = pki
        self._api = api
        self._dns = dns
        self._releases = releases
        self._running: dict[str, _Mirror] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch the cluster's mirror pods in a separate thread."""
        shutil.rmtree(self._folder / "mirrors", ignore_errors=True)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop,), name=f"mirrors-{self._allocation.name}", daemon=True).start()

    async def stop(self) -> None:
        """Stop the watch and all processes."""
        self._stopped.set()
        self._reconcile([])
        if self._ending:
            await asyncio.wait(self._ending)

    def kill(self) -> None:
        """Kill all processes, without waiting."""
        self._stopped.set()
        for mirror in self._running.values():
            mirror.kill()

    def metrics_ports(self) -> list[int]:
        """Return the metrics ports of the running mirrors."""
        return [mirror.port for mirror in self._running.values() if mirror.port]

    def describe(self) -> list[dict[str, Any]]:
        """Return the mirrors' entries for the status file."""
        return [mirror.describe() for mirror in self._running.values()]

    def _reconcile(self, pods: list[MirrorPod]) -> None:
        desired = {pod.uid: pod for pod in pods}
        for uid in [uid for uid in self._running if uid not in desired]:
            task = asyncio.create_task(self._running.pop(uid).stop())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for uid, pod in desired.items():
            if uid not in self._running:
                self._running[uid] = _Mirror(
                    pod, self._folder, self._allocation, self._pki, self._api, self._dns(), self._releases
                )

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopped.is_set():
            try:
                self._watch_once(loop)
            except (ApiError, OSError, ValueError, KeyError) as error:
                # The API server restarts, or the watch expired: start again with a list.
                if not self._stopped.is_set():
                    _log.info("%s: watch of service mirrors: %s; retrying", self._allocation.name, error)
                self._stopped.wait(1)

    def _watch_once(self, loop: asyncio.AbstractEventLoop) -> None:
        def publish() -> None:
            if self._stopped.is_set():
                return
            mirrors = [mirror for pod in pods.values() if (mirror := parse_mirror_pod(pod))]
            with contextlib.suppress(RuntimeError):  # the loop is closed: the supervisor has ended
                loop.call_soon_threadsafe(self._reconcile, mirrors)

        answer = self._api.get("/api/v1/pods", labelSelector=_SELECTOR)
        pods = {pod["metadata"]["uid"]: pod for pod in answer["items"]}
        publish()
        version = answer["metadata"]["resourceVersion"]
        for event in self._api.watch("/api/v1/pods", labelSelector=_SELECTOR, resourceVersion=version):
            if self._stopped.is_set():
                return
            if event["type"] == "ERROR":
                raise ValueError(event["object"].get("message", "watch ended"))
            if event["type"] == "BOOKMARK":
                continue
            uid = event["object"]["metadata"]["uid"]
            if event["type"] == "DELETED":
                pods.pop(uid, None)
            else:
                pods[uid] = event["object"]
            publish()


class _Mirror:
    """The process of one mirror pod."""

    def __init__(
        self,
        pod: MirrorPod,
        folder: Path,
        allocation: ClusterAllocation,
        pki: Pki,
        api: ApiClient,
        dns: str,
        releases: Callable[[], Sequence[Path]],
    ) -> None:
        self.port = 0
        self._pod = pod
        self._files = folder / "mirrors" / pod.uid
        self._log = folder / "logs" / "mirrors" / f"{pod.name[:200]}.log"
        self._allocation = allocation
        self._pki = pki
        self._api = api
        self._dns = dns
        self._releases = releases
        self._program: linkerd.Program | None = None
        self._state = "starting"
        self._process: RestartingProcess | None = None
        self._task = asyncio.create_task(self._run())

    def describe(self) -> dict[str, Any]:
        process = self._process.describe() if self._process else {}
        state = self._state
        if self._process:
            state = "running" if self._process.is_running else "restarting"
        return {
            "pod": f"{self._pod.namespace}/{self._pod.name}",
            "target": self._pod.target,
            "release": self._pod.release,
            "program": self._program.release if self._program else None,
            "pid": process.get("pid"),
            "create_time": process.get("create_time"),
            "restarts": process.get("restarts", 0),
            "metrics": self.port or None,
            "log": str(self._log),
            "state": state,
        }

    def kill(self) -> None:
        self._task.cancel()
        if self._process:
            self._process.kill()

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._process:
            await self._process.stop(grace=_STOP_GRACE_S)
        port_reservation.release_port(self.port)
        shutil.rmtree(self._files, ignore_errors=True)

    async def _run(self) -> None:
        self._program = program = await self._find_program()
        self._state = "starting"
        self._files.mkdir(parents=True, exist_ok=True)
        token, configuration = self._files / "token", self._files / "kubeconfig"
        write_atomically(configuration, kubeconfig.token_kubeconfig(self._pki, self._allocation, token))
        while True:
            try:
                renewal = await asyncio.to_thread(self._renew, token)
            except (ApiError, OSError) as error:
                self._state = f"no token for service account {self._pod.service_account}: {error}"
                _log.warning("%s: pod %s: %s", self._allocation.name, self._pod.name, self._state)
                await asyncio.sleep(_RETRY_INTERVAL_S)
                continue
            if self._process is None:
                self._start(program, configuration)
            await asyncio.sleep(max(_MIN_RENEWAL_INTERVAL_S, renewal - time.time()))

    async def _find_program(self) -> linkerd.Program:
        """Return the program for the pod's release, as soon as the toolchain or `$LAB_LINKERD` has one."""
        pod, logged_state = self._pod, ""
        while True:
            try:
                program = await asyncio.to_thread(linkerd.find_service_mirror, pod.release, self._releases())
                if program is not None:
                    if program.release != pod.release:
                        _log.warning(
                            "%s: pod %s: %s in place of %s",
                            self._allocation.name,
                            pod.name,
                            program.release,
                            pod.release,
                        )
                    return program
                self._state = (
                    f"neither the toolchain nor {linkerd.VARIABLE} has a service mirror for release {pod.release}"
                )
            except LabError as error:
                self._state = str(error)
            if self._state != logged_state:
                _log.error("%s: pod %s: %s", self._allocation.name, pod.name, self._state)
                logged_state = self._state
            await asyncio.sleep(_RETRY_INTERVAL_S)

    def _start(self, program: linkerd.Program, configuration: Path) -> None:
        self.port = port_reservation.reserve_port()
        pod = self._pod
        own_arguments = mirror_arguments(pod.arguments, kubeconfig_file=configuration, metrics_port=self.port)
        process = RestartingProcess(
            Command(
                name=f"service-mirror {pod.name}",
                argv=(str(program.path), *program.arguments, *own_arguments),
                log=self._log,
                port=self.port,
                environment={
                    **dict(pod.environment),
                    "HOSTNAME": pod.name,
                    "LAB_DNS_ADDRESS": self._dns,
                    # The probe uses a short host name; the user part of the URL is the namespace of this name.
                    # Requests to API servers are HTTPS and do not use this proxy.
                    "HTTP_PROXY": f"http://{pod.namespace}@127.0.0.1:{self._allocation.ports.gateway}",
                },
            )
        )
        process.start()
        self._process = process

    def _renew(self, token: Path) -> float:
        """Write a new token of the pod's service account; return the time of the next renewal (seconds since 1970)."""
        # Not bound to the pod: kwok deletes pods at once, and the program releases its lease only afterwards.
        answer = self._api.create(
            f"/api/v1/namespaces/{self._pod.namespace}/serviceaccounts/{self._pod.service_account}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": _TOKEN_LIFETIME_S},
            },
        )
        write_atomically(token, answer["status"]["token"])
        return time.time() + _TOKEN_LIFETIME_S / 2
