"""Fake API servers of any number of empty clusters, in one process; the user has all permissions.

    python -m benchmarks.fake_apis

The process prints its port. The path selects a cluster: http://127.0.0.1:<port>/<cluster>/version. There is no TLS,
because TLS would cost the same for every program that contacts a cluster.
"""

from __future__ import annotations

import asyncio
import json
import sys

_NODES = {"items": [{"spec": {"providerID": "k3s://one", "podCIDRs": ["192.0.2.0/24"]}}]}
_ANSWERS: dict[str, tuple[int, object]] = {
    "/version": (200, {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}),
    "/api/v1/services": (200, {"items": []}),
    "/api/v1/nodes": (200, _NODES),
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": (201, {"status": {"allowed": True}}),
}
_REASONS = {200: "OK", 201: "Created", 404: "Not Found"}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            for line in lines:
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    await reader.readexactly(int(value))
            writer.write(_respond(first.split(" ")[1]))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _respond(target: str) -> bytes:
    # The first element of the path is the cluster.
    path = "/" + target.partition("?")[0].lstrip("/").partition("/")[2]
    status, content = _ANSWERS.get(path, (404, {"kind": "Status", "code": 404}))
    body = json.dumps(content).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Run until standard input is closed, which happens when the parent process ends.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
