"""Runs of the whole program on a mock engine that records its requests."""

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
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, get_root_resource, resource, set_mocks
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.proto import callback_pb2, source_pb2

from components import identity, identity_transformation
from components.cilium import clustermesh
from components.cluster import Cluster
from mesh import stack_state
from mesh.paths import PROJECT_ROOT
from mesh.preflight import stack as stack_preflight
from mesh.preflight.runner import PreflightReport
from mesh.preflight.service_reader import DeclaredObjects
from mesh.preflight.target import CheckTarget
from mesh.pulumi_constants import HELM_RELEASE_TYPE, SIGNATURE_KEY, STACK_TYPE
from tests.helpers import kubeconfigs

SECRET = "a-private-key"
# Other releases of Pulumi can lack this function; the tests then take longer.
_types_once = cache(getattr(_types, "_types_from_py_properties", lambda cls: {}))
# Outputs are bound to their loop, so all runs share one. `asyncio.run` in other tests leaves its thread without a loop.
_LOOP = asyncio.new_event_loop()


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Registration of a resource: its properties besides the inputs."""

    urn: str
    type: str
    name: str
    parent: str
    provider: str  # reference: URN and identifier
    custom: bool
    dependencies: tuple[str, ...]  # URNs, including those of inputs
    aliases: tuple[tuple[str, str], ...]  # name and parent URN
    alias_types: tuple[str, ...]
    alias_urns: tuple[str, ...]
    ignore_changes: tuple[str, ...]
    retain_on_delete: bool
    deleted_with: str  # URN
    replacement: tuple[str, bool]  # trigger, and whether the former resource is deleted first
    hooks: tuple[tuple[str, ...], tuple[str, ...]]  # names of the hooks before a create, and before an update


class RecordingMonitor(MockMonitor):
    """Mock monitor that also records each registration."""

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
                alias_urns=tuple(alias.urn for alias in request.aliases if alias.urn),
                ignore_changes=tuple(request.ignoreChanges),
                retain_on_delete=request.retainOnDelete,
                deleted_with=request.deletedWith,
                replacement=(request.replacement_trigger.string_value, request.deleteBeforeReplace),
                hooks=(tuple(request.hooks.before_create), tuple(request.hooks.before_update)),
            )
        )
        return response


class Recorder(Mocks):
    """Mocks that return outputs like the providers' and record each resource."""

    def __init__(self) -> None:
        self.resources: list[MockResourceArgs] = []
        self.outputs: dict[str, Any] = {}  # outputs of the stack
        self.monitor = RecordingMonitor(self)

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(args)
        return f"{args.name}-id", self.new_resource_outputs(args.typ, args.name, args.inputs)

    def new_resource_outputs(self, kind: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs of a resource."""
        outputs = dict(inputs)
        if kind == "tls:index/privateKey:PrivateKey":
            outputs["privateKeyPemPkcs8"] = SECRET
        elif kind.startswith("tls:"):
            outputs |= {
                "certPem": f"certificate of {name}",
                "certRequestPem": "request",
                "validityEndTime": "2030",
            }
        elif kind == HELM_RELEASE_TYPE:
            outputs["status"] = {"namespace": inputs.get("namespace"), "name": inputs.get("name")}
        elif kind.endswith(":ReleaseDrift"):
            outputs["drift"] = []
        elif kind.endswith(":DashboardUser"):
            outputs |= {"password": SECRET, "htpasswd": f"{inputs['user']}:hash"}
        elif name.endswith("-token"):
            outputs["data"] = {"token": "dG9rZW4=", "ca.crt": "Q0E="}
        elif name.endswith("-multicluster-gateway"):
            outputs |= GATEWAY_OUTPUTS
        elif name.endswith("-clustermesh-apiserver-peers"):
            outputs["status"] = {"loadBalancer": {"ingress": [{"hostname": f"{name}.example.com"}]}}
        return outputs

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None

    def inputs_of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the inputs of each resource whose type ends with `kind`, by name."""
        return {args.name: args.inputs for args in self.resources if args.typ.endswith(kind)}

    def export_labels(self) -> dict[tuple[str, str, str], dict[str, str]]:
        """Return the export labels of each Service, by its cluster, namespace and name."""
        labels: dict[tuple[str, str, str], dict[str, str]] = {}
        for export in self.inputs_of(":ServiceExport").values():
            plain = without_secret_marks(export)
            service = (plain["cluster"], plain["namespace"], plain["service"])
            labels.setdefault(service, {})[plain["label"]] = plain["value"]
        return labels

    def registration(self, kind: str, name: str) -> Registration:
        """Return the registration of a resource whose type ends with `kind`."""
        (registration,) = (
            candidate
            for candidate in self.monitor.registrations
            if candidate.type.endswith(kind) and candidate.name == name
        )
        return registration

    def aliases_of(self, urn: str) -> tuple[str, ...]:
        """Return the URNs that a resource has as aliases."""
        return next((each.alias_urns for each in self.monitor.registrations if each.urn == urn), ())

    def dependencies_of(self, kind: str, name: str) -> set[str]:
        """Return the dependencies of a resource, as types without package and names."""
        return {_resource_label(urn) for urn in self.registration(kind, name).dependencies}

    def to_state_resources(self) -> list[stack_state.StateResource]:
        """Return the resources that the stack state would contain after an update."""
        inputs = {(registration.typ, registration.name): registration.inputs for registration in self.resources}
        outputs = {key: self.new_resource_outputs(*key, values) for key, values in inputs.items()}
        stack = stack_state.StateResource(urn=STACK_URN, type=STACK_TYPE, is_custom=False, outputs=self.outputs)
        return [stack] + [
            stack_state.StateResource(
                urn=registration.urn,
                type=registration.type,
                parent=registration.parent,
                provider=registration.provider.rpartition("::")[0] or None,
                is_custom=registration.custom,
                dependencies=registration.dependencies,
                inputs=inputs[registration.type, registration.name],
                outputs=outputs[registration.type, registration.name],
            )
            for registration in self.monitor.registrations
            if registration.type != STACK_TYPE
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
    """Function that runs the program with a configuration, some of whose keys can be secrets."""

    def __call__(
        self, config: dict[str, Any], *, secret: Sequence[str] = (), state: Recorder | None = None
    ) -> Recorder: ...


def without_secret_marks(value: Any) -> Any:
    """Return inputs without Pulumi's marks of secrets."""
    if isinstance(value, dict):
        return (
            without_secret_marks(value["value"])
            if SIGNATURE_KEY in value
            else {key: without_secret_marks(item) for key, item in value.items()}
        )
    return [without_secret_marks(item) for item in value] if isinstance(value, list) else value


def _resource_label(urn: str) -> str:
    kind, name = urn.rsplit("::", 2)[1:]
    return f"{kind.rpartition('$')[2].rpartition(':')[2]} {name}"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunProgram:
    """Return a function that runs the program, once per configuration."""
    kubeconfig = tmp_path_factory.mktemp("program") / "kubeconfig"
    runs: dict[str, Recorder] = {}

    def run_program(config: dict[str, Any], *, secret: Sequence[str] = (), state: Recorder | None = None) -> Recorder:
        cache_key = json.dumps([config, secret, id(state)])
        if cache_key not in runs:
            with pytest.MonkeyPatch.context() as patch:
                resources = state.to_state_resources() if state is not None else []
                runs[cache_key] = record_run(config, secret, kubeconfig, patch, resources)
        return runs[cache_key]

    return run_program


def record_run(
    config: dict[str, Any],
    secret: Sequence[str],
    kubeconfig: Path,
    patch: pytest.MonkeyPatch,
    state: Sequence[stack_state.StateResource] = (),
) -> Recorder:
    """Run the program on the mock engine, and return the recorder."""
    patch.setattr(stack_state, "read_stack_state", lambda: list(state))
    for module in (identity, identity_transformation):
        patch.setattr(module, "UNKNOWN_VALUE", "unknown until the first up")
    contexts = [(cluster or {}).get("context", name) for name, cluster in config["clusters"].items()]
    servers = {context: {"server": f"https://{context}.example.com"} for context in contexts}
    for name, value in kubeconfigs.write_kubeconfig(kubeconfig, **servers).items():
        patch.setenv(name, value)
    # There are no clusters for the preflight checks, but each declared Service seems to exist.
    patch.setattr(stack_preflight, "read_declared", fake_declared_objects)
    config = {"preflight": False, **config}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    encoded = {f"multicluster-mesh:{key}": value for key, value in texts.items()}
    patch.setenv("PULUMI_CONFIG", json.dumps(encoded))
    patch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps([f"multicluster-mesh:{key}" for key in secret]))
    _skip_slow_lookups(patch)
    # The mock engine has no server for the callbacks of hooks.
    patch.setattr(resource_hooks, "register_resource_hook", lambda hook: asyncio.ensure_future(asyncio.sleep(0)))
    patch.setattr(resource, "_get_callbacks", _no_callbacks)
    recorder = Recorder()

    def export(name: str, value: Any) -> None:
        pulumi.Output.from_input(value).apply(partial(recorder.outputs.__setitem__, name))

    patch.setattr(pulumi, "export", export)
    # The mock engine has no stack; `pulumi.runtime.test` waits for all resources.
    patch.setattr(pulumi, "run", lambda program: None)
    patch.setattr(clustermesh, "read_node_addresses", fake_node_addresses)
    use_mock_engine(recorder)

    # All runs share one root resource, and a run must not see the transformations of another.
    root = get_root_resource()
    assert root is not None
    patch.setattr(root, "_transformations", [])

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        runpy.run_path(str(PROJECT_ROOT / "__main__.py"))

    try:
        program()
    finally:
        gc.freeze()  # cached runs stay alive, so later collections can skip them
        gc.enable()  # the program disables it
    return recorder


def use_mock_engine(recorder: Recorder) -> None:
    """Let the recorder answer Pulumi's SDK, in the event loop of all runs."""
    asyncio.set_event_loop(_LOOP)
    set_mocks(recorder, project="multicluster-mesh", stack="test", preview=True, monitor=recorder.monitor)


def fake_node_addresses(cluster: Cluster) -> list[str]:
    """Return fake addresses of a cluster's nodes."""
    assert cluster.settings.cilium is not None
    return [f"192.0.2.{cluster.settings.cilium.id}", f"2001:db8::{cluster.settings.cilium.id}"]


def fake_declared_objects(targets: Sequence[CheckTarget], *_: Any) -> PreflightReport:
    """Return a report with the declared Services and namespaces of each cluster."""
    spec = {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": "cart"}}
    service = {"metadata": {}, "spec": spec}
    declared = {
        target.name: DeclaredObjects(
            services={(each.namespace, each.name): service for each in target.declared.services},
            namespaces={each.name: {} for each in target.declared.namespaces},
        )
        for target in targets
    }
    return PreflightReport(findings=(), uids={}, declared=declared)


class _Callbacks:
    """Fake of the server that the engine uses for transforms."""

    def register_transform(self, _: Any) -> callback_pb2.Callback:
        return callback_pb2.Callback()


async def _no_callbacks() -> _Callbacks:
    return _Callbacks()


def _skip_slow_lookups(patch: pytest.MonkeyPatch) -> None:
    """Skip lookups that take half of the run time: property types and stack traces of each resource."""
    if hasattr(_types, "_types_from_py_properties"):
        patch.setattr(_types, "_types_from_py_properties", _types_once)
    if hasattr(resource, "_get_stack_trace"):
        patch.setattr(resource, "_get_stack_trace", source_pb2.StackTrace)


def mesh_config(*names: str, links: list[tuple[str, str]]) -> dict[str, Any]:
    """Return a configuration with these clusters and links."""
    pairs = [{"source": source, "target": target} for source, target in links]
    return {"clusters": {name: {} for name in names}, "links": pairs}
