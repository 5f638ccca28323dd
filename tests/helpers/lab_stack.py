"""A stack that a test brings up on the shared lab, with everything that Pulumi prints kept for it."""

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

from hack.lab.state_dir import StateDir
from hack.make import environment, stack
from hack.make.check import Checker
from hack.make.check_result import CheckResult
from hack.make.lab_pulumi_stack import LabPulumiStack
from mesh.paths import PROJECT_ROOT
from mesh.pulumi_cli import PulumiCommandError

PROJECT = stack.PROJECT
Result = TypeVar("Result")


class LabStack:
    """One stack on the lab.

    Args:
        lab: the lab.
        folder: where its stack file and its output go.
        name: the stack's name.
        config: its configuration, keys without the project's prefix.
        secrets: values of it that Pulumi encrypts, by their paths, such as `trust.issuers.east.key`.
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
        """Change the stack file."""
        self.config = config
        self.secrets = dict(secrets or {})
        self._salt: str | None = None  # with which the stack file's secrets are encrypted
        self._write(dict.fromkeys(self.secrets, ""))
        self.stack = stack.read_stack(self.name, self._file)
        # Another release of Linkerd has another CLI.
        self.environment = environment.build_environment(self.lab, self.stack.linkerd_version)

    def _write(self, encrypted: Mapping[str, str]) -> None:
        found = copy.deepcopy(self.config)
        for path, value in encrypted.items():
            *outer, last = path.split(".")
            place = found
            for key in outer:
                place = place.setdefault(key, {})
            place[last] = {"secure": value}
        self._file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in found.items()}}))

    def _encrypt(self) -> None:
        """Have Pulumi encrypt the secrets, where its copy of the stack file with the salt is."""
        workspace = self.lab.folder / "stacks" / self.name
        copied = workspace / f"Pulumi.{self.name}.yaml"
        if not self.secrets or self._salt == yaml.safe_load(copied.read_text())["encryptionsalt"]:
            return
        values = [f"--secret={PROJECT}:{path}={value}" for path, value in self.secrets.items()]
        self.run("pulumi", "--cwd", str(workspace), "config", "set-all", "--stack", self.name, "--path", *values)
        content = yaml.safe_load(copied.read_text())
        encrypted = {}
        for path in self.secrets:
            found = content["config"]
            for key in f"{PROJECT}:{path}".split("."):
                found = found[key]
            encrypted[path] = found["secure"]
        self._salt = content["encryptionsalt"]
        self._write(encrypted)

    @property
    def link_pairs(self) -> list[tuple[str, str]]:
        """Source and target of each link."""
        return [(link.source, link.target) for link in self.stack.links]

    @contextmanager
    def engine(self) -> Iterator[LabPulumiStack]:
        """Pulumi for this stack; the stack is made if need be."""
        with self.output.open("a") as log:
            engine = LabPulumiStack(self.lab, self.stack, self.environment, log)
            engine.initialise()
            self._encrypt()
            yield engine

    def up(self, *arguments: str) -> None:
        """`pulumi up`."""
        with self.engine() as engine:
            engine.up(*arguments)

    def up_expecting_failure(self) -> str:
        """What is printed by a `pulumi up` that must not succeed."""
        printed_before = len(self.output.read_text()) if self.output.exists() else 0
        with pytest.raises(PulumiCommandError):
            self.up()
        return self.output.read_text()[printed_before:]

    @contextmanager
    def interrupted_up(self) -> Iterator[None]:
        """A `pulumi up` that is under way as long as this is entered, and is then killed with all that it runs."""
        with self.engine() as engine:
            process = subprocess.Popen(
                ["pulumi", *engine.up_command()],
                cwd=PROJECT_ROOT,
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                yield
            finally:
                # The providers, too: each is in a process group of its own, and would end its work or wait for it.
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()

    def preview_changes(self) -> dict[str, str]:
        """What `pulumi preview` would do to each resource, as `Kind name`; what stays or is only read, is left out."""
        with self.engine() as engine:
            command = ["pulumi", *engine.preview_command("--json")]
            # Its folder is the program's; unlike other tools it must reach the charts and is asked for no versions.
            ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        steps = json.loads(ended.stdout)["steps"]
        idle = {"same", "read", "discard"}
        return {_resource_label(step["urn"]): step["op"] for step in steps if step["op"] not in idle}

    def destroy(self) -> None:
        """`pulumi destroy`."""
        with self.engine() as engine:
            engine.destroy()

    def run_checks(self) -> list[CheckResult]:
        """The table of `make check`."""
        return list(Checker(self.stack, self.environment).rows())

    @property
    def contexts(self) -> dict[str, str]:
        """Each cluster's context."""
        return {cluster.name: cluster.context for cluster in self.stack.clusters}

    @property
    def has_resources(self) -> bool:
        """Whether there is something to destroy."""
        try:
            return '"resources"' in self.state
        except FileNotFoundError:
            return False

    @property
    def state(self) -> str:
        """The state file, as it lies on the disk."""
        return (self.lab.folder / "state/.pulumi/stacks" / PROJECT / f"{self.name}.json").read_text()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A tool in the deployment's environment; it sees the lab's clusters only, and not the internet."""
        offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
        return subprocess.run(
            command, env={**self.environment, **offline}, check=check, capture_output=True, text=True, timeout=120
        )

    def kubectl(self, context: str, *arguments: str) -> str:
        """What `kubectl` prints."""
        return self.run("kubectl", "--context", context, *arguments).stdout

    def list_objects(self, context: str, *arguments: str) -> list[dict[str, Any]]:
        """What `kubectl get … -o json` lists."""
        items: list[dict[str, Any]] = json.loads(self.kubectl(context, "get", *arguments, "-o", "json"))["items"]
        return items

    def get_object(self, context: str, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = json.loads(self.kubectl(context, "-n", namespace, "get", kind, name, "-o", "json"))
        return found

    def list_exported_services(self, cluster: str) -> list[tuple[str, str]]:
        """Namespace and name of each service that a cluster exports."""
        label = ("-l", "mirror.linkerd.io/exported=true")
        found = self.list_objects(self.contexts[cluster], "services", "--all-namespaces", *label)
        return [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in found]

    def has_object(self, context: str, kind: str, name: str, namespace: str = "default") -> bool:
        """Whether a cluster has an object."""
        return bool(self.kubectl(context, "-n", namespace, "get", kind, name, "--ignore-not-found", "-o", "name"))

    def is_restored(self, context: str) -> bool:
        """Whether a cluster has the very objects that it had before the stack was brought up."""
        return list_all_objects(self, context).keys() == self.objects_before[context].keys()

    def resolve(self, address: str) -> str:
        """An IP address as it is, or what the lab's DNS says of a host name."""
        if address.replace(".", "").isdigit():
            return address
        host, port = self.lab.read_status()["dns"].split(":")
        answer = DNSRecord.parse(DNSRecord.question(address).send(host, int(port)))
        return str(answer.get_a().rdata)


