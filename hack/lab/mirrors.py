"""The service mirrors of one cluster: for each of their fake pods the real program, as a local process.

A link has a mirror, whose pods are the link's own or, in later releases, those of the multicluster extension. These
releases also have a local mirror in each cluster, for the federated services that the cluster itself is a member of.
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

from hack.lab import kubeconfig, linkerd, ports
from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiClient, ApiError
from hack.lab.errors import LabError
from hack.lab.pki import Pki
from hack.lab.processes import Command, Process
from hack.lab.state_dir import write_atomically

_SELECTOR = "component in (linkerd-service-mirror, controller, local-service-mirror)"
_LOCAL = re.compile(r"--?local-mirror(=true)?")
_TOKEN_SECONDS = 24 * 3600
_GRACE = 3.0  # seconds between SIGTERM and SIGKILL
_TAG = re.compile(r":(?:stable-)?v?(?P<release>[^:@/]+)(?:@[^@]*)?$")
_OURS = re.compile(r"--?(kubeconfig|metrics-addr)(=.*)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MirrorPod:
    """What of a pod matters for running its program here."""

    uid: str
    namespace: str
    name: str
    target: str | None  # None: the local mirror
    service_account: str
    release: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]


def parse(pod: dict[str, Any]) -> MirrorPod | None:
    """The mirror that a pod asks for, or None for a pod that isn't running (any more) or has no mirror in it."""
    metadata, spec = pod["metadata"], pod["spec"]
    if metadata.get("deletionTimestamp") or pod.get("status", {}).get("phase") != "Running":
        return None
    for container in spec["containers"]:
        arguments = container.get("args") or []
        if arguments[:1] != ["service-mirror"]:
            continue
        tag = _TAG.search(container["image"])
        local = any(map(_LOCAL.fullmatch, arguments))
        return MirrorPod(
            uid=metadata["uid"],
            namespace=metadata["namespace"],
            name=metadata["name"],
            target=None if local else metadata.get("labels", {}).get("mirror.linkerd.io/cluster-name", arguments[-1]),
            service_account=spec.get("serviceAccountName", "default"),
            release=tag["release"] if tag else container["image"],
            arguments=tuple(arguments[1:]),
            environment=tuple((e["name"], e["value"]) for e in container.get("env") or [] if "value" in e),
        )
    return None


def arguments(given: tuple[str, ...], *, kubeconfig_file: Path, metrics_port: int) -> list[str]:
    """The program's arguments here: the pod's, less the flags that are ours to set, ours before them."""
    kept, skip = [], False
    for argument in given:
        match = _OURS.fullmatch(argument)
        if skip or match:
            # `-flag value` takes the next one along, `-flag=value` does not.
            skip = bool(match and not match[2])
            continue
        kept.append(argument)
    return [f"-kubeconfig={kubeconfig_file}", f"-metrics-addr=127.0.0.1:{metrics_port}", *kept]


