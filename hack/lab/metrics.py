"""One metrics page for all service mirrors of a cluster.

A port-forward to any mirror's pod ends here: kwok forwards a port of all pods to one address. Linkerd's CLI picks what
it asks for by the label `target_cluster_name`, so a page with every mirror's gateway metrics answers for each of them.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence

from hack.lab import web

_FAMILY = re.compile(r"# (?:HELP|TYPE) (gateway_\w+) ")
_SAMPLE = re.compile(r"(gateway_\w+?)(?:_bucket|_sum|_count)?[{ ]")


def merge(pages: Iterable[str]) -> str:
    """The gateway metrics of several pages as one valid page: each family described once, its samples together."""
    described: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for page in pages:
        for line in page.splitlines():
            if match := _FAMILY.match(line):
                lines = described.setdefault(match[1], [])
                if not any(known.split(" ", 3)[1] == line.split(" ", 3)[1] for known in lines):
                    lines.append(line)
            elif match := _SAMPLE.match(line):
                # A histogram's samples carry a suffix that its family does not.
                whole = line.split("{", 1)[0].split(" ", 1)[0]
                samples.setdefault(whole if whole in described else match[1], []).append(line)
    return "".join(f"{line}\n" for family in described for line in described[family] + samples.get(family, []))


def answering(mirror_ports: Callable[[], Sequence[int]]) -> web.Answer:
    """What a cluster's metrics server answers."""

    async def answer(request: web.Request) -> web.Response:
        if request.target.partition("?")[0] != "/metrics":
            return web.Response(status=200, body=b"ok\n")
        pages = await asyncio.gather(*(_fetch(port) for port in mirror_ports()))
        return web.Response(status=200, body=merge(pages).encode(), media_type="text/plain; version=0.0.4")

    return answer


async def _fetch(port: int) -> str:
    try:
        return await asyncio.wait_for(_get(port), 2)
    except (OSError, TimeoutError):
        return ""


async def _get(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        # HTTP/1.0: no chunks, and the end of the answer is the end of the connection.
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        content = await reader.read(-1)
    finally:
        writer.close()
    head, _, body = content.partition(b"\r\n\r\n")
    return body.decode(errors="replace") if b" 200 " in head.split(b"\r\n", 1)[0] + b" " else ""
