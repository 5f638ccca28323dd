"""A small HTTP/1.1 server on loopback, for the supervisor's own answers: one request per connection."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

_LONGEST_HEAD = 65536  # bytes
_PATIENCE = 10.0  # seconds for a request's head
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 502: "Bad Gateway"}
_log = logging.getLogger(__name__)
_beginning: set[asyncio.Task[None]] = set()  # a task that nobody holds may vanish


@dataclass(frozen=True, kw_only=True)
class Request:
    """Method, target as sent (a path, a URL, or host:port) and headers by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Response:
    """Status, body and its media type."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Awaitable[Response]]
Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The head of a request, or None for something that is none."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, ConnectionError):
        return None
    pairs = (line.partition(":") for line in lines if ":" in line)
    return Request(method=method, target=target, headers={n.strip().lower(): v.strip() for n, _, v in pairs})


def head(response: Response) -> bytes:
    """The bytes of a response before its body."""
    lines = [
        f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Status')}",
        f"Content-Type: {response.media_type}",
        f"Content-Length: {len(response.body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in response.headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answering(answer: Answer) -> Connection:
    """A connection handler that reads one request and sends the answer to it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if request is None:
            return
        try:
            response = await answer(request)
        except Exception as error:  # whatever it is: the asker gets an answer, the server lives on
            _log.exception("answering %s %s", request.method, request.target)
            response = Response(status=502, body=f"{error}\n".encode())
        writer.write(head(response) + (b"" if request.method == "HEAD" else response.body))
        await writer.drain()

    return handle


async def serve(connection: Connection, port: int, *, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    """Listen on this port of 127.0.0.1; each connection is handled and closed.

    Raises:
        OSError: the port is taken.
    """
    handle = _closing(connection, f"port {port}")
    return await asyncio.start_server(handle, "127.0.0.1", port, limit=_LONGEST_HEAD, ssl=tls)


def serve_one(connection: Connection, accepted: socket.socket, *, tls: ssl.SSLContext) -> None:
    """Handle and close the one connection that a socket is, in the background."""

    async def begin() -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LONGEST_HEAD, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, _closing(connection, "a socket"), loop=loop)
        # Who doesn't trust our certificate hangs up.
        with contextlib.suppress(OSError):
            await loop.connect_accepted_socket(
                lambda: protocol, accepted, ssl=tls, ssl_handshake_timeout=_PATIENCE, ssl_shutdown_timeout=_PATIENCE
            )

    task = asyncio.create_task(begin())
    _beginning.add(task)
    task.add_done_callback(_beginning.discard)


def _closing(connection: Connection, where: str) -> Connection:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await connection(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        except Exception:
            _log.exception("serving a connection to %s", where)
        finally:
            with contextlib.suppress(Exception):
                writer.close()

    return handle
