"""Metrics page for all service mirrors of a cluster.

kwok can forward a port of all pods only to one address, so every port-forward to a mirror's pod ends here. Linkerd's
CLI selects metrics by the label `target_cluster_name`, so one page with the metrics of all mirrors serves each of them.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence

from hack.lab import web

_FAMILY = re.compile(r"# (?:HELP|TYPE) (gateway_\w+) ")
_SAMPLE = re.compile(r"(gateway_\w+?)(?:_bucket|_sum|_count)?[{ ]")


def merge_pages(pages: Iterable[str]) -> str:
    """Return the gateway metrics of several pages as one valid page, with one description of each metric family."""
    described: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for page in pages:
        for line in page.splitlines():
            if match := _FAMILY.match(line):
                lines = described.setdefault(match[1], [])
                if not any(known.split(" ", 3)[1] == line.split(" ", 3)[1] for known in lines):
                    lines.append(line)
            elif match := _SAMPLE.match(line):
                # A histogram's samples have a suffix that its family does not have.
                full_name = line.split("{", 1)[0].split(" ", 1)[0]
                samples.setdefault(full_name if full_name in described else match[1], []).append(line)
    return "".join(f"{line}\n" for family in described for line in described[family] + samples.get(family, []))


def create_handler(mirror_ports: Callable[[], Sequence[int]]) -> web.RequestHandler:
    """Return the request handler of a cluster's metrics server."""

    async def answer(request: web.HttpRequest) -> web.HttpResponse:
        if request.target.partition("?")[0] != "/metrics":
            return web.HttpResponse(status=200, body=b"ok\n")
        pages = await asyncio.gather(*(_fetch_page(port) for port in mirror_ports()))
        return web.HttpResponse(status=200, body=merge_pages(pages).encode(), media_type="text/plain; version=0.0.4")

    return answer


async def _fetch_page(port: int) -> str:
    try:
        return await asyncio.wait_for(_read_page(port), 2)
    except (OSError, TimeoutError):
        return ""


async def _read_page(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        # HTTP/1.0 has no chunks, and the response ends with the connection.
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        content = await reader.read(-1)
    finally:
        writer.close()
    head, _, body = content.partition(b"\r\n\r\n")
    return body.decode(errors="replace") if b" 200 " in head.split(b"\r\n", 1)[0] + b" " else ""
