"""A mesh under live requests: load clients in pods of the lab's data plane, and a report of each change."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from hack.lab.dataplane import images
from hack.traffic import report
from hack.traffic.load import RATE_PER_S, ClientSpec, Load, run_load
from hack.traffic.report import ClientReport
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers.changes_under_load import Change, TrafficClient, mesh_config
from tests.helpers.stack_under_test import StackUnderTest

STEADY_S = 3.0  # before and after a change
_STEADY_TIMEOUT_S = 60.0
_CLIENT_NAMESPACE, _CLIENT = "traffic", "client"
_READY_TIMEOUT_S = 90
_PROXY = "linkerd-proxy"
_RESULTS_HEADER = f"""# Requests during changes

Written by `make traffic`, with Linkerd {{release}}. Each client sends {RATE_PER_S} requests per second. A client begins
{STEADY_S:.0f} seconds before a change, and ends {STEADY_S:.0f} seconds after it. A request is lost if it gets no
answer, or a status of 400 or more. A gap is the time between two successful answers.

"""


@dataclass(kw_only=True)
class MeshUnderLoad:
    """A stack that is changed under live requests, and the reports of its changes.

    Attributes:
        stack: the stack.
        release: the Linkerd release of every configuration.
        results: files of the reports.
    """

    stack: StackUnderTest
    release: str
    results: TrafficResults
    _live: dict[str, Any] = field(default_factory=dict)
    _is_complete: bool = False  # whether an `up` has deployed `_live`
    _clusters_with_client: set[str] = field(default_factory=set)

    def configure(self, config: dict[str, Any]) -> None:
        """Write a configuration, without deploying it."""
        self._live, self._is_complete = config, False
        self.stack.configure({"linkerd": {"version": self.release}, **config})

    def apply(self, config: dict[str, Any]) -> None:
        """Deploy a configuration without load, unless it is deployed."""
        if config == self._live and self._is_complete:
            return
        try:
            self._deploy(config)
        except PulumiCommandError:
            # The program refuses some changes in one step, but none from or to a mesh without exports.
            self._deploy(mesh_config())
            self._deploy(config)

    def _deploy(self, config: dict[str, Any]) -> None:
        self.configure(config)
        self.stack.up()
        self._is_complete = True

    def change(self, change: Change) -> None:
        """Change the configuration by one `up` under load, and require that no request is lost."""
        self.apply(change.before)
        self.configure(change.after)
        self.disturb(change.name, self.stack.up, change.clients)

    def disturb(
        self, name: str, action: Callable[[], None], clients: Sequence[TrafficClient], *, allowed_loss: int | None = 0
    ) -> None:
        """Run an action under load, and require that none of its requests is lost.

        Args:
            name: description in the report.
            action: the action, such as an `up`.
            clients: clients that send the requests.
            allowed_loss: greatest number of lost requests; None if any number is only reported.
        """
        with self.load(name, clients) as load:
            began = time.monotonic()
            action()
            duration_s = time.monotonic() - began
        self._is_complete = True
        reports = load.report(name, duration_s)
        self.results.add(name, reports)
        lost = [report.format_loss(each) for each in reports if each.lost_count]
        count = sum(each.lost_count for each in reports)
        assert allowed_loss is None or count <= allowed_loss, "\n".join([f"{name}:", *lost])

    def destroy(self) -> None:
        """Delete the client pods, whose identities end with the mesh, and destroy the stack."""
        for cluster in self._clusters_with_client:
            self.stack.kubectl(self.stack.contexts[cluster], "delete", "namespace", _CLIENT_NAMESPACE)
        self._clusters_with_client.clear()
        if self.stack.has_resources:
            self.stack.destroy()

    @contextmanager
    def load(self, name: str, clients: Sequence[TrafficClient]) -> Iterator[Load]:
        """Send requests from before the body, once all succeed, until after it."""
        for cluster in {client.cluster for client in clients} - self._clusters_with_client:
            self._create_client_pod(cluster)
        specs = [spec for client in clients for spec in self._specs(client)]
        with run_load(specs, self.stack.environment) as load:
            load.wait_until_steady(steady_s=STEADY_S, timeout_s=_STEADY_TIMEOUT_S)
            yield load
            time.sleep(STEADY_S)
        self._write_answers(name, load)

    def _specs(self, client: TrafficClient) -> Iterator[ClientSpec]:
        """Yield the load clients: for HTTP, one that opens a connection per request, and one that keeps connections."""
        context = ("kubectl", "--context", self.stack.contexts[client.cluster], "-n", _CLIENT_NAMESPACE)
        spec = ClientSpec(
            name=client.name,
            command=(*context, "exec", "-i", _CLIENT, "-c", _CLIENT, "--"),
            url=client.url,
            origin_pattern=client.origin,
        )
        if client.is_grpc:
            # The container has the interpreter and the packages of the lab.
            variables = {"PYTHONPATH": images.PACKAGES_TARGET, **images.PYTHON_VARIABLES}
            interpreter = ("env", *(f"{name}={value}" for name, value in variables.items()), *images.PYTHON_COMMAND)
            yield replace(spec, interpreter=interpreter, keeps_connections=True)
        else:
            yield replace(spec, name=f"{client.name}, new connections")
            yield replace(spec, name=f"{client.name}, kept connections", keeps_connections=True)

    def _create_client_pod(self, cluster: str) -> None:
        """Create a meshed pod that no change of the stack affects."""
        context = ("kubectl", "--context", self.stack.contexts[cluster])
        manifests = yaml.safe_dump_all(client_manifests())
        subprocess.run(
            [*context, "apply", "-f", "-"], env=self.stack.environment, input=manifests, text=True, check=True
        )
        ready = ("wait", "--for=condition=Ready", f"--timeout={_READY_TIMEOUT_S}s", f"pod/{_CLIENT}")
        subprocess.run([*context, "-n", _CLIENT_NAMESPACE, *ready], env=self.stack.environment, check=True)
        self._clusters_with_client.add(cluster)

    def _write_answers(self, name: str, load: Load) -> None:
        """Write every failed request next to Pulumi's output, for a diagnosis."""
        with self.stack.output.open("a") as log:
            for client, answers in load.answers().items():
                for answer in answers:
                    if not answer.is_success:
                        log.write(f"{name}: {client}: {time.strftime('%X', time.gmtime(answer.at))} {answer}\n")


