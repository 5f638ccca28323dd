"""The whole program on an engine that only records what it is asked for."""

from __future__ import annotations

import asyncio
import gc
import json
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import pulumi
import pytest
from pulumi import _types, resource_hooks
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, resource, set_mocks
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.proto import callback_pb2, source_pb2

from components.cilium import clustermesh
from components.cluster import Cluster
from mesh import stack_state
from mesh.paths import PROJECT_ROOT
from tests.helpers import kubeconfigs

SECRET = "a-private-key"
# Other releases of Pulumi may have none of it; the tests only take longer then.
_types_once = cache(getattr(_types, "_types_from_py_properties", lambda cls: {}))
# Of all runs, as Outputs keep to theirs; `asyncio.run`, in other tests, leaves its thread without one.
_LOOP = asyncio.new_event_loop()
# By which Pulumi marks a secret among inputs.
_SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What the program says of a resource beside its inputs."""

    urn: str
    type: str
    name: str
    parent: str
    provider: str  # a reference: its URN, then its identifier
    custom: bool
    dependencies: tuple[str, ...]  # URNs, those of inputs included
    aliases: tuple[tuple[str, str], ...]  # names and URNs of parents
    alias_types: tuple[str, ...]
    ignore_changes: tuple[str, ...]
    retain_on_delete: bool


class RecordingMonitor(MockMonitor):
    """Keeps what Pulumi's own mocks don't tell of."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.registrations: list[Registration] = []

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self.registrations.append(
            Registration(
                urn=response.urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                provider=request.provider,
                custom=request.custom,
                dependencies=tuple(request.dependencies),
                aliases=tuple((alias.spec.name, alias.spec.parentUrn) for alias in request.aliases),
                alias_types=tuple(alias.spec.type for alias in request.aliases if alias.spec.type),
                ignore_changes=tuple(request.ignoreChanges),
                retain_on_delete=request.retainOnDelete,
            )
        )
        return response


class Recorder(Mocks):
    """Answers as the providers would, and keeps what was asked for."""

    def __init__(self) -> None:
        self.resources: list[MockResourceArgs] = []
        self.outputs: dict[str, Any] = {}  # the stack's
        self.monitor = RecordingMonitor(self)

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(args)
        outputs = dict(args.inputs)
        if args.typ == "tls:index/privateKey:PrivateKey":
            outputs["privateKeyPemPkcs8"] = SECRET
        elif args.typ.startswith("tls:"):
            outputs |= {
                "certPem": f"certificate of {args.name}",
                "certRequestPem": "request",
                "validityEndTime": "2030",
            }
        elif args.typ == "kubernetes:helm.sh/v3:Release":
            outputs["status"] = {"namespace": args.inputs.get("namespace"), "name": args.inputs.get("name")}
        elif args.typ.endswith(":ReleaseDrift"):
            outputs["drift"] = []
        elif args.typ.endswith(":DashboardUser"):
            outputs |= {"password": SECRET, "htpasswd": f"{args.inputs['user']}:hash"}
        elif args.name.endswith("-token"):
            outputs["data"] = {"token": "dG9rZW4=", "ca.crt": "Q0E="}
        elif args.name.endswith("-multicluster-gateway"):
            outputs |= GATEWAY_OUTPUTS
        elif args.name.endswith("-clustermesh-apiserver-peers"):
            outputs["status"] = {"loadBalancer": {"ingress": [{"hostname": f"{args.name}.example.com"}]}}
        return f"{args.name}-id", outputs

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None

    def inputs_of(self, kind: str) -> dict[str, dict[str, Any]]:
        """The inputs of every resource whose type ends so, by name."""
        return {found.name: found.inputs for found in self.resources if found.typ.endswith(kind)}

    def registration(self, kind: str, name: str) -> Registration:
        """What is said of a resource of a type that ends so."""
        (found,) = (each for each in self.monitor.registrations if each.type.endswith(kind) and each.name == name)
        return found

    def dependencies_of(self, kind: str, name: str) -> set[str]:
        """What a resource waits for: types without their package, and names."""
        return {_resource_label(urn) for urn in self.registration(kind, name).dependencies}

    def to_state_resources(self) -> list[stack_state.StateResource]:
        """What the state would have after an update."""
        inputs = {(each.typ, each.name): each.inputs for each in self.resources}
        whole = stack_state.StateResource(urn=STACK_URN, type="pulumi:pulumi:Stack", custom=False, outputs=self.outputs)
        return [whole] + [
            stack_state.StateResource(
                urn=each.urn,
                type=each.type,
                parent=each.parent,
                provider=each.provider.rpartition("::")[0] or None,
                custom=each.custom,
                dependencies=each.dependencies,
                inputs=inputs[each.type, each.name],
            )
            for each in self.monitor.registrations
            if each.type != "pulumi:pulumi:Stack"
        ]


