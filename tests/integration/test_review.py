"""What a review announces is what comes true, object by object."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.state_dir import StateDir
from mesh.paths import PROJECT_ROOT
from tests.helpers.lab_stack import LabStack, list_all_objects
from tests.helpers.review_assertions import find_review_errors

pytestmark = pytest.mark.lab("west", "east", "north", minutes=3)

PULL_SECRET = json.dumps({"auths": {"registry.example.com": {"auth": "b3Blbi1zZXNhbWUtNw=="}}})
OTHER_PULL_SECRET = PULL_SECRET.replace("b3Blbi1zZXNhbWUtNw", "b3Blbi1zZXNhbWUtOA")

ONE_WAY: dict[str, Any] = {
    "clusters": {"west": {}, "east": {}},
    "links": [{"source": "west", "target": "east"}],
    "linkerd": {"version": "2.13.5"},
    "workloads": [{"podinfo": {"exported": ["east"]}}],
}
UPGRADED = {
    **ONE_WAY,
    "links": [{"source": "west", "target": "east"}, {"source": "east", "target": "west"}],
    "linkerd": {
        "version": "2.14.10",
        "values": {"linkerd-control-plane": {"proxy": {"resources": {"cpu": {"request": "20m"}}}}},
    },
}
WITH_NORTH = {
    **UPGRADED,
    "clusters": {"west": {}, "east": {}, "north": {}},
    "links": [{"source": "west", "target": "east"}, {"source": "north", "target": "west"}],
    "trust": {"lifetimes": {"issuer": 4321}},
}
WITHOUT_EAST = {
    **WITH_NORTH,
    "clusters": {"west": {}, "north": {}},
    "links": [{"source": "north", "target": "west"}],
    "workloads": [{"podinfo": {"exported": ["west"]}}],
}


@dataclass(frozen=True, kw_only=True)
class ReviewResult:
    """What one review has written."""

    full: str
    comment: str
    data: dict[str, Any]
    code: int
    progress: str

    def verbs(self, cluster: str) -> dict[str, str]:
        objects = self.data["clusters"][cluster]["objects"]
        return {f"{each['kind']} {each['name']}": each["verb"] for each in objects}


@dataclass(frozen=True, kw_only=True)
class ReviewedStack:
    """A stack that is reviewed, and then changed."""

    deployment: LabStack
    folder: Path

    def review(self, environment: Mapping[str, str] | None = None) -> ReviewResult:
        files = {name: self.folder / name for name in ("output", "comment", "json")}
        for file in files.values():
            file.unlink(missing_ok=True)
        with self.deployment.engine() as engine:
            command = engine.review_command(*(f"--{name}={file}" for name, file in files.items()))
            ended = subprocess.run(
                command,
                cwd=PROJECT_ROOT,
                env={**self.deployment.environment, **(environment or {})},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        full, comment, data = (files[name].read_text() for name in files)
        return ReviewResult(
            full=full, comment=comment, data=json.loads(data), code=ended.returncode, progress=ended.stderr
        )

    def become(self, config: dict[str, Any], *contexts: str) -> ReviewResult:
        """Review a change, make it, and hold the one against the other."""
        self.deployment.configure(config, {"imagePullSecret": PULL_SECRET})
        told = self.review()
        assert told.code == 0, told.progress
        before = {context: list_all_objects(self.deployment, context) for context in contexts}
        self.deployment.up()
        wrong = {
            context: find_review_errors(
                told.data["clusters"][context], before[context], list_all_objects(self.deployment, context)
            )
            for context in contexts
        }
        broken = [f"{context}: {each}" for context, found in wrong.items() for each in found]
        assert not broken, "\n".join(broken)
        return told


@pytest.fixture(scope="module")
def reviewed(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewedStack]:
    """A stack that isn't up yet."""
    folder = tmp_path_factory.mktemp("review")
    deployment = LabStack(lab, folder, "review", ONE_WAY, {"imagePullSecret": PULL_SECRET})
    yield ReviewedStack(deployment=deployment, folder=folder)
    if deployment.has_resources:
        deployment.destroy()


def test_created_mesh_matches_review(reviewed: ReviewedStack) -> None:
    told = reviewed.become(ONE_WAY, "west", "east")

    assert set(told.verbs("west").values()) == {"added"}
    assert "CustomResourceDefinition links.multicluster.linkerd.io" in told.verbs("west")
    assert told.data["lost"] == []
    assert "flowchart LR" in told.full


def test_upgrade_value_and_link_match_review(reviewed: ReviewedStack) -> None:
    told = reviewed.become(UPGRADED, "west", "east")

    assert {"added", "changed"} <= set(told.verbs("west").values())
    restarted = {each["object"] for each in told.data["restarts"] if each["cluster"] == "west"}
    assert {"Deployment linkerd/linkerd-identity", "Deployment linkerd-multicluster/linkerd-gateway"} <= restarted
    assert "linkerd-control-plane 1.12.5 → 1.16.11" in told.full
    assert "cpu.request: 20m" in told.full
    assert told.data["topology"][0] != told.data["topology"][1]


