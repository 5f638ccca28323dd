"""Credential plugins, run as kubectl runs them.

Follows https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins. A plugin
never gets a terminal, because the Kubernetes provider has none either.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from mesh import strict_yaml
from mesh.kube.errors import BadCredentialsError, redact_credentials, to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text, as_texts

# A plugin may have to contact another service. Shorter than the limit of the preflight, which cannot quote the plugin.
PLUGIN_TIMEOUT_S = 55.0
# Plugins print a few kilobytes.
_MAX_OUTPUT_BYTES = 2**20
_SIZE_CHECK_INTERVAL_S = 0.2
# The end of a plugin's words has the reason.
_MAX_SHOWN_LENGTH = 300
# The patterns of credentials are slow for long texts.
_MAX_REDACTED_BYTES = 2**13
# Variables with these endings explain a plugin's words, and are no secrets.
_PUBLIC_VARIABLES = ("CONFIG", "ENDPOINT", "ENDPOINTS", "FILE", "HOME", "PATH", "PROFILE", "PROJECT", "REGION", "URL")
# The extension of a cluster with the plugin's configuration.
_CONFIGURATION_EXTENSION = "client.authentication.k8s.io/exec"
_CLUSTER_KEYS = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
)


@dataclass(frozen=True, kw_only=True)
class PluginCredentials:
    """The credentials that a plugin has printed."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)  # PEM
    key: str = field(default="", repr=False)  # PEM
    expiry: datetime | None = None


def run_plugin(
    plugin: Mapping[str, Any], cluster: Mapping[str, Any], timeout_s: float = PLUGIN_TIMEOUT_S
) -> PluginCredentials:
    """Run a plugin and return its credentials.

    Args:
        plugin: a user's `exec`, with an absolute path or a command to find on PATH.
        cluster: the fields of the cluster, for plugins that need them; `certificate-authority-data` has the CA.
        timeout_s: seconds for the plugin.

    Raises:
        BadCredentialsError: the plugin does not exist, fails, or prints no credentials.
    """
    command = as_text(plugin.get("command"))
    program = _find_program(command, as_text(plugin.get("installHint")))
    label = f"the kubeconfig's plugin {_single_line(command)}"
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        status = _run(program, plugin, cluster, output, errors, timeout_s, label)
        content, words = _read(output), _format_words(_read(errors), plugin)
    reason = f': "{words}"' if words else " and printed nothing about it"
    remedy = f"do what the plugin asks for (log in?), and try it: {_format_command(plugin)}"
    if status != 0:
        how = f"failed with exit code {status}" if status > 0 else f"was ended by signal {-status}"
        raise BadCredentialsError(f"{label} {how}{reason}", remedy)
    try:
        return _parse_output(content, as_text(plugin.get("apiVersion")))
    except ValueError as error:
        raise BadCredentialsError(
            f"{label} printed no usable credentials: {error}{_format_quote(words)}", remedy
        ) from None


def _find_program(command: str, hint: str) -> str:
    """Return the path of a plugin's program.

    Raises:
        BadCredentialsError: there is none, or it is not executable.
    """
    # client-go looks on the PATH of its own process, not on one in the plugin's `env`.
    program = shutil.which(command)
    if program is not None:
        return program
    label = f"the kubeconfig's plugin {_single_line(command)}"
    if os.sep not in command:
        rule, remedy = f"{label} is not on PATH", "install it, or write its absolute path as the user's exec.command"
    elif not Path(command).exists():
        rule, remedy = f"{label} does not exist", "install it there, or correct the user's exec.command"
        if f"{os.sep}~{os.sep}" in command:
            remedy = "write the whole path as the user's exec.command, because kubectl does not expand `~`"
    else:
        rule, remedy = (
            f"{label} is not executable",
            f"run `chmod +x {_single_line(shlex.quote(command))}`, if it is the plugin",
        )
    if hint:
        remedy = f"{remedy} (hint of the kubeconfig: {_single_line(redact_credentials(hint))})"
    raise BadCredentialsError(rule, remedy)