class MirrorProcesses:
    """Watches a cluster's mirror pods and runs a process for each."""

    def __init__(
        self,
        folder: Path,
        identity: ClusterAllocation,
        pki: Pki,
        api: ApiClient,
        dns: Callable[[], str],
        releases: Callable[[], Sequence[Path]],
    ) -> None:
        """Nothing runs yet; `dns` is the address (host:port) of the lab's DNS, `releases` those of `$LAB_LINKERD`."""
        self._folder = folder
        self._identity = identity
        self._pki = pki
        self._api = api
        self._dns = dns
        self._releases = releases
        self._running: dict[str, _Mirror] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to watch, in a thread of its own."""
        shutil.rmtree(self._folder / "mirrors", ignore_errors=True)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop,), name=f"mirrors-{self._identity.name}", daemon=True).start()

    async def stop(self) -> None:
        """End all processes and the watch."""
        self._stopped.set()
        self._reconcile([])
        if self._ending:
            await asyncio.wait(self._ending)

    def kill(self) -> None:
        """End all processes now."""
        self._stopped.set()
        for mirror in self._running.values():
            mirror.kill()

    def metrics_ports(self) -> list[int]:
        """Where the running mirrors serve their metrics."""
        return [mirror.port for mirror in self._running.values() if mirror.port]

    def describe(self) -> list[dict[str, Any]]:
        """The mirrors as they stand in the status file."""
        return [mirror.describe() for mirror in self._running.values()]

    def _reconcile(self, pods: list[MirrorPod]) -> None:
        wanted = {pod.uid: pod for pod in pods}
        for uid in [uid for uid in self._running if uid not in wanted]:
            task = asyncio.create_task(self._running.pop(uid).stop())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for uid, pod in wanted.items():
            if uid not in self._running:
                self._running[uid] = _Mirror(
                    pod, self._folder, self._identity, self._pki, self._api, self._dns(), self._releases
                )

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopped.is_set():
            try:
                self._watch_once(loop)
            except (ApiError, OSError, ValueError, KeyError) as error:
                # An API server that restarts, a watch that expired: begin anew with a list.
                if not self._stopped.is_set():
                    _log.info("%s: watching service mirrors: %s; again", self._identity.name, error)
                self._stopped.wait(1)

    def _watch_once(self, loop: asyncio.AbstractEventLoop) -> None:
        def publish() -> None:
            if self._stopped.is_set():
                return
            mirrors = [mirror for pod in pods.values() if (mirror := parse(pod))]
            with contextlib.suppress(RuntimeError):  # the loop is closed: the supervisor is gone
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
    """One pod's program."""

    def __init__(
        self,
        pod: MirrorPod,
        folder: Path,
        identity: ClusterAllocation,
        pki: Pki,
        api: ApiClient,
        dns: str,
        releases: Callable[[], Sequence[Path]],
    ) -> None:
        self.port = 0
        self._pod = pod
        self._files = folder / "mirrors" / pod.uid
        self._log = folder / "logs" / "mirrors" / f"{pod.name[:200]}.log"
        self._identity = identity
        self._pki = pki
        self._api = api
        self._dns = dns
        self._releases = releases
        self._program: linkerd.Program | None = None
        self._state = "starting"
        self._process: Process | None = None
        self._task = asyncio.create_task(self._run())

    def describe(self) -> dict[str, Any]:
        process = self._process.describe() if self._process else {}
        state = self._state
        if self._process:
            state = "running" if self._process.running else "restarting"
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
            await self._process.stop(grace=_GRACE)
        ports.release(self.port)
        shutil.rmtree(self._files, ignore_errors=True)

    async def _run(self) -> None:
        self._program = program = await self._find()
        self._state = "starting"
        self._files.mkdir(parents=True, exist_ok=True)
        token, configuration = self._files / "token", self._files / "kubeconfig"
        write_atomically(configuration, kubeconfig.for_token(self._pki, self._identity, token))
        while True:
            try:
                renewal = await asyncio.to_thread(self._renew, token)
            except (ApiError, OSError) as error:
                self._state = f"no token for service account {self._pod.service_account}: {error}"
                _log.warning("%s: pod %s: %s", self._identity.name, self._pod.name, self._state)
                await asyncio.sleep(2)
                continue
            if self._process is None:
                self._start(program, configuration)
            await asyncio.sleep(max(60.0, renewal - time.time()))

    async def _find(self) -> linkerd.Program:
        """The program for the pod's release; folders with it may be named at any time."""
        pod, said = self._pod, ""
        while True:
            try:
                found = await asyncio.to_thread(linkerd.service_mirror, pod.release, self._releases())
                if found is not None:
                    if found.release != pod.release:
                        _log.warning(
                            "%s: pod %s: %s in place of %s", self._identity.name, pod.name, found.release, pod.release
                        )
                    return found
                self._state = (
                    f"neither the toolchain nor {linkerd.VARIABLE} has a service mirror for release {pod.release}"
                )
            except LabError as error:
                self._state = str(error)
            if self._state != said:
                _log.error("%s: pod %s: %s", self._identity.name, pod.name, self._state)
                said = self._state
            await asyncio.sleep(2)

    def _start(self, program: linkerd.Program, configuration: Path) -> None:
        self.port = ports.choose()
        pod = self._pod
        given = arguments(pod.arguments, kubeconfig_file=configuration, metrics_port=self.port)
        process = Process(
            Command(
                name=f"service-mirror {pod.name}",
                argv=(str(program.path), *program.arguments, *given),
                log=self._log,
                port=self.port,
                environment={
                    **dict(pod.environment),
                    "HOSTNAME": pod.name,
                    "LAB_DNS_ADDRESS": self._dns,
                    # The probe asks for a short host name; the user part tells the responder whose namespace it means.
                    # API servers are HTTPS, and so stay direct.
                    "HTTP_PROXY": f"http://{pod.namespace}@127.0.0.1:{self._identity.ports.gateway}",
                },
            )
        )
        process.start()
        self._process = process

    def _renew(self, token: Path) -> float:
        """Write a new token of the pod's service account; when to do it again (seconds since 1970)."""
        # Not bound to the pod: kwok deletes pods at once, and the program wants to give its lease back after that.
        answer = self._api.create(
            f"/api/v1/namespaces/{self._pod.namespace}/serviceaccounts/{self._pod.service_account}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": _TOKEN_SECONDS},
            },
        )
        write_atomically(token, answer["status"]["token"])
        return time.time() + _TOKEN_SECONDS / 2
