"""Stacks that tests deploy on the shared lab, with Pulumi's output in a file."""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml
from dnslib import DNSRecord

from hack.lab import spec
from hack.lab.state_dir import StateDir
from hack.make import environment, stack
from hack.make.check import Checker
from hack.make.check_result import CheckResult
from hack.make.lab_pulumi_stack import LabPulumiStack
from mesh.config import PROJECT
from mesh.paths import PROJECT_ROOT
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers.stack_configs import with_lab_release

Result = TypeVar("Result")

REFUSAL = "before anything was changed"
"""A part of Pulumi's output after the preflight has refused an update."""


class StackUnderTest:
    """A stack on the lab.

    Args:
        lab: the lab.
        folder: folder of the stack file and of Pulumi's output.
        name: name of the stack.
        config: configuration of the stack; its keys lack the project's prefix.
        secrets: configuration values that Pulumi encrypts, by path, such as `trust.issuers.east.key`.
    """

    def __init__(
        self, lab: StateDir, folder: Path, name: str, config: dict[str, Any], secrets: Mapping[str, str] | None = None
    ) -> None:
        self.lab = lab
        self.name = name
        self.output = folder / "output.log"
        self.objects_before: dict[str, dict[str, Any]] = {}
        self._file = folder / "stack.yaml"
        self.configure(config, secrets)
        environment.create_folders(lab)

    def configure(self, config: dict[str, Any], secrets: Mapping[str, str] | None = None) -> None:
        """Replace the configuration in the stack file."""
        self.config = with_lab_release(config)
        self.secrets = dict(secrets or {})
        self._salt: str | None = None  # salt of the encrypted secrets
        self._write(dict.fromkeys(self.secrets, ""))
        self.stack = stack.read_stack(self.name, self._file)
        # The CLI depends on the Linkerd release.
        self.environment = environment.build_environment(self.lab, self.stack.linkerd_version)

    def _write(self, encrypted: Mapping[str, str]) -> None:
        config = copy.deepcopy(self.config)
        for path, value in encrypted.items():
            *outer, last = path.split(".")
            container = config
            for key in outer:
                container = container.setdefault(key, {})
            container[last] = {"secure": value}
        self._file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}))

    def _encrypt(self) -> None:
        """Let Pulumi encrypt the secrets in its workspace, whose copy of the stack file contains the salt."""
        workspace = self.lab.folder / "stacks" / self.name
        pulumi_copy = workspace / f"Pulumi.{self.name}.yaml"
        if not self.secrets or self._salt == yaml.safe_load(pulumi_copy.read_text())["encryptionsalt"]:
            return
        values = [f"--secret={PROJECT}:{path}={value}" for path, value in self.secrets.items()]
        self.run("pulumi", "--cwd", str(workspace), "config", "set-all", "--stack", self.name, "--path", *values)
        content = yaml.safe_load(pulumi_copy.read_text())
        encrypted = {}
        for path in self.secrets:
            encrypted_value = content["config"]
            for key in f"{PROJECT}:{path}".split("."):
                encrypted_value = encrypted_value[key]
            encrypted[path] = encrypted_value["secure"]
        self._salt = content["encryptionsalt"]
        self._write(encrypted)

    @property
    def link_pairs(self) -> list[tuple[str, str]]:
        """Return the source and the target of each link."""
        return [(link.source, link.target) for link in self.stack.links]

    @contextmanager
    def engine(self) -> Iterator[LabPulumiStack]:
        """Yield Pulumi for this stack, and create the stack if it does not exist."""
        with self.output.open("a") as log:
            engine = LabPulumiStack(self.lab, self.stack, self.environment, log)
            engine.initialise()
            self._encrypt()
            yield engine

    def up(self, *arguments: str) -> None:
        """Run `pulumi up`."""
        with self.engine() as engine:
            engine.up(*arguments)

    def up_expecting_failure(self) -> str:
        """Run `pulumi up`, require that it fails, and return its output."""
        old_length = len(self.output.read_text()) if self.output.exists() else 0
        with pytest.raises(PulumiCommandError):
            self.up()
        return self.output.read_text()[old_length:]

    @contextmanager
    def interrupted_up(self) -> Iterator[None]:
        """Run `pulumi up` until exit, then kill it with all its children."""
        with self.engine() as engine, self._killed_at_exit(engine.up_command()):
            yield

    @contextmanager
    def interrupted_destroy(self) -> Iterator[None]:
        """Run `pulumi destroy` until exit, then kill it with all its children."""
        with self.engine() as engine, self._killed_at_exit(engine.destroy_command()):
            yield

    @contextmanager
    def _killed_at_exit(self, arguments: list[str]) -> Iterator[None]:
        with self.output.open("a") as log:
            process = subprocess.Popen(
                ["pulumi", *arguments], cwd=PROJECT_ROOT, env=self.environment, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            # Each provider has its own process group and would otherwise complete its operation.
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()

    def preview_changes(self) -> dict[str, str]:
        """Return the operation of `pulumi preview` per resource, as `Kind name`.

        Unchanged resources and pure reads are omitted.
        """
        with self.engine() as engine:
            command = ["pulumi", *engine.preview_command("--json")]
            # Unlike the tools of `run`, a preview needs network access to the chart repository.
            result = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        steps = json.loads(result.stdout)["steps"]
        idle = {"same", "read", "discard"}
        return {_resource_label(step["urn"]): step["op"] for step in steps if step["op"] not in idle}

    def destroy(self) -> None:
        """Run `pulumi destroy`."""
        with self.engine() as engine:
            engine.destroy()

    def run_checks(self) -> list[CheckResult]:
        """Return the results of `make check`."""
        has_dataplane = spec.load(self.lab).has_dataplane
        return list(Checker(self.stack, self.environment, has_dataplane=has_dataplane).rows())

    @property
    def contexts(self) -> dict[str, str]:
        """Return the context of each cluster by name."""
        return {cluster.name: cluster.context for cluster in self.stack.clusters}

    @property
    def has_resources(self) -> bool:
        """Return whether the stack state contains resources."""
        try:
            return '"resources"' in self.state
        except FileNotFoundError:
            return False

    @property
    def state(self) -> str:
        """Return the content of the state file."""
        return (self.lab.folder / "state/.pulumi/stacks" / PROJECT / f"{self.name}.json").read_text()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a tool in the stack's environment, without internet access."""
        offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
        return subprocess.run(
            command, env={**self.environment, **offline}, check=check, capture_output=True, text=True, timeout=120
        )

    def kubectl(self, context: str, *arguments: str) -> str:
        """Run `kubectl` and return its output."""
        return self.run("kubectl", "--context", context, *arguments).stdout

    def list_objects(self, context: str, *arguments: str) -> list[dict[str, Any]]:
        """Return the items of `kubectl get … -o json`."""
        items: list[dict[str, Any]] = json.loads(self.kubectl(context, "get", *arguments, "-o", "json"))["items"]
        return items

    def get_object(self, context: str, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """Return one object of a cluster."""
        item: dict[str, Any] = json.loads(self.kubectl(context, "-n", namespace, "get", kind, name, "-o", "json"))
        return item

    def list_exported_services(self, cluster: str) -> list[tuple[str, str]]:
        """Return namespace and name of each service that a cluster exports."""
        label = ("-l", "mirror.linkerd.io/exported=true")
        services = self.list_objects(self.contexts[cluster], "services", "--all-namespaces", *label)
        return [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in services]

    def has_object(self, context: str, kind: str, name: str, namespace: str = "default") -> bool:
        """Return whether a cluster has an object."""
        return bool(self.kubectl(context, "-n", namespace, "get", kind, name, "--ignore-not-found", "-o", "name"))

    def is_restored(self, context: str) -> bool:
        """Return whether a cluster has exactly the objects that it had before the deployment."""
        return list_all_objects(self, context).keys() == self.objects_before[context].keys()

    def resolve(self, address: str) -> str:
        """Return the IP address of a host name from the lab's DNS; an IP address is returned unchanged."""
        if address.replace(".", "").isdigit():
            return address
        host, port = self.lab.read_status()["dns"].split(":")
        answer = DNSRecord.parse(DNSRecord.question(address).send(host, int(port)))
        return str(answer.get_a().rdata)


@contextmanager
def deploy(
    lab: StateDir, folder: Path, name: str, config: dict[str, Any], secrets: Mapping[str, str] | None = None
) -> Iterator[StackUnderTest]:
    """Deploy a stack, yield it, and destroy it on exit.

    The former objects of its clusters are in `objects_before`.
    """
    lab_stack = StackUnderTest(lab, folder, name, config, secrets)
    lab_stack.objects_before = {
        cluster.context: list_all_objects(lab_stack, cluster.context) for cluster in lab_stack.stack.reachable_clusters
    }
    with lab_stack.engine() as engine:
        engine.up()
    yield lab_stack
    if lab_stack.has_resources:
        lab_stack.destroy()


def run_for_each(function: Callable[[str], Result], names: Iterable[str]) -> dict[str, Result]:
    """Call a function for each name concurrently, and return the results by name.

    Raises:
        ExceptionGroup: with the error of each failed call and a note with its name.
    """
    results: dict[str, Result] = {}
    errors: list[Exception] = []
    with ThreadPoolExecutor() as pool:
        futures = {name: pool.submit(function, name) for name in names}
    for name, future in futures.items():
        try:
            results[name] = future.result()
        except Exception as error:
            error.add_note(f"for {name}")
            errors.append(error)
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {len(futures)} failed", errors)
    return results


def _resource_label(urn: str) -> str:
    kind, name = urn.rsplit("::", 2)[1:]
    return f"{kind.rsplit(':', 1)[1]} {name}"


def wait_until(condition: Callable[[], bool], timeout_s: float = 30) -> bool:
    """Wait until a condition is true; return False after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def list_all_objects(lab_stack: StackUnderTest, context: str) -> dict[str, Any]:
    """Return every object of an API server by kind, namespace and name.

    Fields that change without a request, such as `status`, are removed.
    """
    kinds: dict[tuple[str, str], str] = {}
    for line in lab_stack.kubectl(context, "api-resources", "--verbs=list", "--no-headers").splitlines():
        # Short names can stand between the name and the version.
        name, *_, version, _, kind = line.split()
        if name not in {"events", "leases", "componentstatuses"}:
            kinds[version, kind] = ".".join(filter(None, (name, version.rpartition("/")[0])))
    objects: dict[str, Any] = {}
    for item in lab_stack.list_objects(context, ",".join(kinds.values()), "--all-namespaces"):
        metadata = item["metadata"]
        for field in ("resourceVersion", "managedFields", "generation"):
            metadata.pop(field, None)
        item.pop("status", None)
        kind = kinds[item["apiVersion"], item["kind"]]
        objects[f"{kind}/{metadata.get('namespace', '')}/{metadata['name']}"] = item
    return objects
