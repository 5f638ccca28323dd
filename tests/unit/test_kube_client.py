"""Kubernetes API clients and the kubeconfigs that they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import ConfigException, kube_config

from mesh import strict_yaml
from mesh.kube import client as kube_client
from mesh.kube.client import Access


def write_kubeconfig(path: Path, server: str, contexts: int) -> str:
    names = [f"c{number}" for number in range(contexts)]
    content = {
        "clusters": [{"name": name, "cluster": {"server": f"{server}/{name}"}} for name in names],
        "users": [{"name": "me", "user": {"token": "token"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in names],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_kubeconfig_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_paths: list[str] = []

    class Merger(kube_config.KubeConfigMerger):  # type: ignore[misc]  # the base class has no types
        def __init__(self, paths: str) -> None:
            read_paths.append(paths)
            super().__init__(paths)

    def hosts_of(numbers: range) -> list[Any]:
        accesses = [Access(context=f"c{number}", kubeconfig=file) for number in numbers]
        return [kube_client.api_client(access).configuration.host for access in accesses]

    monkeypatch.setattr(kube_config, "KubeConfigMerger", Merger)
    file = write_kubeconfig(tmp_path / "config", "https://api.example.com", 5)

    assert hosts_of(range(5)) == [f"https://api.example.com/c{number}" for number in range(5)]
    assert read_paths == [file]

    write_kubeconfig(tmp_path / "config", "https://changed.example.com", 7)

    assert hosts_of(range(5, 7)) == ["https://changed.example.com/c5", "https://changed.example.com/c6"]
    assert read_paths == [file, file]


def test_kubeconfig_text_is_parsed_once_for_all_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    load = strict_yaml.load

    def load_and_count(text: str) -> Any:
        texts.append(text)
        return load(text)

    monkeypatch.setattr(strict_yaml, "load", load_and_count)
    content = Path(write_kubeconfig(tmp_path / "config", "https://content.example.com", 3)).read_text()
    accesses = [Access(context=f"c{number}", kubeconfig=content) for number in range(3)]

    hosts = [kube_client.api_client(access).configuration.host for access in accesses]

    assert hosts == [f"https://content.example.com/c{number}" for number in range(3)]
    assert texts == [content]


def test_list_of_kubeconfigs_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = write_kubeconfig(tmp_path / "one", "https://one.example.com", 1)
    two = write_kubeconfig(tmp_path / "two", "https://two.example.com", 2)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", f"{one}:{tmp_path / 'none'}:{two}")
    kube_client.api_client.cache_clear()

    hosts = [kube_client.api_client(Access(context=name)).configuration.host for name in ("c0", "c1")]

    assert hosts == ["https://one.example.com/c0", "https://two.example.com/c1"]
    kube_client.api_client.cache_clear()


def test_missing_kubeconfig_raises_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    kube_client.api_client.cache_clear()

    with pytest.raises(ConfigException):
        kube_client.api_client(Access(context="c0"))