def _run(
    program: str,
    plugin: Mapping[str, Any],
    cluster: Mapping[str, Any],
    output: IO[bytes],
    errors: IO[bytes],
    timeout_s: float,
    label: str,
) -> int:
    """Run a plugin and return its exit status; files instead of pipes, which a plugin's own children keep open."""
    variables = {as_text(each.get("name")): as_text(each.get("value")) for each in as_mappings(plugin.get("env"))}
    environment = {**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(_exec_info(plugin, cluster))}
    try:
        process = subprocess.Popen(
            [program, *as_texts(plugin.get("args"))],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its arguments or variables have invalid characters"
        remedy = "install the plugin for this machine, or correct the user's `exec`"
        raise BadCredentialsError(f"{label} cannot be started: {to_single_line(reason)}", remedy) from None
    deadline = time.monotonic() + timeout_s
    try:
        while (remaining_s := deadline - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(min(remaining_s, _SIZE_CHECK_INTERVAL_S))
            if max(os.fstat(file.fileno()).st_size for file in (output, errors)) > _MAX_OUTPUT_BYTES:
                raise BadCredentialsError(
                    f"{label} prints more than {_MAX_OUTPUT_BYTES // 2**20} MiB", "correct the user's `exec`"
                )
        words = _format_words(_read(errors), plugin)
        raise BadCredentialsError(
            f"{label} returned no credentials within {timeout_s:g} seconds{_format_quote(words)}",
            f"log in with the plugin beforehand, and try it: {_format_command(plugin)}",
        )
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _exec_info(plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo") is True:
        spec["cluster"] = {key: cluster[key] for key in _CLUSTER_KEYS if cluster.get(key)}
        for extension in as_mappings(cluster.get("extensions")):
            if extension.get("name") == _CONFIGURATION_EXTENSION:
                spec["cluster"]["config"] = extension.get("extension")
    return {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}


def _parse_output(content: bytes, api_version: str) -> PluginCredentials:
    """Return the credentials in a plugin's output.

    Raises:
        ValueError: the output has none; the message quotes no part of it.
    """
    if not content.strip():
        raise ValueError("the output is empty")
    try:
        credential = json.loads(content)
    except (ValueError, RecursionError):
        try:
            credential = strict_yaml.load(content)  # which kubectl accepts as well
        except strict_yaml.StrictYamlError:
            raise ValueError("the output is not JSON") from None
    if not isinstance(credential, dict) or credential.get("kind") != "ExecCredential":
        raise ValueError("the output is no ExecCredential")
    if credential.get("apiVersion") != api_version:
        raise ValueError(f"the output has another apiVersion than the kubeconfig, which has {api_version}")
    status = as_mapping(credential, "status")
    token, certificate, key = (
        as_text(status.get(name)) for name in ("token", "clientCertificateData", "clientKeyData")
    )
    if not (token or certificate or key):
        raise ValueError("its `status` has neither a token nor a certificate")
    if bool(certificate) != bool(key):
        raise ValueError("its `status` has a certificate or a key, but not both")
    return PluginCredentials(
        token=token, certificate=certificate, key=key, expiry=_parse_time(status.get("expirationTimestamp"))
    )


def _parse_time(value: Any) -> datetime | None:
    if isinstance(value, datetime):  # YAML's own type
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(as_text(value))
    except ValueError:
        raise ValueError("its expirationTimestamp is no time") from None


def _read(file: IO[bytes]) -> bytes:
    """Return the end of a file; a plugin that prints more than the maximum prints no credentials."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MAX_OUTPUT_BYTES))
    return file.read(_MAX_OUTPUT_BYTES)


def _format_words(errors: bytes, plugin: Mapping[str, Any]) -> str:
    text = redact_credentials(errors[-_MAX_REDACTED_BYTES:].decode(errors="replace"), _secrets(plugin))
    words = to_single_line(text, len(text))
    return words if len(words) <= _MAX_SHOWN_LENGTH else f"...{words[3 - _MAX_SHOWN_LENGTH :]}"


def _format_quote(words: str) -> str:
    return f'; its message: "{words}"' if words else ""


def _secrets(plugin: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of a plugin's variables that can be secret."""
    for variable in as_mappings(plugin.get("env")):
        if not as_text(variable.get("name")).upper().endswith(_PUBLIC_VARIABLES):
            yield as_text(variable.get("value"))


def _format_command(plugin: Mapping[str, Any]) -> str:
    """Return a command to paste, without secret arguments and without the plugin's variables."""
    arguments = redact_credentials(shlex.join(as_texts(plugin.get("args"))))
    command = shlex.quote(as_text(plugin.get("command")))
    return f"`{_single_line(f'{command} {arguments}')}`"


def _single_line(text: str) -> str:
    return to_single_line(text, _MAX_SHOWN_LENGTH)
