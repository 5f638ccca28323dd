"""Mock of Pulumi's engine that answers every gRPC request at once.

Each resource gets its requested inputs, and the outputs that its provider would add. So the measured time is that of
the program alone: Python, the SDK, and their communication with the engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

PROJECT, STACK = "multicluster-mesh", "figures"
_GATEWAY_ADDRESS = "198.51.100.1"


class MockEngine:
    """The mock engine of one run.

    `counts` contains the number of registered resources by type.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.address = ""
        self._root = ""

    @property
    def resources(self) -> int:
        """Return the number of resources, reads included, without the stack itself."""
        return sum(number for kind, number in self.counts.items() if kind != "pulumi:pulumi:Stack")

    def SupportsFeature(self, request: Any, _: Any) -> Any:
        """Report that the engine supports every feature."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)

    def RegisterResource(self, request: Any, _: Any) -> Any:
        """Count a resource, and return its inputs and outputs."""
        self.counts[request.type] += 1
        return resource_pb2.RegisterResourceResponse(
            urn=_urn(request.type, request.name, request.parent),
            id=f"{request.name}-id" if request.custom else "",
            object=_add_outputs(request.type, request.name, request.object),
        )

    def ReadResource(self, request: Any, _: Any) -> Any:
        """Return a Service with the address of a load balancer."""
        self.counts[request.type] += 1
        service = Struct()
        service.update({"status": {"loadBalancer": {"ingress": [{"ip": _GATEWAY_ADDRESS}]}}})
        return resource_pb2.ReadResourceResponse(
            urn=_urn(request.type, request.name, request.parent), properties=service
        )

    def RegisterResourceOutputs(self, *_: Any) -> Any:
        """Ignore the request."""
        return Empty()

    RegisterResourceHook = RegisterStackTransform = SignalAndWaitForShutdown = RegisterResourceOutputs
    StartDebugging = RegisterResourceOutputs

    def Log(self, request: Any, _: Any) -> Any:
        """Record errors, and ignore other messages."""
        if request.severity == engine_pb2.ERROR:
            self.errors.append(request.message)
        return Empty()

    def Invoke(self, *_: Any) -> Any:
        """Return an empty result."""
        return resource_pb2.resource__pb2.InvokeResponse()  # type: ignore[attr-defined]

    def SetRootResource(self, request: Any, _: Any) -> Any:
        """Record the stack's URN."""
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def GetRootResource(self, *_: Any) -> Any:
        """Return the stack's URN."""
        return engine_pb2.GetRootResourceResponse(urn=self._root)


@contextmanager
def serve_engine() -> Iterator[MockEngine]:
    """Run a mock engine that listens on loopback."""
    engine = MockEngine()
    size_limits = [("grpc.max_receive_message_length", 400 * 2**20), ("grpc.max_send_message_length", 400 * 2**20)]
    server = grpc.server(ThreadPoolExecutor(max_workers=16), options=size_limits)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(
        _bind_service(resource_pb2_grpc.ResourceMonitorServicer, engine), server
    )
    engine_pb2_grpc.add_EngineServicer_to_server(_bind_service(engine_pb2_grpc.EngineServicer, engine), server)
    engine.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield engine
    finally:
        server.stop(None).wait()


def _bind_service(base: type[Any], engine: MockEngine) -> Any:
    """Return a gRPC service with the engine's methods; it rejects all other methods."""
    own = {name: getattr(engine, name) for name in dir(base) if name[0].isupper() and hasattr(engine, name)}
    service = base()
    vars(service).update(own)
    return service


def _urn(kind: str, name: str, parent: str) -> str:
    above = parent.split("::")[2] if parent else ""
    qualified = f"{above}${kind}" if above and above != "pulumi:pulumi:Stack" else kind
    return f"urn:pulumi:{STACK}::{PROJECT}::{qualified}::{name}"


def _add_outputs(kind: str, name: str, inputs: Struct) -> Struct:
    outputs = Struct()
    outputs.CopyFrom(inputs)
    if kind == "tls:index/privateKey:PrivateKey":
        outputs.update({"privateKeyPemPkcs8": "a key"})
    elif kind.startswith("tls:"):
        outputs.update({"certPem": f"certificate of {name}", "certRequestPem": "request", "validityEndTime": "2030"})
    elif kind == "kubernetes:helm.sh/v3:Release":
        outputs["status"] = {key: inputs[key] for key in ("namespace", "name") if key in inputs}
    elif name.endswith("-token"):
        outputs.update({"data": {"token": "dG9rZW4=", "ca.crt": "Q0E="}})
    return outputs