@contextmanager
def deploy(
    lab: StateDir, folder: Path, name: str, config: dict[str, Any], secrets: Mapping[str, str] | None = None
) -> Iterator[LabStack]:
    """A stack that was brought up; what was in its clusters before is in `before`."""
    deployment = LabStack(lab, folder, name, config, secrets)
    deployment.objects_before = {
        cluster.context: list_all_objects(deployment, cluster.context)
        for cluster in deployment.stack.reachable_clusters
    }
    with deployment.engine() as engine:
        engine.up()
    yield deployment
    if deployment.has_resources:
        deployment.destroy()


def run_for_each(act: Callable[[str], Result], names: Iterable[str]) -> dict[str, Result]:
    """Do something for each name, side by side; all that fails is told, by name."""
    found: dict[str, Result] = {}
    failed: list[Exception] = []
    with ThreadPoolExecutor() as pool:
        running = {name: pool.submit(act, name) for name in names}
    for name, future in running.items():
        try:
            found[name] = future.result()
        except Exception as error:
            error.add_note(f"of {name}")
            failed.append(error)
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(running)} failed", failed)
    return found


def _resource_label(urn: str) -> str:
    kind, name = urn.rsplit("::", 2)[1:]
    return f"{kind.rsplit(':', 1)[1]} {name}"


def wait_until(look: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it is so before the time is over."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def list_all_objects(deployment: LabStack, context: str) -> dict[str, Any]:
    """Every object of every kind of an API server, by kind, namespace and name, without what changes by itself."""
    kinds: dict[tuple[str, str], str] = {}
    for line in deployment.kubectl(context, "api-resources", "--verbs=list", "--no-headers").splitlines():
        # Between the name and the version there may be short names.
        name, *_, version, _, kind = line.split()
        if name not in {"events", "leases", "componentstatuses"}:
            kinds[version, kind] = ".".join(filter(None, (name, version.rpartition("/")[0])))
    found: dict[str, Any] = {}
    for item in deployment.list_objects(context, ",".join(kinds.values()), "--all-namespaces"):
        metadata = item["metadata"]
        for changing in ("resourceVersion", "managedFields", "generation"):
            metadata.pop(changing, None)
        item.pop("status", None)
        kind = kinds[item["apiVersion"], item["kind"]]
        found[f"{kind}/{metadata.get('namespace', '')}/{metadata['name']}"] = item
    return found