class TrafficResults:
    """Reports of all changes, as Markdown and JSON; a change that is measured again replaces its report.

    Args:
        folder: folder of both files.
        release: the Linkerd release of the mesh.
    """

    def __init__(self, folder: Path, release: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._release = release
        self._json, self._markdown = folder / "traffic.json", folder / "traffic.md"

    def add(self, change: str, reports: Sequence[ClientReport]) -> None:
        """Add the reports of one change, and write both files."""
        known = report.parse_json(self._json.read_text()) if self._json.exists() else []
        every = [each for each in known if each.change != change] + list(reports)
        self._json.write_text(report.format_json(every))
        self._markdown.write_text(f"{_RESULTS_HEADER.format(release=self._release)}{report.format_markdown(every)}")


def client_manifests() -> list[Mapping[str, Any]]:
    """Return the client pod and its namespace."""
    metadata = {"name": _CLIENT, "namespace": _CLIENT_NAMESPACE, "annotations": {"linkerd.io/inject": "enabled"}}
    container = {"name": _CLIENT, "image": "curlimages/curl:8.12.1", "command": ["sleep", "infinity"]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _CLIENT_NAMESPACE}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}},
    ]


def list_unmeshed_pods(stack: StackUnderTest, cluster: str) -> list[str]:
    """Return the pods that must have a proxy and have none, as namespace/name."""
    return [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in stack.list_objects(stack.contexts[cluster], "pods", "--all-namespaces")
        if (pod["metadata"].get("annotations") or {}).get("linkerd.io/inject") == "enabled"
        and _PROXY
        not in {each["name"] for each in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])}
    ]
