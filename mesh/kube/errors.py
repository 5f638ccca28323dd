"""Errors of the Kubernetes client, each with a message for users.

The messages name the cause, and never quote credentials: urllib3's own messages quote Python objects and headers.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterable

_MAX_TEXT_LENGTH = 200
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_NAME_MISMATCH_CODES = (62, 64)

_CERTIFICATES_REMEDY = (
    "correct certificate-authority, client-certificate and client-key in the kubeconfig, or log in again"
)
_REDACTED = "[secret]"
_MIN_SECRET_LENGTH = 6
_CREDENTIAL_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
        r"(?P<label>://)[^/@\s]+(?=@)",
        r"(?P<label>\b(authorization|bearer|basic|[\w-]{0,40}(token|password|passwd|passphrase|secret|api[_-]?key))"
        # After a colon and a space, a plain word belongs to the sentence.
        r"[\"']?(=|\s+=\s*|:(?!\s+[a-z]+\s)|:(?=\s*(bearer|basic) ))\s*(bearer |basic )?)[\"']?[^\s\"',;]+",
        r"(?P<label>--?[\w-]{0,40}(token|password|passphrase|secret|key)[\w-]{0,40}\s+)(?!-)\S+",
        r"(?P<label>\bbearer )\S+",
        r"\beyJ[\w-]{8,}(\.[\w-]+)*",  # a JWT
    )
)
# Tokens and keys have letters and digits, and no word is as long.
_LONG_WORD = re.compile(r"\b(?=[a-z_.=+-]{0,200}[0-9])(?=[0-9_.=+-]{0,200}[a-z])[\w=+-]{32,}", re.IGNORECASE)


class KubeError(Exception):
    """Base class of the errors of `mesh.kube.client`."""


class ApiUnreachableError(KubeError):
    """The API server cannot be reached, or the server there is no Kubernetes API server."""


class TlsError(ApiUnreachableError):
    """The server was reached, but the TLS handshake with it failed."""


class CertificateError(TlsError):
    """The server's certificate is not accepted.

    Args:
        message: the reason.
        is_name_mismatch: whether the certificate is valid for other names only.
    """

    def __init__(self, message: str, *, is_name_mismatch: bool = False) -> None:
        self.is_name_mismatch = is_name_mismatch
        super().__init__(message)


class BadCredentialsError(KubeError):
    """The kubeconfig has no usable credentials, or the API server refuses them.

    Args:
        message: the cause.
        remedy: an instruction for this cause; None: get new credentials.
    """

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class UnauthorizedError(BadCredentialsError):
    """The API server refuses the credentials (HTTP 401)."""


class KubeconfigContextError(BadCredentialsError):
    """The kubeconfig does not exist, or has no complete context of that name."""


class NotReadableError(KubeError):
    """One object or list cannot be read, while others can; the message names it and the reason."""


class ApiStatusError(KubeError):
    """The API server refuses a request.

    Args:
        request: method and URL, for the message.
        status: the HTTP status.
        reason: the HTTP reason phrase.
        message: the API server's explanation; the reason if there is none.
    """

    def __init__(self, request: str, status: int, reason: str, message: str = "") -> None:
        self.status = status
        self.reason = reason
        self.message = message or reason
        super().__init__(f"{request}: HTTP {status}: {to_single_line(self.message)}")


def to_single_line(text: object, max_length: int = _MAX_TEXT_LENGTH) -> str:
    """Return external text for a message: one line, no control characters, no object addresses, bounded length."""
    without_addresses = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "", str(text))
    line = " ".join("".join(char if char.isprintable() else " " for char in without_addresses).split())
    return line if len(line) <= max_length else f"{line[: max_length - 3]}..."


def redact_credentials(text: str, secrets: Iterable[str] = (), *, hides_long_words: bool = True) -> str:
    """Return foreign text without credentials.

    Args:
        text: for example the error output of a credential plugin.
        secrets: values that are secret; shorter ones than six characters are too common to be replaced.
        hides_long_words: whether each long word with a digit is hidden. Names of pods are such words.
    """
    for secret in sorted(filter(lambda each: len(each) >= _MIN_SECRET_LENGTH, secrets), key=len, reverse=True):
        text = text.replace(secret, _REDACTED)
    for pattern in _CREDENTIAL_PATTERNS:
        text = pattern.sub(lambda match: f"{match.groupdict().get('label') or ''}{_REDACTED}", text)
    return _LONG_WORD.sub(_REDACTED, text) if hides_long_words else text


def credentials_error(error: BaseException) -> BadCredentialsError:
    """Return the error for a kubeconfig or a credential plugin that failed."""
    if isinstance(error, BadCredentialsError):
        return error
    return BadCredentialsError(f"the kubeconfig's credentials cannot be used{_credentials_reason(error)}")


def _credentials_reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        path = f"{error.filename}: " if error.filename else ""
        return f": {to_single_line(f'{path}{error.strerror}')}"
    if isinstance(error, KeyError) and error.args:
        return f": {to_single_line(f'{error.args[0]} is missing')}"
    message = to_single_line(error)
    return f": {message}" if message else ""


def request_error(
    error: Exception, timeout_s: float, connect_timeout_s: float | None = None
) -> ApiUnreachableError | BadCredentialsError:
    """Return the error for a request without a response.

    Args:
        error: the exception of urllib3, http.client or ssl.
        timeout_s: seconds that the request had.
        connect_timeout_s: seconds that the connection had, if that is another limit.
    """
    from urllib3 import exceptions as urllib3

    if isinstance(error, urllib3.MaxRetryError) and error.reason is not None:
        error = error.reason
    socks_error = next((cause for cause in _causes(error) if type(cause).__module__ == "socks"), None)
    if socks_error is not None:
        cause = _root_cause(error) or f": {to_single_line(socks_error)}"
        return ApiUnreachableError(f"the proxy refuses the connection{cause}")
    if isinstance(error, urllib3.ProxyError):
        return ApiUnreachableError(f"the proxy refuses the connection{_root_cause(error)}")
    if isinstance(error, urllib3.NameResolutionError):
        return ApiUnreachableError(f"the host name cannot be resolved{_root_cause(error)}")
    if isinstance(error, urllib3.NewConnectionError):
        return ApiUnreachableError(f"the connection failed{_root_cause(error)}")
    if isinstance(error, urllib3.ConnectTimeoutError):
        limit_s = timeout_s if connect_timeout_s is None else connect_timeout_s
        return ApiUnreachableError(f"no connection within {limit_s:g} seconds")
    if isinstance(error, (urllib3.ReadTimeoutError, TimeoutError)):
        return ApiUnreachableError(f"no response within {timeout_s:g} seconds")
    if isinstance(error, urllib3.SSLError):
        return _tls_error(error)
    if isinstance(error, urllib3.LocationValueError):
        return ApiUnreachableError("the URL is not valid")
    unreadable_file = next(
        (cause for cause in _causes(error) if isinstance(cause, (FileNotFoundError, PermissionError))), None
    )
    if unreadable_file is not None:
        reason = to_single_line(unreadable_file.strerror)
        return BadCredentialsError(
            f"the kubeconfig's certificate or key cannot be read: {reason}", _CERTIFICATES_REMEDY
        )
    if isinstance(error, (urllib3.HTTPError, http.client.HTTPException, OSError)):
        return ApiUnreachableError(f"the connection broke off{_root_cause(error)}")
    # http.client refuses a header with a line end or another invalid character, and quotes it.
    return BadCredentialsError(
        "the kubeconfig's credentials cannot be used: they contain characters that HTTP does not allow"
    )


def _tls_error(error: Exception) -> ApiUnreachableError | BadCredentialsError:
    causes = [cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)]
    if not causes:
        return TlsError(f"TLS failed{_root_cause(error)}")
    cause = causes[-1]
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = to_single_line(cause.verify_message).rstrip(".")
        return CertificateError(
            f"the server's certificate is not accepted: {reason}",
            is_name_mismatch=cause.verify_code in _NAME_MISMATCH_CODES,
        )
    # OpenSSL reports unreadable PEM files in this way only, and gives no reason for some of them.
    if cause.library in ("PEM", "X509") or "PEM lib" in str(cause):
        return BadCredentialsError(
            "the kubeconfig's certificates or its key cannot be read, or do not belong together", _CERTIFICATES_REMEDY
        )
    if isinstance(cause, ssl.SSLEOFError):
        return TlsError("TLS failed: the server closed the connection")
    reason = (cause.reason or "").replace("_", " ").lower()
    if reason in ("wrong version number", "record layer failure"):
        return TlsError("the server does not use TLS")
    return TlsError(f"TLS failed{': ' if reason else ''}{reason}")


def _root_cause(error: BaseException) -> str:
    """Return the operating system's message for the root cause, with a separator before it."""
    for cause in reversed(_causes(error)):
        if isinstance(cause, http.client.RemoteDisconnected):
            return " without a response"  # before OSError, of which it is a subclass
        if isinstance(cause, socket.gaierror) or (isinstance(cause, OSError) and cause.strerror):
            message = to_single_line(cause.strerror)
            return f": {message[:1].lower()}{message[1:]}"
        if isinstance(cause, (http.client.BadStatusLine, http.client.LineTooLong)):
            return ": the response is not HTTP"
        if isinstance(cause, OSError):
            # urllib3 reports a proxy's refusal as text only.
            refusal = re.fullmatch(r"Tunnel connection failed: (\d+ .*)", str(cause))
            return f": {to_single_line(refusal[1])}" if refusal else ""
    return ""


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and all errors that it was raised from or contains, with the root cause last."""
    causes: list[BaseException] = []
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if current in causes:
            continue
        causes.append(current)
        inner = [current.__cause__, current.__context__, getattr(current, "original_error", None), *current.args]
        waiting += [item for item in inner if isinstance(item, BaseException)]
    return causes
