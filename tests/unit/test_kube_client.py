"""Clients of clusters: what is read for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import ConfigException, kube_config

from mesh import strict_yaml
from mesh.kube import client as kube_client
from mesh.kube.client import Access


def write(path: Path, server: str, contexts: int) -> str:
    names = [f"c{number}" for number in range(contexts)]
    content = {
        "clusters": [{"name": name, "cluster": {"server": f"{server}/{name}"}} for name in names],
        "users": [{"name": "me", "user": {"token": "token"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in names],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_a_kubeconfig_is_read_once_for_all_of_its_contexts_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    class Merger(kube_config.KubeConfigMerger):  # type: ignore[misc]  # it has no types
        def __init__(self, paths: str) -> None:
            reads.append(paths)
            super().__init__(paths)

    def hosts(those: range) -> list[Any]:
        ways = [Access(context=f"c{number}", kubeconfig=file) for number in those]
        return [kube_client.api_client(way).configuration.host for way in ways]

    monkeypatch.setattr(kube_config, "KubeConfigMerger", Merger)
    file = write(tmp_path / "config", "https://api.example.com", 5)

    assert hosts(range(5)) == [f"https://api.example.com/c{number}" for number in range(5)]
    assert reads == [file]

    write(tmp_path / "config", "https://changed.example.com", 7)

    assert hosts(range(5, 7)) == ["https://changed.example.com/c5", "https://changed.example.com/c6"]
    assert reads == [file, file]


def test_a_kubeconfig_that_is_content_is_parsed_once_for_all_of_its_contexts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load = strict_yaml.load

    def counting(text: str) -> Any:
        loads.append(text)
        return load(text)

    monkeypatch.setattr(strict_yaml, "load", counting)
    content = Path(write(tmp_path / "config", "https://content.example.com", 3)).read_text()
    ways = [Access(context=f"c{number}", kubeconfig=content) for number in range(3)]

    found = [kube_client.api_client(way).configuration.host for way in ways]

    assert found == [f"https://content.example.com/c{number}" for number in range(3)]
    assert loads == [content]


def test_a_list_of_kubeconfigs_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = write(tmp_path / "one", "https://one.example.com", 1)
    two = write(tmp_path / "two", "https://two.example.com", 2)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", f"{one}:{tmp_path / 'none'}:{two}")
    kube_client.api_client.cache_clear()

    found = [kube_client.api_client(Access(context=name)).configuration.host for name in ("c0", "c1")]

    assert found == ["https://one.example.com/c0", "https://two.example.com/c1"]
    kube_client.api_client.cache_clear()


def test_where_there_is_no_kubeconfig_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    kube_client.api_client.cache_clear()

    with pytest.raises(ConfigException):
        kube_client.api_client(Access(context="c0"))
