"""Pods: namespaces, volumes and containers, from the creation of a pod until its deletion."""

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiClient, ApiError
from hack.lab.dataplane import addresses, forwarding, namespaces, network
from hack.lab.dataplane.addresses import PodAddresses
from hack.lab.dataplane.containers import Container, PodContext
from hack.lab.dataplane.environment import FindObject, MissingObjectError, PodFields
from hack.lab.dataplane.informer import Informer
from hack.lab.dataplane.status import pod_status
from hack.lab.dataplane.volumes import project_files, token_requests, write_files

CLUSTER_DOMAIN = "cluster.local"

_DEFAULT_TOKEN_LIFETIME_S, _MIN_TOKEN_LIFETIME_S = 24 * 3600, 3600
_TOKEN_RENEWAL_INTERVAL_S = _MIN_TOKEN_LIFETIME_S / 2
_RETRY_INTERVAL_S = 1.0
_NOT_FOUND, _CONFLICT = 404, 409
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NodeContext:
    """The parts of a cluster that all of its pods share."""

    allocation: ClusterAllocation
    api: ApiClient
    nodes: namespaces.NamespaceHolder
    addresses: Mapping[str, PodAddresses]  # by node
    secrets: Informer
    config_maps: Informer
    pods_folder: Path
    log_folder: Path
    linkerd_folders: Sequence[Path]
    start_delay_s: float
    api_server_ports: Callable[[], Sequence[int]]  # all clusters
    publish: Callable[[], None]  # writes the state file