def test_unchanged_stack_has_stable_review_without_changes(reviewed: ReviewedStack) -> None:
    first, second = reviewed.review(), reviewed.review()

    assert first.full == second.full
    assert first.data == second.data
    assert first.full.startswith("## `review`: no changes")


def test_changed_secret_is_reported_but_never_shown(reviewed: ReviewedStack) -> None:
    reviewed.deployment.configure(UPGRADED, {"imagePullSecret": OTHER_PULL_SECRET})

    told = reviewed.review()

    assert told.code == 0, told.progress
    assert "[secret] (changed)" in told.full
    for text in (told.full, told.comment, json.dumps(told.data), told.progress):
        assert "b3Blbi1zZXNhbWUt" not in text
        assert "open-sesame" not in text


def test_unreadable_clusters_are_reported_and_others_reviewed(reviewed: ReviewedStack) -> None:
    deployment = reviewed.deployment
    config = {**UPGRADED, "workloads": [{"podinfo": {"exported": ["west"]}}]}
    deployment.configure(config, {"imagePullSecret": PULL_SECRET})
    roles = [
        found
        for found in _read_yaml_blocks(PROJECT_ROOT / "docs/review.md")
        if found.get("kind") == "ClusterRole" and found["metadata"]["name"] == "multicluster-mesh-review"
    ]
    assert len(roles) == 1
    with _create_reader(deployment, "west", roles[0]) as reader:
        content = yaml.safe_load(deployment.lab.kubeconfig.read_text())
        content["users"] = [{**user, "user": {"token": reader}} for user in content["users"]]
        path = reviewed.folder / "reader.yaml"
        path.write_text(yaml.safe_dump(content))
        unknown = reviewed.review({"KUBECONFIG": str(path)})
        for cluster in content["clusters"]:
            if cluster["name"] == "east":
                cluster["cluster"]["server"] = "https://127.0.0.1:9"
        path.write_text(yaml.safe_dump(content))
        down = reviewed.review({"KUBECONFIG": str(path)})

    for told, why in ((unknown, "credentials"), (down, "no connection can be made")):
        assert told.code == 0, told.progress
        assert why in told.data["clusters"]["east"]["unseen"]
        assert told.data["clusters"]["east"]["objects"] == []
        assert told.data["clusters"]["west"]["unseen"] is None
        assert told.verbs("west")["Service podinfo"] == "changed"
        assert "Not seen" in told.comment


def test_review_of_failed_preview_contains_the_reason(reviewed: ReviewedStack) -> None:
    reviewed.deployment.configure({**UPGRADED, "clusters": {"west": {}, "east": {"context": "nowhere"}}})

    told = reviewed.review()

    assert told.code == 1
    assert told.comment.startswith("## `review`: the preview failed")
    assert "clusters.east" in told.comment
    assert "nowhere" in told.comment
    assert "Traceback" not in told.comment + told.progress


def test_new_cluster_removed_link_and_new_certificates_match_review(reviewed: ReviewedStack) -> None:
    told = reviewed.become(WITH_NORTH, "west", "east", "north")

    assert set(told.verbs("north").values()) == {"added"}
    assert told.verbs("east")["Link west"] == "removed"
    replaced = {each["name"] for each in told.data["resources"] if each["operation"] == "replace"}
    assert {"west-issuer-certificate", "east-issuer-certificate"} <= replaced
    assert {"west-issuer-certificate", "east-issuer-certificate"} <= {each["what"] for each in told.data["lost"]}


def test_removed_cluster_matches_review(reviewed: ReviewedStack) -> None:
    told = reviewed.become(WITHOUT_EAST, "west", "east", "north")

    assert set(told.verbs("east").values()) == {"removed"}
    assert {"Namespace linkerd", "Namespace test"} <= {each["what"] for each in told.data["lost"]}


def _read_yaml_blocks(page: Path) -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    return [document for block in blocks for document in yaml.safe_load_all(block) if isinstance(document, dict)]


@contextmanager
def _create_reader(deployment: LabStack, context: str, role: dict[str, Any]) -> Iterator[str]:
    """The token of somebody who may do in a cluster what a role says, and nothing more."""
    name = role["metadata"]["name"]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }
    file = deployment.output.parent / "reader-objects.yaml"
    file.write_text(yaml.safe_dump_all([account, role, binding]))
    deployment.kubectl(context, "apply", "-f", str(file))
    try:
        yield deployment.kubectl(context, "create", "token", name, "--duration=1h").strip()
    finally:
        deployment.kubectl(context, "delete", "-f", str(file))
