"""Credential plugins: their words, limits and secrets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mesh.kube import exec_plugin
from mesh.kube.errors import BadCredentialsError, redact_credentials
from mesh.kube.exec_plugin import run_plugin

# Programs and servers of the tests take seconds.
pytestmark = pytest.mark.thorough

V1 = "client.authentication.k8s.io/v1"
CREDENTIAL = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}'


def build_plugin(folder: Path, script: str, **fields: Any) -> dict[str, Any]:
    """Return a user's `exec` with a shell script."""
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"apiVersion": V1, "command": str(path), "interactiveMode": "Never", **fields}


def test_plugins_own_words_are_shown(tmp_path: Path) -> None:
    plugin = build_plugin(tmp_path, "echo 'Error loading SSO Token for dev' >&2; exit 255", args=["get-token"])

    with pytest.raises(BadCredentialsError) as caught:
        run_plugin(plugin, {})

    path = plugin["command"]
    assert str(caught.value) == (
        f'the kubeconfig\'s plugin {path} failed with exit code 255: "Error loading SSO Token for dev"'
    )
    assert caught.value.remedy == f"do what the plugin asks for (log in?), and try it: `{path} get-token`"


def test_plugins_words_are_bounded_and_one_line(tmp_path: Path) -> None:
    script = "for i in $(seq 2000); do echo \"line $i\" >&2; done; printf 'log\\033[1m in' >&2; exit 1"

    with pytest.raises(BadCredentialsError) as caught:
        run_plugin(build_plugin(tmp_path, script), {})

    message = str(caught.value)
    assert message.isprintable()
    assert message.endswith('log [1m in"')
    assert len(message) < 500


@pytest.mark.parametrize(
    "secret",
    [
        "$LOGIN",
        "Authorization: Basic aHVzaDpodXNo",
        "token=hush-hush",
        'client_secret: "hush"',
        "https://me:hush@login.example.com/",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJodXNoIn0.aHVzaA",
        "k8s-aws-v1.aHR0cHM6Ly9zdHMuYW1hem9uYXdzLmNvbS8hush",
    ],
)
def test_secrets_in_plugins_words_are_hidden(tmp_path: Path, secret: str) -> None:
    plugin = build_plugin(
        tmp_path,
        f"cat >&2 <<END\nfor dev: {secret}\nEND\nexit 1",
        env=[{"name": "LOGIN", "value": "hush-login"}, {"name": "AWS_PROFILE", "value": "for dev"}],
    )

    with pytest.raises(BadCredentialsError) as caught:
        run_plugin(plugin, {})

    assert "hush" not in str(caught.value)
    assert "for dev" in str(caught.value)
    assert "[secret]" in str(caught.value)


def test_secret_arguments_are_not_in_remedy(tmp_path: Path) -> None:
    plugin = build_plugin(tmp_path, "exit 1", args=["get-token", "--client-secret", "hush-hush", "--server-id=5"])

    with pytest.raises(BadCredentialsError) as caught:
        run_plugin(plugin, {})

    assert (caught.value.remedy or "").endswith("get-token --client-secret [secret] --server-id=5`")


def test_credentials_of_failed_plugin_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(BadCredentialsError, match="exit code 1 and printed nothing about it") as caught:
        run_plugin(build_plugin(tmp_path, "echo hush; exit 1"), {})

    assert "hush" not in str(caught.value)


def test_slow_plugin_is_ended_with_its_words(tmp_path: Path) -> None:
    plugin = build_plugin(tmp_path, f"echo 'open the browser' >&2; echo $$ > {tmp_path}/pid; exec sleep 30")
    began = time.monotonic()

    with pytest.raises(BadCredentialsError, match=r'within 0\.5 seconds; its message: "open the browser"'):
        run_plugin(plugin, {}, timeout_s=0.5)

    assert time.monotonic() - began < 10
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_background_process_does_not_delay_credentials(tmp_path: Path) -> None:
    began = time.monotonic()

    credentials = run_plugin(build_plugin(tmp_path, f"sleep 3 &\necho '{CREDENTIAL}'"), {})

    assert credentials.token == "t"
    assert time.monotonic() - began < 2


def test_endless_output_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_plugin, "_MAX_OUTPUT_BYTES", 2**10)

    with pytest.raises(BadCredentialsError, match="prints more than"):
        run_plugin(build_plugin(tmp_path, "while :; do echo y; done"), {})


def test_plugin_has_no_input(tmp_path: Path) -> None:
    assert run_plugin(build_plugin(tmp_path, f"read line; echo '{CREDENTIAL}'"), {}).token == "t"


def test_relative_time_of_expiry_is_refused(tmp_path: Path) -> None:
    credential = CREDENTIAL.replace('"t"', '"t", "expirationTimestamp": "tomorrow"')

    with pytest.raises(BadCredentialsError, match="its expirationTimestamp is no time"):
        run_plugin(build_plugin(tmp_path, f"echo '{credential}'"), {})


def test_plain_words_are_not_redacted() -> None:
    words = "Unable to locate credentials. You can configure credentials by running `aws configure` in eu-central-1"

    assert redact_credentials(words) == words