class Pod:
    """One pod on this cluster's nodes."""

    def __init__(self, node: NodeContext, pod: dict[str, Any]) -> None:
        """Prepare the pod without starting it."""
        self._node = node
        self._pod = pod
        self._metadata, self._spec = pod["metadata"], pod["spec"]
        self.name = f"{self._metadata['namespace']}/{self._metadata['name']}"
        self.uid: str = self._metadata["uid"]
        self._path = f"/api/v1/namespaces/{self._metadata['namespace']}/pods/{self._metadata['name']}"
        self._folder = node.pods_folder / self.uid
        self._holder: namespaces.NamespaceHolder | None = None
        self._address: str | None = None
        self._containers: list[Container] = []
        self._servers: dict[int, asyncio.Server] = {}
        self._run_task: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []  # with `_run_task`
        self._status: dict[str, Any] = dict(pod.get("status") or {})
        self._reported: dict[str, Any] = {}
        self._status_changed = asyncio.Event()
        self._termination: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run the pod in the background."""
        self._run_task = asyncio.create_task(self._run())
        others = (self._report_changes(), self._renew_tokens())
        self._tasks = [self._run_task, *(asyncio.create_task(work) for work in others)]

    def terminate(self, grace_s: float) -> asyncio.Task[None]:
        """Stop the containers within `grace_s` seconds, then delete the pod."""
        if self._termination is None:
            self._termination = asyncio.create_task(self._terminate(grace_s))
        return self._termination

    def kill(self) -> None:
        """Kill all processes at once, without waiting."""
        for task in self._tasks:
            task.cancel()
        for server in self._servers.values():
            server.close()
        if self._holder is not None:
            self._holder.kill()

    def describe(self) -> dict[str, Any]:
        """Return the pod's entry for the data plane's state file."""
        containers = {container.name: container.describe() for container in self._containers if container.is_running}
        return {"address": self._address, "node": self._spec["nodeName"], "containers": containers}

    async def update_forwarding(self) -> None:
        """Let the pod reach the lab's API servers at the loopback addresses in the lab's kubeconfig."""
        if self._holder is None:
            return
        for port in self._node.api_server_ports():
            if port not in self._servers:
                with contextlib.suppress(OSError):  # the pod ends, or uses the port itself
                    self._servers[port] = await forwarding.forward(self._holder.network, "127.0.0.1", port)

    async def _run(self) -> None:
        while True:
            try:
                await self._set_up()
                break
            except MissingObjectError as error:
                _log.info("%s: %s", self.name, error)
                await self._wait_for_objects()
            except (ApiError, OSError, namespaces.NamespaceError, ValueError) as error:
                _log.error("%s: %s; retrying", self.name, error)
                await asyncio.sleep(_RETRY_INTERVAL_S)
        try:
            await self._run_containers()
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("%s: failed", self.name)
            raise

    async def _set_up(self) -> None:
        if self._holder is None:
            await self._connect()
        await self.update_forwarding()
        self._write_name_resolution()
        await self._write_volumes()
        if not self._containers:
            self._containers = self._create_containers()
            self._request_report()

    async def _connect(self) -> None:
        """Create the pod's namespaces, and connect them to the node; a failure leaves neither."""
        self._folder.mkdir(parents=True, exist_ok=True)
        pool = self._node.addresses[self._spec["nodeName"]]
        address, holder = pool.allocate(), None
        try:
            holder = await namespaces.hold_pod()
            network.add_pod(self._node.nodes.network, holder, address, self.uid)
        except BaseException:
            pool.release(address)
            if holder is not None:
                holder.kill()
            raise
        self._address, self._holder = address, holder

    def _create_containers(self) -> list[Container]:
        context = PodContext(
            pod=self._pod,
            namespaces=self._require_holder(),
            nodes=self._node.nodes.network,
            fields=self._fields(),
            folder=self._folder,
            log_folder=self._node.log_folder,
            linkerd_folders=self._node.linkerd_folders,
            service_ip=self._node.allocation.first_service_ip,
            find=self._find(),
            start_delay_s=self._node.start_delay_s,
            report=self._request_report,
            wait_for_objects=self._wait_for_objects,
        )
        restarts = _count_restarts(self._status)
        init, main = self._spec.get("initContainers") or [], self._spec["containers"]
        return [
            *(Container(context, spec, is_init=True, restarts=restarts.get(spec["name"], 0)) for spec in init),
            *(Container(context, spec, is_init=False, restarts=restarts.get(spec["name"], 0)) for spec in main),
        ]

    async def _run_containers(self) -> None:
        for container in (each for each in self._containers if each.is_init):
            if container.is_sidecar:
                await container.start()
                self._supervise(container)
                await container.started.wait()
            elif not await container.run_to_completion():
                return
        supervised = []
        for container in (each for each in self._containers if not each.is_init):
            await container.start()
            supervised.append(self._supervise(container))
        await asyncio.gather(*supervised)
        # All containers have ended for good, so the sidecars end too.
        await self._stop_sidecars(asyncio.get_running_loop().time() + self._grace_s())
        self._require_holder().kill()
        self._request_report()

    def _supervise(self, container: Container) -> asyncio.Task[None]:
        task = asyncio.create_task(container.keep_running())
        self._tasks.append(task)
        return task

    async def _wait_for_objects(self) -> None:
        changes = [
            asyncio.create_task(informer.wait_for_change()) for informer in (self._node.secrets, self._node.config_maps)
        ]
        try:
            await asyncio.wait(changes, timeout=_RETRY_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for change in changes:
                change.cancel()

    def refresh_volumes(self) -> None:
        """Write the volumes again after a change of a Secret or ConfigMap."""
        if self._containers and self._termination is None:
            with contextlib.suppress(MissingObjectError, OSError):
                self._write_objects()

    async def _write_volumes(self) -> None:
        self._write_objects()
        await self._write_tokens()

    async def _renew_tokens(self) -> None:
        while True:
            await asyncio.sleep(_TOKEN_RENEWAL_INTERVAL_S)
            with contextlib.suppress(ApiError, OSError):  # the next renewal is early enough
                await self._write_tokens()

    async def _write_tokens(self) -> None:
        for volume in self._spec.get("volumes") or []:
            for request in token_requests(volume):
                token = await asyncio.to_thread(self._request_token, request)
                path = self._folder / "volumes" / volume["name"] / request["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f"..{path.name}")
                temporary.write_text(token)
                temporary.replace(path)

    def _write_objects(self) -> None:
        for volume in self._spec.get("volumes") or []:
            folder = self._folder / "volumes" / volume["name"]
            files = project_files(volume, self._fields(), self._find())
            if files is None:
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o777)
            else:
                write_files(folder, files)

    def _request_token(self, request: Mapping[str, Any]) -> str:
        account = self._spec.get("serviceAccountName", "default")
        audience = request.get("audience")
        seconds = _DEFAULT_TOKEN_LIFETIME_S
        if audience:
            seconds = max(_MIN_TOKEN_LIFETIME_S, request.get("expirationSeconds") or seconds)
        answer = self._node.api.create(
            f"/api/v1/namespaces/{self._metadata['namespace']}/serviceaccounts/{account}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {
                    "expirationSeconds": seconds,
                    **({"audiences": [audience]} if audience else {}),
                    "boundObjectRef": {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "name": self._metadata["name"],
                        "uid": self.uid,
                    },
                },
            },
        )
        return str(answer["status"]["token"])

    def _write_name_resolution(self) -> None:
        namespace = self._metadata["namespace"]
        search = f"{namespace}.svc.{CLUSTER_DOMAIN} svc.{CLUSTER_DOMAIN} {CLUSTER_DOMAIN}"
        (self._folder / "resolv.conf").write_text(
            f"nameserver {addresses.DNS_ADDRESS}\nsearch {search}\noptions ndots:5\n"
        )
        (self._folder / "hosts").write_text(f"127.0.0.1 localhost\n{self._address} {self._metadata['name']}\n")

    async def _terminate(self, grace_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + grace_s
        if self._run_task is not None:
            self._run_task.cancel()  # no further containers are started
        await asyncio.gather(*(each.stop(deadline) for each in self._containers if not each.is_sidecar))
        await self._stop_sidecars(deadline)
        self.kill()
        if self._address is not None:
            self._node.addresses[self._spec["nodeName"]].release(self._address)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        await self._delete()

    async def _stop_sidecars(self, deadline: float) -> None:
        for container in reversed([each for each in self._containers if each.is_sidecar]):
            await container.stop(deadline)

    async def _delete(self) -> None:
        """Delete the pod's object, which the API server keeps until its kubelet confirms the end of the containers."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.uid},
        }
        while True:
            try:
                await asyncio.to_thread(self._node.api.delete, self._path, body=options)
                return
            except ApiError as error:
                if error.status in (_NOT_FOUND, _CONFLICT):
                    return
                _log.warning("%s: deleting: %s; retrying", self.name, error)
            except OSError as error:
                _log.info("%s: deleting: %s; retrying", self.name, error)
            await asyncio.sleep(_RETRY_INTERVAL_S)

    def _request_report(self) -> None:
        self._status_changed.set()
        self._node.publish()

    async def _report_changes(self) -> None:
        while True:
            await self._status_changed.wait()
            self._status_changed.clear()
            status = self._current_status()
            if status == self._reported:
                continue
            # A merge patch replaces lists as a whole; the precondition protects a new pod with the same name.
            patch = {"metadata": {"uid": self.uid}, "status": status}
            try:
                await asyncio.to_thread(self._node.api.patch, f"{self._path}/status", patch)
                self._status = self._reported = status
            except ApiError as error:
                if error.status not in (_NOT_FOUND, _CONFLICT):
                    _log.warning("%s: status: %s; retrying", self.name, error)
                    await self._retry_report()
            except OSError as error:
                _log.info("%s: status: %s; retrying", self.name, error)
                await self._retry_report()

    async def _retry_report(self) -> None:
        await asyncio.sleep(_RETRY_INTERVAL_S)
        self._status_changed.set()

    def _current_status(self) -> dict[str, Any]:
        states = [container.state() for container in self._containers]
        return pod_status(
            states,
            restart_policy=self._spec.get("restartPolicy", "Always"),
            address=self._address,
            node_address=self._node_address(),
            previous=self._status,
            now=time.time(),
        )

    def _fields(self) -> PodFields:
        return PodFields(pod=self._pod, address=self._address or "", node_address=self._node_address())

    def _find(self) -> FindObject:
        informers = {"secret": self._node.secrets, "configMap": self._node.config_maps}
        return lambda kind, name: informers[kind].get(self._metadata["namespace"], name)

    def _node_address(self) -> str:
        allocation = self._node.allocation
        return dict(zip(allocation.node_names, allocation.node_addresses, strict=True))[self._spec["nodeName"]]

    def _grace_s(self) -> float:
        return float(self._spec.get("terminationGracePeriodSeconds") or 0)

    def _require_holder(self) -> namespaces.NamespaceHolder:
        assert self._holder is not None
        return self._holder


def _count_restarts(status: Mapping[str, Any]) -> dict[str, int]:
    """Return the restarts of each container before this process, which restarts containers that ran before."""
    entries = (*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or []))
    return {entry["name"]: int(entry.get("restartCount", 0)) + 1 for entry in entries if entry.get("containerID")}
