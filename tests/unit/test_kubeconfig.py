"""Kubeconfigs, read as kubectl reads them."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from mesh.kube import kubeconfig
from tests.helpers import kubeconfigs


def test_the_first_of_several_files_that_sets_a_name_wins(tmp_path: Path) -> None:
    kubeconfigs.write(tmp_path / "one", west={"server": "https://one.example.com"})
    kubeconfigs.write(
        tmp_path / "two", west={"server": "https://two.example.com"}, east={"server": "https://e.example.com"}
    )
    files = kubeconfig.kubeconfig_paths({"KUBECONFIG": os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")])})

    found = kubeconfig.read_kubeconfigs(files).contexts

    assert {name: context.server for name, context in found.items()} == {
        "west": "https://one.example.com",
        "east": "https://e.example.com",
    }


def test_without_the_variable_it_is_the_one_in_the_home_folder() -> None:
    assert kubeconfig.kubeconfig_paths({"HOME": "/home/someone"}) == [Path("/home/someone/.kube/config")]


def test_an_authority_in_a_file_is_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    kubeconfigs.write(
        tmp_path / "kubeconfig", west={"server": "https://w.example.com", "certificate-authority": "ca.crt"}
    )

    found = kubeconfig.read_kubeconfigs([tmp_path / "kubeconfig"]).contexts["west"]

    assert found.certificate_authority == base64.b64encode(b"PEM").decode()


def test_an_authority_that_is_missing_is_a_fault_of_its_own_context_alone(tmp_path: Path) -> None:
    kubeconfigs.write(
        tmp_path / "kubeconfig",
        west={"server": "https://w.example.com", "certificate-authority": "no.crt"},
        east={"server": "https://e.example.com"},
    )

    found = kubeconfig.read_kubeconfigs([tmp_path / "kubeconfig"]).contexts

    assert (found["west"].fault or "").endswith("no.crt: No such file or directory")
    assert found["east"].fault is None


def test_a_file_that_does_not_exist_is_passed_over(tmp_path: Path) -> None:
    assert kubeconfig.read_kubeconfigs([tmp_path / "none"]).contexts == {}