STACK_URN = "urn:pulumi:test::multicluster-mesh::pulumi:pulumi:Stack::multicluster-mesh-test"
GATEWAY_OUTPUTS = {
    "metadata": {
        "name": "linkerd-gateway",
        "annotations": {
            "mirror.linkerd.io/gateway-identity": "gateway.identity.example",
            "mirror.linkerd.io/probe-path": "/ready",
            "mirror.linkerd.io/probe-period": "3",
        },
    },
    "spec": {"ports": [{"name": "mc-gateway", "port": 4143}, {"name": "mc-probe", "port": 4191}]},
    "status": {"loadBalancer": {"ingress": [{"hostname": "gateway.example.com"}]}},
}


class RunProgram(Protocol):
    """Gives what the program asks for with a configuration, of which some keys may be secrets."""

    def __call__(
        self, config: dict[str, Any], *, secret: Sequence[str] = (), state: Recorder | None = None
    ) -> Recorder: ...


def without_secret_marks(value: Any) -> Any:
    """Inputs without the marks of secrets."""
    if isinstance(value, dict):
        return (
            without_secret_marks(value["value"])
            if _SECRET_SIGNATURE in value
            else {key: without_secret_marks(item) for key, item in value.items()}
        )
    return [without_secret_marks(item) for item in value] if isinstance(value, list) else value


def _resource_label(urn: str) -> str:
    kind, name = urn.rsplit("::", 2)[1:]
    return f"{kind.rpartition('$')[2].rpartition(':')[2]} {name}"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunProgram:
    """The program; with the same configuration it runs only once."""
    kubeconfig = tmp_path_factory.mktemp("program") / "kubeconfig"
    runs: dict[str, Recorder] = {}

    def run_program(config: dict[str, Any], *, secret: Sequence[str] = (), state: Recorder | None = None) -> Recorder:
        known = json.dumps([config, secret, id(state)])
        if known not in runs:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    stack_state, "read_stack_state", lambda: state.to_state_resources() if state is not None else []
                )
                runs[known] = record_run(config, secret, kubeconfig, patch)
        return runs[known]

    return run_program


def record_run(config: dict[str, Any], secret: Sequence[str], kubeconfig: Path, patch: pytest.MonkeyPatch) -> Recorder:
    contexts = [(said or {}).get("context", name) for name, said in config["clusters"].items()]
    servers = {context: {"server": f"https://{context}.example.com"} for context in contexts}
    for name, value in kubeconfigs.write_kubeconfig(kubeconfig, **servers).items():
        patch.setenv(name, value)
    # No cluster is there to be asked anything.
    config = {"preflight": False, **config}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    encoded = {f"multicluster-mesh:{key}": value for key, value in texts.items()}
    patch.setenv("PULUMI_CONFIG", json.dumps(encoded))
    patch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps([f"multicluster-mesh:{key}" for key in secret]))
    _skip_slow_lookups(patch)
    # The recording engine has no server for the hooks' callbacks.
    patch.setattr(resource_hooks, "register_resource_hook", lambda hook: asyncio.ensure_future(asyncio.sleep(0)))
    patch.setattr(resource, "_get_callbacks", _no_callbacks)
    recorder = Recorder()

    def export(name: str, value: Any) -> None:
        pulumi.Output.from_input(value).apply(partial(recorder.outputs.__setitem__, name))

    patch.setattr(pulumi, "export", export)
    # It has no stack to run something in, and waits for everything itself.
    patch.setattr(pulumi, "run", lambda program: None)
    patch.setattr(clustermesh, "node_addresses", fake_node_addresses)
    asyncio.set_event_loop(_LOOP)
    set_mocks(recorder, project="multicluster-mesh", stack="test", preview=True, monitor=recorder.monitor)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        runpy.run_path(str(PROJECT_ROOT / "__main__.py"))

    try:
        program()
    finally:
        gc.freeze()  # what tests keep of a run need not be looked through with every other one
        gc.enable()  # which the program does without; this process goes on
    return recorder


def fake_node_addresses(cluster: Cluster) -> list[str]:
    """The addresses of a cluster's nodes."""
    assert cluster.settings.cilium is not None
    return [f"192.0.2.{cluster.settings.cilium.id}", f"2001:db8::{cluster.settings.cilium.id}"]


class _Callbacks:
    """In place of the server by which the engine would have transforms."""

    def register_transform(self, _: Any) -> callback_pb2.Callback:
        return callback_pb2.Callback()


async def _no_callbacks() -> _Callbacks:
    return _Callbacks()


def _skip_slow_lookups(patch: pytest.MonkeyPatch) -> None:
    """Leave out what takes Pulumi half of the time: types that it looks up again for each resource, and its origin."""
    if hasattr(_types, "_types_from_py_properties"):
        patch.setattr(_types, "_types_from_py_properties", _types_once)
    if hasattr(resource, "_get_stack_trace"):
        patch.setattr(resource, "_get_stack_trace", source_pb2.StackTrace)


def mesh_config(*names: str, links: list[tuple[str, str]]) -> dict[str, Any]:
    """A configuration of these clusters and links."""
    pairs = [{"source": source, "target": target} for source, target in links]
    return {"clusters": {name: {} for name in names}, "links": pairs}
