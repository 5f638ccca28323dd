"""Hostile files named in commands and stack files: pipes, devices, endless files and binary data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hack.lab import __main__ as lab
from mesh import bounded_io
from mesh.kube import kubeconfig
from mesh.kube.kubeconfig_syntax import KubeconfigError
from policy import check as policy
from review import preview, redaction
from review.preview import PreviewFailedError
from review.publish import __main__ as publish
from tests.helpers import kubeconfigs
from tests.helpers.certificates import pem_header
from tests.helpers.resource_limits import limited_resources as limited_resources
from tests.helpers.stack_files import Environment, error_message

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("limited_resources")]


def create_pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def create_large_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 * 2**30)  # sparse: uses no disk space


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


for_each_non_file = pytest.mark.parametrize(
    ("create", "error"),
    [
        (create_pipe, "not a file"),
        (link_to_zeros, "not a file"),
        (create_large_file, "larger than 16 MiB"),
        (Path.mkdir, "Is a directory"),
        (link_to_itself, "Too many levels of symbolic links"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)


@for_each_non_file
def test_kubeconfig_that_is_no_file_is_refused(
    create: Callable[[Path], None], error: str, tmp_path: Path, small_environment: Environment
) -> None:
    file = tmp_path / "config"
    create(file)

    with pytest.raises(KubeconfigError, match=error):
        kubeconfig.read_kubeconfigs([file])
    assert error_message({"clusters": {"west": {}}}, [], {**small_environment, "KUBECONFIG": str(file)})
    assert error_message({"clusters": {"west": {"kubeconfig": str(file)}}}, [], small_environment)


@for_each_non_file
def test_certificate_authority_that_is_no_file_is_refused(
    create: Callable[[Path], None], error: str, tmp_path: Path
) -> None:
    create(tmp_path / "ca.crt")
    environment = kubeconfigs.write_kubeconfig(
        tmp_path / "config", west={"server": "https://w.example.com", "certificate-authority": "ca.crt"}
    )

    context = kubeconfig.read_kubeconfigs([Path(environment["KUBECONFIG"])]).contexts["west"]

    assert context.error is not None
    assert error in context.error


def test_dev_null_is_an_empty_kubeconfig() -> None:
    assert kubeconfig.read_kubeconfigs([Path(os.devnull)]).contexts == {}


HOSTILE_PREVIEWS = {
    "binary": (bytes(range(256)), "not UTF-8 text"),
    "UTF-16": (json.dumps({"steps": []}).encode("utf-16"), "not UTF-8 text"),
    "Latin-1": ("caf\xe9".encode("latin-1"), "not UTF-8 text"),
    "nothing": (b"", "not JSON"),
    "lists in lists": (b"[" * 100_000, "not JSON"),
    "mappings in mappings": (b'{"a":' * 100_000, "not JSON"),
    "a number of 10,000 digits": (b"9" * 10_000, "not JSON"),
    "cut off": (b'{"steps": [', "not JSON"),
    "a list": (b"[]", "no preview"),
    "steps that are none": (b'{"steps": [1]}', "steps[0]: not a step"),
}


@pytest.mark.parametrize(("content", "error"), HOSTILE_PREVIEWS.values(), ids=HOSTILE_PREVIEWS.keys())
def test_hostile_preview_is_one_line_error(
    content: bytes, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "preview.json").write_bytes(content)

    assert policy.main([str(tmp_path / "preview.json")]) == 2

    output = capsys.readouterr().err
    assert output.startswith(f"{tmp_path}/preview.json: {error}")
    assert output.count("\n") == 1
    with pytest.raises(PreviewFailedError):
        preview.parse_preview(content.decode("latin-1"))


def test_endless_preview_is_an_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "MAX_PREVIEW_BYTES", 2**22)

    assert policy.main(["/dev/zero"]) == 2
    assert capsys.readouterr().err == "/dev/zero: larger than 4 MiB\n"


@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "a\nmandatory: all is well", "\ud800", "\u202etxet", "$(id)`id`", "%s%n"]
)
def test_violation_is_one_line_for_any_resource_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = "pulumi:providers:kubernetes"
    state = {"urn": f"urn:pulumi:s::p::{kind}::{name}", "type": kind, "inputs": {"context": name}}
    (tmp_path / "preview.json").write_text(json.dumps({"steps": [{"op": "create", "newState": state}]}))

    assert policy.main([str(tmp_path / "preview.json")]) == 1

    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert line.startswith("mandatory: ")


@pytest.mark.parametrize(
    "text", ['{"all": "mandatory", "all": "disabled"}', "[" * 100_000, '{"lifetimes": {"authorityHours": 1e999}}', "\0"]
)
def test_hostile_policy_configuration_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "preview.json").write_text('{"steps": []}')

    assert policy.main([str(tmp_path / "preview.json"), "--config", str(tmp_path / "config.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "create", [link_to_zeros, create_large_file, Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe")]
)
def test_comment_that_is_no_text_is_refused(
    create: Callable[[Path], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path / "review.md")
    for name, value in {"GITHUB_TOKEN": "x", "GITHUB_REPOSITORY": "a/b", "PULL_REQUEST": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")

    assert publish.main(["github", "--file", str(tmp_path / "review.md"), "--marker", "dev"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "name", ["../../etc", "$(id)", "a b", "-rf", "a\nb", "a" * 64, "", "a;id", "{{ . }}", "we\u200bst", "\udcff"]
)
def test_lab_refuses_hostile_cluster_names(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "lab"))

    assert lab.main(["start", "--", name]) == 1
    assert lab.main(["start", f"--load-balancer={name}=ip"]) == 1

    output = capsys.readouterr().err
    assert output.startswith("lab: cluster name ")
    assert all(line.isprintable() for line in output.splitlines())
    assert not list(tmp_path.glob("lab/*"))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "a." * 100_000,
        f"{pem_header('CERTIFICATE')}\n" * 5000,
        f"{pem_header('PRIVATE KEY')}\n" * 5000,
        "eyJ" * 5_000,
        "A " * 50_000 + "!",
        "A" * 40 + " " * 100_000 + "!",
        "token" + " " * 100_000 + "x",
        "a://" * 20_000,
        "\ud800" * 1000,
    ],
    ids=lambda text: repr(text[:24]),
)
def test_hostile_text_is_redacted_within_limits(text: str) -> None:
    assert redaction.to_plain(redaction.redact({"a": text}, secrets=["known-secret"]))["a"]
    assert redaction.redact_text(text)


def test_file_read_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(2**20))

    assert len(bounded_io.read_regular_file(tmp_path / "file", 2**20)) == 2**20
    with pytest.raises(OSError, match="larger than 0 MiB"):
        bounded_io.read_regular_file(tmp_path / "file", 2**20 - 1)
