"""An engine that answers a program at once: over gRPC, as Pulumi's own, so that the program runs as it always does.

Every resource is as it was asked for, with what its provider would have added. So what is timed is the program: Python,
the SDK, and the words between them and an engine, which says yes to everything.
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
    """The engine of one run.

    `counts` has the number of resources that were asked for, by type.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.address = ""
        self._root = ""

    @property
    def resources(self) -> int:
        """All resources, reads included, but for the stack itself."""
        return sum(number for kind, number in self.counts.items() if kind != "pulumi:pulumi:Stack")

    def SupportsFeature(self, request: Any, _: Any) -> Any:
        """Everything."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)

    def RegisterResource(self, request: Any, _: Any) -> Any:
        """As it was asked for."""
        self.counts[request.type] += 1
        return resource_pb2.RegisterResourceResponse(
            urn=_urn(request.type, request.name, request.parent),
            id=f"{request.name}-id" if request.custom else "",
            object=_with_outputs(request.type, request.name, request.object),
        )

    def ReadResource(self, request: Any, _: Any) -> Any:
        """A Service with the address of a load balancer."""
        self.counts[request.type] += 1
        found = Struct()
        found.update({"status": {"loadBalancer": {"ingress": [{"ip": _GATEWAY_ADDRESS}]}}})
        return resource_pb2.ReadResourceResponse(urn=_urn(request.type, request.name, request.parent), properties=found)

    def RegisterResourceOutputs(self, *_: Any) -> Any:
        """Taken note of by nobody."""
        return Empty()

    RegisterResourceHook = RegisterStackTransform = SignalAndWaitForShutdown = RegisterResourceOutputs
    StartDebugging = RegisterResourceOutputs

    def Log(self, request: Any, _: Any) -> Any:
        """What went wrong is kept."""
        if request.severity == engine_pb2.ERROR:
            self.errors.append(request.message)
        return Empty()

    def Invoke(self, *_: Any) -> Any:
        """Nothing."""
        return resource_pb2.resource__pb2.InvokeResponse()  # type: ignore[attr-defined]

    def SetRootResource(self, request: Any, _: Any) -> Any:
        """The stack."""
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def GetRootResource(self, *_: Any) -> Any:
        """The stack."""
        return engine_pb2.GetRootResourceResponse(urn=self._root)


@contextmanager
def serving() -> Iterator[MockEngine]:
    """An engine that listens on loopback."""
    engine = MockEngine()
    longest = [("grpc.max_receive_message_length", 400 * 2**20), ("grpc.max_send_message_length", 400 * 2**20)]
    server = grpc.server(ThreadPoolExecutor(max_workers=16), options=longest)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(
        _over(resource_pb2_grpc.ResourceMonitorServicer, engine), server
    )
    engine_pb2_grpc.add_EngineServicer_to_server(_over(engine_pb2_grpc.EngineServicer, engine), server)
    engine.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield engine
    finally:
        server.stop(None).wait()


def _over(base: type[Any], engine: MockEngine) -> Any:
    """A service that refuses what the engine has no answer to, and asks it for the rest."""
    own = {name: getattr(engine, name) for name in dir(base) if name[0].isupper() and hasattr(engine, name)}
    service = base()
    vars(service).update(own)
    return service


def _urn(kind: str, name: str, parent: str) -> str:
    above = parent.split("::")[2] if parent else ""
    whole = f"{above}${kind}" if above and above != "pulumi:pulumi:Stack" else kind
    return f"urn:pulumi:{STACK}::{PROJECT}::{whole}::{name}"


def _with_outputs(kind: str, name: str, inputs: Struct) -> Struct:
    found = Struct()
    found.CopyFrom(inputs)
    if kind == "tls:index/privateKey:PrivateKey":
        found.update({"privateKeyPemPkcs8": "a key"})
    elif kind.startswith("tls:"):
        found.update({"certPem": f"certificate of {name}", "certRequestPem": "request", "validityEndTime": "2030"})
    elif kind == "kubernetes:helm.sh/v3:Release":
        found["status"] = {key: inputs[key] for key in ("namespace", "name") if key in inputs}
    elif name.endswith("-token"):
        found.update({"data": {"token": "dG9rZW4=", "ca.crt": "Q0E="}})
    return found
