"""Kubeconfigs, parsed as kubectl parses them."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from mesh import strict_yaml
from mesh.kube import kubeconfig, kubeconfig_syntax
from mesh.kube.kubeconfig_syntax import KubeconfigError
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


def test_problem_has_file_of_its_entry(tmp_path: Path) -> None:
    kubeconfigs.write_kubeconfig(
        tmp_path / "one", east={"server": "https://e.example.com", "certificate-authority": "none.crt"}
    )
    kubeconfigs.write_kubeconfig(
        tmp_path / "two", west={"server": "https://w.example.com", "certificate-authority": "none.crt"}
    )

    contexts = kubeconfig.read_kubeconfigs([tmp_path / "one", tmp_path / "two"]).contexts

    assert [contexts[name].problems[0].file for name in ("east", "west")] == [
        str(tmp_path / "one"),
        str(tmp_path / "two"),
    ]


def test_all_problems_of_context_are_found(tmp_path: Path) -> None:
    user = {"client-certificate": "none.crt", "as-groups": ["developers"], "exec": {"command": ""}}
    content = {
        "clusters": [{"name": "west", "cluster": {"server": "https://w.example.com", "proxy-url": "ftp://proxy"}}],
        "contexts": [{"name": "west", "context": {"cluster": "west", "user": "someone"}}],
        "users": [{"name": "someone", "user": user}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(content))

    context = kubeconfig.read_kubeconfigs([tmp_path / "kubeconfig"]).contexts["west"]

    assert [re.split("[: ]", problem.rule)[0] for problem in context.problems] == [
        "proxy-url",
        "client-certificate",
        "client-certificate",
        "groups,",
        "exec",
        "exec",
    ]


def test_rendered_context_has_absolute_paths_only(tmp_path: Path) -> None:
    kubeconfigs.write_kubeconfig(
        tmp_path / "kubeconfig", west={"server": "https://w.example.com", "certificate-authority": "ca.crt"}, east={}
    )
    context = kubeconfig.read_kubeconfigs([tmp_path / "kubeconfig"]).contexts["west"]

    rendered = kubeconfig.parse_kubeconfig(context.render(), "rendered")

    assert context.has_relative_paths
    assert list(rendered.contexts) == ["west"]
    cluster = rendered.contexts["west"].cluster
    assert cluster is not None
    assert cluster.fields["certificate-authority"] == str(tmp_path / "ca.crt")
    assert not rendered.contexts["west"].has_relative_paths


def test_json_with_tabs_needs_no_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loader(yaml.SafeLoader):
        """PyYAML's own parser."""

    text = json.dumps({"current-context": "west"}, indent="\t")
    monkeypatch.setattr(strict_yaml, "_Loader", yaml.SafeLoader)
    monkeypatch.setattr(kubeconfig_syntax, "_KubeconfigLoader", Loader)

    assert kubeconfig.parse_kubeconfig(text, "config").current_context == "west"
    with pytest.raises(KubeconfigError, match="not YAML at line 2"):
        kubeconfig.parse_kubeconfig(text[:-1], "config")


def test_type_error_does_not_quote_value() -> None:
    with pytest.raises(KubeconfigError, match=r"users\[0\]\.user\.token: a string was expected") as caught:
        kubeconfig.parse_kubeconfig("users: [{name: me, user: {token: 987654}}]", "config")

    assert "987654" not in str(caught.value)


def test_missing_file_is_skipped(tmp_path: Path) -> None:
    assert kubeconfig.read_kubeconfigs([tmp_path / "none"]).contexts == {}
