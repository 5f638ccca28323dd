"""Order of a split's weights: that of the stack file, although Pulumi sorts mappings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from mesh import config
from mesh.config.models.samples import PodinfoConfig
from mesh.config.stack_file_order import restore_weight_order
from tests.helpers.stack_configs import shipped_config
from tests.helpers.stack_files import Environment

STACK_FILE = """
config:
  {prefix}workloads:
    - emojivoto: {{}}
    - podinfo:
        exported: [west, east, north]
        splits:
          - {{ cluster: north, weights: {{ west: 3, north: 1, east: 2 }} }}
          - {{ cluster: west, weights: {{ west: 1, east: 2 }} }}
"""
SORTED_SPLITS = [
    {"cluster": "north", "weights": {"east": 2, "north": 1, "west": 3}},
    {"cluster": "west", "weights": {"east": 2, "west": 1}},
]


def load_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment, splits: Any, project: str = config.PROJECT
) -> list[list[str]]:
    """Return the clusters of each split, as the program reads them from Pulumi."""
    workloads = [{"emojivoto": {}}, {"podinfo": {"exported": ["west", "east", "north"], "splits": splits}}]
    values = {"clusters": {"west": {}, "east": {}, "north": {}}, "topology": "full-mesh", "workloads": workloads}
    monkeypatch.chdir(folder)
    monkeypatch.setattr(pulumi, "get_project", lambda: project)
    monkeypatch.setattr(pulumi, "get_stack", lambda: "order")
    monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", "[]")
    monkeypatch.setenv(
        "PULUMI_CONFIG", json.dumps({f"{project}:{key}": json.dumps(value) for key, value in values.items()})
    )
    podinfo = config.load().samples[1].config
    assert isinstance(podinfo, PodinfoConfig)
    return [list(split.weights) for split in podinfo.splits]


@pytest.mark.parametrize("prefix", ["multicluster-mesh:", "our-mesh:", ""])
def test_weights_have_order_of_stack_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment, prefix: str
) -> None:
    (tmp_path / "Pulumi.order.yaml").write_text(STACK_FILE.format(prefix=prefix))

    order = load_weights(tmp_path, monkeypatch, environment, SORTED_SPLITS, project="our-mesh")

    assert order == [["west", "north", "east"], ["west", "east"]]


@pytest.mark.parametrize("content", [None, "config: [", "- 1", STACK_FILE.format(prefix="another-project:")])
def test_weights_keep_order_without_matching_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "Pulumi.order.yaml").write_text(content)

    order = load_weights(tmp_path, monkeypatch, environment, SORTED_SPLITS)

    assert order == [["east", "north", "west"], ["east", "west"]]


def test_only_order_comes_from_stack_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    (tmp_path / "Pulumi.order.yaml").write_text(STACK_FILE.format(prefix="multicluster-mesh:"))
    splits = [{"cluster": "west", "weights": {"east": 9, "west": 8}}]

    assert load_weights(tmp_path, monkeypatch, environment, splits) == [["east", "west"]], "another split in the file"


@pytest.mark.parametrize("stack", ["openstack-nks", "kpaas", "east-west"])
def test_shipped_split_begins_with_own_cluster(stack: str) -> None:
    (sample,) = shipped_config(stack)["workloads"][0].values()
    (split,) = sample["splits"]

    assert next(iter(split["weights"])) == split["cluster"], "the guides' order"


def test_weights_of_declared_service_have_order_of_stack_file() -> None:
    split: dict[str, Any] = {"cluster": "north", "weights": {"east": 2, "north": 1, "west": 3}}
    content = {"services": {"shop/cart": {"splits": [split]}}}
    original = {"services": {"shop/cart": {"splits": [{"weights": {"west": 3, "north": 1, "east": 2}}]}}}

    restore_weight_order(content, original)

    assert list(split["weights"]) == ["west", "north", "east"]
