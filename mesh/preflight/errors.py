"""In plain words: why a request had no answer, or why there could not even be a request."""

from __future__ import annotations

import http.client
import re
import socket
import ssl

from mesh.preflight.finding import plain


class ApiUnreachableError(Exception):
    """The API server can't be reached, or not as an API server; the message says what happened."""


class BadCredentialsError(Exception):
    """There are no credentials with which to ask, or the API server refuses them; the message says what happened."""


def credentials_error(error: BaseException) -> BadCredentialsError:
    """Why the kubeconfig's credentials can't be used."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return BadCredentialsError(plain(f"the kubeconfig's credentials can't be used: {where}{error.strerror}"))
    if isinstance(error, KeyError) and error.args:
        return BadCredentialsError(plain(f"the kubeconfig's credentials can't be used: {error.args[0]} is missing"))
    said = plain(error)
    return BadCredentialsError(f"the kubeconfig's credentials can't be used{': ' if said else ''}{said}")


def request_error(error: Exception, timeout: float) -> ApiUnreachableError | BadCredentialsError:
    """What became of a request.

    Args:
        error: what urllib3 raised; its message tells of Python's objects, and may tell of the credentials.
        timeout: the seconds that it had.
    """
    from urllib3 import exceptions as urllib3

    within = f"within {timeout:g} seconds"
    if isinstance(error, urllib3.ProxyError):
        return ApiUnreachableError(f"the proxy on the way there doesn't let it through{_because(error)}")
    if isinstance(error, urllib3.NameResolutionError):
        return ApiUnreachableError(f"its name can't be resolved{_because(error)}")
    if isinstance(error, urllib3.NewConnectionError):
        return ApiUnreachableError(f"no connection can be made{_because(error)}")
    if isinstance(error, urllib3.ConnectTimeoutError):
        return ApiUnreachableError(f"no connection was made {within}")
    if isinstance(error, (urllib3.ReadTimeoutError, TimeoutError)):
        return ApiUnreachableError(f"no answer came {within}")
    if isinstance(error, urllib3.SSLError):
        return _of_tls(error)
    if isinstance(error, urllib3.LocationValueError):
        return ApiUnreachableError("its URL is not one")
    unread = next((cause for cause in _causes(error) if isinstance(cause, (FileNotFoundError, PermissionError))), None)
    if unread is not None:
        return BadCredentialsError(f"the kubeconfig's certificate or key can't be read: {plain(unread.strerror)}")
    if isinstance(error, (urllib3.HTTPError, http.client.HTTPException, OSError)):
        return ApiUnreachableError(f"the connection broke off{_because(error)}")
    # http.client refuses a header with a line's end or a strange character in it, and quotes it.
    return BadCredentialsError(
        "the kubeconfig's credentials can't be used: they have characters that HTTP doesn't allow"
    )


def _of_tls(error: Exception) -> ApiUnreachableError | BadCredentialsError:
    causes = [cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)]
    if not causes:
        return ApiUnreachableError(f"TLS failed{_because(error)}")
    cause = causes[-1]
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ApiUnreachableError(f"its certificate is not accepted: {plain(cause.verify_message).rstrip('.')}")
    # OpenSSL has no better words for files that it can't read, and no reason for some of them.
    if cause.library in ("PEM", "X509") or "PEM lib" in str(cause):
        return BadCredentialsError("the kubeconfig's certificates or its key can't be read, or don't belong together")
    reason = (cause.reason or "").replace("_", " ").lower()
    if reason == "wrong version number" or reason == "record layer failure":
        return ApiUnreachableError("what answers there doesn't speak TLS")
    return ApiUnreachableError(f"TLS failed{': ' if reason else ''}{reason}")


def _because(error: BaseException) -> str:
    """The operating system's own words for what was at the root of an error."""
    for cause in reversed(_causes(error)):
        if isinstance(cause, http.client.RemoteDisconnected):
            return " without an answer"  # an OSError, too
        if isinstance(cause, socket.gaierror) or (isinstance(cause, OSError) and cause.strerror):
            return f": {plain(cause.strerror)[:1].lower()}{plain(cause.strerror)[1:]}"
        if isinstance(cause, (http.client.BadStatusLine, http.client.LineTooLong)):
            return ": what came is not HTTP"
        if isinstance(cause, OSError):
            # urllib3 hands a proxy's refusal on as a text.
            found = re.fullmatch(r"Tunnel connection failed: (\d+ .*)", str(cause))
            return f": it says {plain(found[1])}" if found else ""
    return ""


def _causes(error: BaseException) -> list[BaseException]:
    """An error, what it was raised from, and what it was made of; the root comes last."""
    found: list[BaseException] = []
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if current in found:
            continue
        found.append(current)
        inner = [current.__cause__, current.__context__, getattr(current, "original_error", None), *current.args]
        waiting += [item for item in inner if isinstance(item, BaseException)]
    return found
