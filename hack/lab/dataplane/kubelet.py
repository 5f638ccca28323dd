"""Kubelet of all nodes of a cluster: runs the pods that are bound to them."""

import asyncio
import logging
import shutil
from collections.abc import Coroutine, Sequence
from typing import Any

from hack.lab.dataplane.informer import Informer
from hack.lab.dataplane.pods import NodeContext, Pod

_PORTS_POLL_INTERVAL_S = 2.0
_log = logging.getLogger(__name__)


class Kubelet:
    """The pods of one cluster."""

    def __init__(self, node: NodeContext) -> None:
        """Prepare the kubelet without starting it."""
        self._node = node
        self._pods: dict[str, Pod] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._informer = Informer(node.api, "/api/v1/pods", on_change=self._handle)

    def start(self) -> None:
        """Run the pods; the files of an earlier process are deleted."""
        shutil.rmtree(self._node.pods_folder, ignore_errors=True)
        self._informer.start()
        for watch in (self._watch_ports(), self._refresh(self._node.secrets), self._refresh(self._node.config_maps)):
            self._run(watch)

    async def wait_until_synced(self) -> None:
        """Wait until the pods that exist are known."""
        await self._informer.wait_until_synced()

    def kill(self) -> None:
        """Kill the processes of all pods, without waiting; their objects stay."""
        for pod in self._pods.values():
            pod.kill()

    def describe(self) -> dict[str, Any]:
        """Return the entries of all pods for the data plane's state file."""
        return {pod.name: pod.describe() for pod in self._pods.values()}

    def _handle(self, item: dict[str, Any], is_deleted: bool) -> None:
        metadata = item["metadata"]
        uid, node = metadata["uid"], item["spec"].get("nodeName")
        if node not in self._node.addresses:
            return
        pod = self._pods.get(uid)
        if is_deleted:
            if pod is not None:
                # Deleted by force, or by this kubelet itself after the end of the containers.
                self._run(self._end(uid, pod, 0))
        elif metadata.get("deletionTimestamp"):
            pod = pod or self._add(item)
            self._run(self._end(uid, pod, float(metadata.get("deletionGracePeriodSeconds") or 0)))
        elif pod is None and item.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self._add(item).start()

    def _add(self, item: dict[str, Any]) -> Pod:
        pod = Pod(self._node, item)
        self._pods[pod.uid] = pod
        return pod

    async def _end(self, uid: str, pod: Pod, grace_s: float) -> None:
        await pod.terminate(grace_s)
        if self._pods.pop(uid, None):
            _log.info("%s: deleted", pod.name)
            self._node.publish()

    async def _refresh(self, informer: Informer) -> None:
        while True:
            await informer.wait_for_change()
            for pod in list(self._pods.values()):
                pod.refresh_volumes()

    async def _watch_ports(self) -> None:
        """Give pods access to API servers of clusters that are started after them."""
        former: Sequence[int] = self._node.api_server_ports()
        while True:
            await asyncio.sleep(_PORTS_POLL_INTERVAL_S)
            if (ports := self._node.api_server_ports()) != former:
                former = ports
                for pod in list(self._pods.values()):
                    await pod.update_forwarding()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._report_failure)

    def _report_failure(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("kubelet: %r", error, exc_info=error)
