"""Files that a command or a stack file names: pipes, devices, what never ends, and what is no text."""

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
from policy import check as policy
from review import preview, redaction
from review.publish import __main__ as forge
from review.pulumi_cli import PreviewFailed
from tests.helpers import kubeconfigs
from tests.helpers.certificate_authority import begins
from tests.helpers.resource_limits import bounded as bounded
from tests.helpers.stack_files import Environment, judged

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("bounded")]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 * 2**30)  # without a byte of it on a disk


def itself(path: Path) -> None:
    path.symlink_to(path)


NO_FILES = pytest.mark.parametrize(
    ("make", "said"),
    [
        (pipe, "not a file"),
        (zeros, "not a file"),
        (large, "larger than 16 MiB"),
        (Path.mkdir, "Is a directory"),
        (itself, "Too many levels of symbolic links"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)


@NO_FILES
def test_a_kubeconfig_that_is_no_file_is_refused(
    make: Callable[[Path], None], said: str, tmp_path: Path, small: Environment
) -> None:
    file = tmp_path / "config"
    make(file)

    with pytest.raises(kubeconfig.KubeconfigError, match=said):
        kubeconfig.read_kubeconfigs([file])
    assert judged({"clusters": {"west": {}}}, [], {**small, "KUBECONFIG": str(file)})
    assert judged({"clusters": {"west": {"kubeconfig": str(file)}}}, [], small)


@NO_FILES
def test_a_certificate_authority_that_is_no_file_is_refused(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "ca.crt")
    found = kubeconfigs.write(
        tmp_path / "config", west={"server": "https://w.example.com", "certificate-authority": "ca.crt"}
    )

    context = kubeconfig.read_kubeconfigs([Path(found["KUBECONFIG"])]).contexts["west"]

    assert context.fault is not None
    assert said in context.fault


def test_dev_null_is_an_empty_kubeconfig_as_it_is_for_kubectl() -> None:
    assert kubeconfig.read_kubeconfigs([Path(os.devnull)]).contexts == {}


BAD = {
    "binary": (bytes(range(256)), "no text"),
    "UTF-16": (json.dumps({"steps": []}).encode("utf-16"), "no text"),
    "Latin-1": ("caf\xe9".encode("latin-1"), "no text"),
    "nothing": (b"", "not JSON"),
    "lists in lists": (b"[" * 100_000, "not JSON"),
    "mappings in mappings": (b'{"a":' * 100_000, "not JSON"),
    "a number of 10,000 digits": (b"9" * 10_000, "not JSON"),
    "cut off": (b'{"steps": [', "not JSON"),
    "a list": (b"[]", "no preview"),
    "steps that are none": (b'{"steps": [1]}', "steps[0]: not a step"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD.keys())
def test_a_hostile_preview_can_not_be_judged(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "preview.json").write_bytes(content)

    assert policy.main([str(tmp_path / "preview.json")]) == 2

    told = capsys.readouterr().err
    assert told.startswith(f"{tmp_path}/preview.json: {said}")
    assert told.count("\n") == 1
    with pytest.raises(PreviewFailed):
        preview.parse(content.decode("latin-1"))


def test_a_preview_without_end_can_not_be_judged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "LARGEST", 2**22)

    assert policy.main(["/dev/zero"]) == 2
    assert capsys.readouterr().err == "/dev/zero: larger than 4 MiB\n"


@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "a\nmandatory: all is well", "\ud800", "\u202etxet", "$(id)`id`", "%s%n"]
)
def test_a_violation_is_one_line_whatever_a_resource_is_called(
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
def test_a_hostile_configuration_of_the_rules_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "preview.json").write_text('{"steps": []}')

    assert policy.main([str(tmp_path / "preview.json"), "--config", str(tmp_path / "config.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("make", [zeros, large, Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe")])
def test_a_comment_that_is_no_text_is_refused(
    make: Callable[[Path], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "review.md")
    for name, value in {"GITHUB_TOKEN": "x", "GITHUB_REPOSITORY": "a/b", "PULL_REQUEST": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")

    assert forge.main(["github", "--file", str(tmp_path / "review.md"), "--marker", "dev"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "name", ["../../etc", "$(id)", "a b", "-rf", "a\nb", "a" * 64, "", "a;id", "{{ . }}", "we\u200bst", "\udcff"]
)
def test_the_lab_takes_no_name_that_is_more_than_a_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "lab"))

    assert lab.main(["start", "--", name]) == 1
    assert lab.main(["start", f"--load-balancer={name}=ip"]) == 1

    told = capsys.readouterr().err
    assert told.startswith("lab: cluster name ")
    assert all(line.isprintable() for line in told.splitlines())
    assert not list(tmp_path.glob("lab/*"))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "a." * 100_000,
        f"{begins('CERTIFICATE')}\n" * 5000,
        f"{begins('PRIVATE KEY')}\n" * 5000,
        "eyJ" * 5_000,
        "A " * 50_000 + "!",
        "A" * 40 + " " * 100_000 + "!",
        "token" + " " * 100_000 + "x",
        "a://" * 20_000,
        "\ud800" * 1000,
    ],
    ids=lambda text: repr(text[:24]),
)
def test_a_hostile_text_is_masked_in_no_time(text: str) -> None:
    assert redaction.plain(redaction.masked({"a": text}, known=["known-secret"]))["a"]
    assert redaction.scrubbed(text)


def test_what_is_read_of_a_file_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(2**20))

    assert len(bounded_io.read_regular_file(tmp_path / "file", 2**20)) == 2**20
    with pytest.raises(OSError, match="larger than 0 MiB"):
        bounded_io.read_regular_file(tmp_path / "file", 2**20 - 1)
