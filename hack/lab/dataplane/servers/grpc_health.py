"""gRPC health service, whose answers name the server in their metadata.

https://grpc.io/docs/guides/health-checking/
"""

from concurrent.futures import ThreadPoolExecutor

import grpc

_SERVING = b"\x08\x01"  # HealthCheckResponse with this status
_MESSAGE_KEY = "lab-message"


def serve_health(port: int, message: str) -> grpc.Server:
    """Start the service on a port, and return its server."""

    def check(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.send_initial_metadata(((_MESSAGE_KEY, message),))
        return _SERVING

    methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    return server
