"""Kubeconfigs, parsed as kubectl parses them."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from mesh.kube import kubeconfig
from tests.helpers import kubeconfigs


def test_first_file_that_sets_name_wins(tmp_path: Path) -> None:
    kubeconfigs.write_kubeconfig(tmp_path / "one", west={"server": "https://one.example.com"})
    kubeconfigs.write_kubeconfig(
        tmp_path / "two", west={"server": "https://two.example.com"}, east={"server": "https://e.example.com"}
    )
    files = kubeconfig.kubeconfig_paths({"KUBECONFIG": os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")])})

    contexts = kubeconfig.read_kubeconfigs(files).contexts

    assert {name: context.server for name, context in contexts.items()} == {
        "west": "https://one.example.com",
        "east": "https://e.example.com",
    }


def test_default_kubeconfig_is_in_home_folder() -> None:
    assert kubeconfig.kubeconfig_paths({"HOME": "/home/someone"}) == [Path("/home/someone/.kube/config")]


def test_authority_path_is_relative_to_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    kubeconfigs.write_kubeconfig(
        tmp_path / "kubeconfig", west={"server": "https://w.example.com", "certificate-authority": "ca.crt"}
    )

    context = kubeconfig.read_kubeconfigs([tmp_path / "kubeconfig"]).contexts["west"]

    assert context.certificate_authority == base64.b64encode(b"PEM").decode()


def test_missing_authority_affects_only_its_own_context(tmp_path: Path) -> None:
    kubeconfigs.write_kubeconfig(
        tmp_path / "kubeconfig",
        west={"server": "https://w.example.com", "certificate-authority": "no.crt"},
        east={"server": "https://e.example.com"},
    )

    contexts = kubeconfig.read_kubeconfigs([tmp_path / "kubeconfig"]).contexts

    assert (contexts["west"].error or "").endswith("no.crt: No such file or directory")
    assert contexts["east"].error is None


def test_missing_file_is_skipped(tmp_path: Path) -> None:
    assert kubeconfig.read_kubeconfigs([tmp_path / "none"]).contexts == {}
