"""Credentials of a kubeconfig's context, as HTTP headers and files for TLS.

The precedence is client-go's: a token, a password or a certificate of the user's own, then a plugin.
"""

from __future__ import annotations

import atexit
import base64
import binascii
import json
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from mesh import bounded_io
from mesh.kube.errors import BadCredentialsError
from mesh.kube.exec_plugin import PluginCredentials, run_plugin
from mesh.kube.json_access import as_mapping, as_text, as_texts
from mesh.kube.kubeconfig import Context

# Tokens are renewed before they expire, because an update can be slow.
_RENEWAL_MARGIN = timedelta(minutes=5)
# Characters of a header's name; others of a key of `as-user-extra` are escaped.
_HEADER_CHARACTERS = frozenset("!#$&'*+-.0123456789^_`abcdefghijklmnopqrstuvwxyz|~ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files for a TLS connection."""

    authority: str | None = None
    certificate: str | None = None
    key: str | None = None


class Credentials:
    """The credentials of a context; runs its plugin when they are first needed, and before they expire.

    Args:
        context: a context without problems.
    """

    def __init__(self, context: Context) -> None:
        self._cluster: Mapping[str, Any] = context.cluster.fields if context.cluster is not None else {}
        self._user: Mapping[str, Any] = context.user.fields if context.user is not None else {}
        self._context = context
        self._lock = Lock()
        self._plugin_credentials: PluginCredentials | None = None
        self._files: dict[str, str] = {}  # by key of the user or cluster

    def authorization(self) -> str | None:
        """Return the Authorization header, or None.

        Raises:
            BadCredentialsError: a file or a plugin has no credentials.
        """
        user = self._user
        if not self._context.uses_tls:
            return None  # kubectl sends no credentials without TLS
        token = self._token()
        if token:
            return f"Bearer {token}"
        if user.get("username") or user.get("password"):
            pair = f"{as_text(user.get('username'))}:{as_text(user.get('password'))}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        if self._has_certificate:
            return None
        if user.get("exec"):
            with self._lock:
                return f"Bearer {token}" if (token := self._run_plugin().token) else None
        if user.get("auth-provider"):
            return f"Bearer {_read_id_token(as_mapping(user['auth-provider'], 'config'), self._context.name)}"
        return None

    def impersonation(self) -> Iterator[tuple[str, str]]:
        """Yield the headers of the impersonated user: name, UID, groups and extra fields."""
        user = self._user
        if name := as_text(user.get("as")):
            yield "Impersonate-User", name
            if uid := as_text(user.get("as-uid")):
                yield "Impersonate-Uid", uid
            for group in as_texts(user.get("as-groups")):
                yield "Impersonate-Group", group
            for key, values in as_mapping(user, "as-user-extra").items():
                for value in as_texts(values):
                    yield f"Impersonate-Extra-{_escape_header(key)}", value

    def tls_files(self) -> TlsFiles:
        """Return the files for TLS connections, with temporary ones for data in the kubeconfig.

        Raises:
            BadCredentialsError: a plugin has no credentials.
        """
        if not self._context.uses_tls:
            return TlsFiles()
        authority = self._file(self._cluster, "certificate-authority")
        if self._has_certificate:
            files = (self._file(self._user, "client-certificate"), self._file(self._user, "client-key"))
            _check_not_encrypted(files[1])
            return TlsFiles(authority=authority, certificate=files[0], key=files[1])
        if self._user.get("exec") and not self._user.get("token") and not self._user.get("tokenFile"):
            self.authorization()
        return TlsFiles(
            authority=authority, certificate=self._files.get("plugin-certificate"), key=self._files.get("plugin-key")
        )

    @property
    def _has_certificate(self) -> bool:
        return any(self._user.get(key) for key in ("client-certificate", "client-certificate-data"))

    def _token(self) -> str:
        """Return the token of the user; the file is read again each time, because others renew it."""
        token, path = as_text(self._user.get("token")), as_text(self._user.get("tokenFile"))
        if not path:
            return token
        try:
            content = bounded_io.read_regular_file(Path(path)).decode(errors="replace").strip()
            reason = "the file is empty"
        except (OSError, ValueError) as error:
            content, reason = "", getattr(error, "strerror", None) or "not a file"
        if not content and not token:
            raise BadCredentialsError(
                f"the kubeconfig's tokenFile {path} has no token: {reason}", "restore the file, or correct the path"
            )
        return content or token

    def _run_plugin(self) -> PluginCredentials:
        credentials = self._plugin_credentials
        if credentials is not None and (
            credentials.expiry is None or credentials.expiry - _RENEWAL_MARGIN > datetime.now(tz=UTC)
        ):
            return credentials
        cluster = dict(self._cluster)
        if self._context.certificate_authority:
            cluster["certificate-authority-data"] = self._context.certificate_authority
        credentials = run_plugin(self._user["exec"], cluster)
        # A connection that is opened later reads the renewed files.
        for name, content in (("plugin-certificate", credentials.certificate), ("plugin-key", credentials.key)):
            if content:
                self._files[name] = _write_file(content.encode(), self._files.get(name))
        self._plugin_credentials = credentials
        return credentials

    def _file(self, fields: Mapping[str, Any], key: str) -> str | None:
        data = as_text(fields.get(f"{key}-data"))
        if not data:
            return as_text(fields.get(key)) or None
        if key not in self._files:
            try:
                content = base64.b64decode(data)
            except (binascii.Error, ValueError):
                raise BadCredentialsError(f"the kubeconfig's {key}-data is not base64", "log in again") from None
            self._files[key] = _write_file(content)
        return self._files[key]


def _check_not_encrypted(path: str | None) -> None:
    """Check that a private key needs no password.

    Raises:
        BadCredentialsError: it needs one, or cannot be read.
    """
    try:
        content = bounded_io.read_regular_file(Path(path or ""))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file"
        raise BadCredentialsError(
            f"the kubeconfig's client-key {path} cannot be read: {reason}", "correct the path, or restore the file"
        ) from None
    if b"ENCRYPTED" in content:
        raise BadCredentialsError(
            "the kubeconfig's client-key is encrypted, which kubectl does not support",
            "decrypt it (`openssl pkey`), and set the result as the user's client-key",
        )


def _read_id_token(settings: Mapping[str, Any], context: str) -> str:
    """Return the token of an OpenID Connect provider.

    Raises:
        BadCredentialsError: there is none, or it has expired. kubectl can renew it, and writes it to the kubeconfig.
    """
    token = as_text(settings.get("id-token"))
    try:
        payload = token.split(".")[1]
        expiry = float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        expiry = 0.0
    if time.time() + 10 < expiry:  # 10 seconds, as kubectl
        return token
    if settings.get("refresh-token"):
        remedy = f"run `kubectl --context={shlex.quote(context)} get --raw=/version`, which renews it"
    else:
        remedy = "log in with the provider's own command, or use an `exec` plugin"
    raise BadCredentialsError("the id-token of the kubeconfig's auth-provider has expired, or is missing", remedy)


def _escape_header(key: str) -> str:
    return "".join(chr(byte) if chr(byte) in _HEADER_CHARACTERS else f"%{byte:02X}" for byte in key.encode())


@cache
def _folder() -> Path:
    """Return a folder for credentials, which only this user can read; Python's TLS reads files only."""
    folder = tempfile.mkdtemp(prefix="multicluster-mesh-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _write_file(content: bytes, path: str | None = None) -> str:
    """Write a file at once, or replace one, and return its path."""
    descriptor, new_path = tempfile.mkstemp(dir=_folder())
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    if path is None:
        return new_path
    Path(new_path).replace(path)
    return path
