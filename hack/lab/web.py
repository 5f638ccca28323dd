"""Small HTTP/1.1 server on loopback for the supervisor, with one request per connection."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

_MAX_HEAD_BYTES = 65536
_HEAD_TIMEOUT_S = 10.0
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 502: "Bad Gateway"}
_log = logging.getLogger(__name__)
_pending_tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps only weak references to tasks


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """Method, target (a path, a URL, or host:port) and headers of a request, by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """Status, body, media type and further headers of a response."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


RequestHandler = Callable[[HttpRequest], Awaitable[HttpResponse]]
ConnectionHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """Read the head of a request; return None if it is malformed."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_TIMEOUT_S)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, ConnectionError):
        return None
    pairs = (line.partition(":") for line in lines if ":" in line)
    return HttpRequest(method=method, target=target, headers={n.strip().lower(): v.strip() for n, _, v in pairs})


def encode_head(response: HttpResponse) -> bytes:
    """Return the bytes of a response before its body."""
    lines = [
        f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Status')}",
        f"Content-Type: {response.media_type}",
        f"Content-Length: {len(response.body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in response.headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def create_connection_handler(answer: RequestHandler) -> ConnectionHandler:
    """Return a connection handler that reads one request and sends the handler's response."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if request is None:
            return
        try:
            response = await answer(request)
        except Exception as error:  # any error: the client gets a response, and the server continues
            _log.exception("error in the response to %s %s", request.method, request.target)
            response = HttpResponse(status=502, body=f"{error}\n".encode())
        writer.write(encode_head(response) + (b"" if request.method == "HEAD" else response.body))
        await writer.drain()

    return handle


async def serve(connection: ConnectionHandler, port: int, *, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    """Listen on this port of 127.0.0.1; handle and close each connection.

    Raises:
        OSError: the port is taken.
    """
    handle = _close_afterwards(connection, f"port {port}")
    return await asyncio.start_server(handle, "127.0.0.1", port, limit=_MAX_HEAD_BYTES, ssl=tls)


def serve_one(connection: ConnectionHandler, accepted: socket.socket, *, tls: ssl.SSLContext) -> None:
    """Handle and close one accepted connection, in the background."""

    async def begin() -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_MAX_HEAD_BYTES, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, _close_afterwards(connection, "a socket"), loop=loop)
        # A client that does not trust the certificate closes the connection.
        with contextlib.suppress(OSError):
            await loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=_HEAD_TIMEOUT_S,
                ssl_shutdown_timeout=_HEAD_TIMEOUT_S,
            )

    task = asyncio.create_task(begin())
    _pending_tasks.add(task)
    task.add_done_callback(_pending_tasks.discard)


def _close_afterwards(connection: ConnectionHandler, where: str) -> ConnectionHandler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await connection(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        except Exception:
            _log.exception("error in a connection to %s", where)
        finally:
            with contextlib.suppress(Exception):
                writer.close()

    return handle
