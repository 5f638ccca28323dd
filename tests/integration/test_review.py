"""Reviews, compared with the actual changes of each object."""

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
from tests.helpers.review_assertions import find_review_errors
from tests.helpers.stack_under_test import StackUnderTest, list_all_objects

pytestmark = pytest.mark.lab("west", "east", "north", minutes=2.5)

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
    """Output of one review."""

    full: str
    comment: str
    data: dict[str, Any]
    code: int
    progress: str

    def verbs(self, cluster: str) -> dict[str, str]:
        objects = self.data["clusters"][cluster]["objects"]
        return {f"{each['kind']} {each['name']}": each["verb"] for each in objects}


@dataclass(frozen=True, kw_only=True)
class ReviewTestStack:
    """A stack that is reviewed and then changed."""

    lab_stack: StackUnderTest
    folder: Path

    def review(self, environment: Mapping[str, str] | None = None) -> ReviewResult:
        files = {name: self.folder / name for name in ("output", "comment", "json")}
        for file in files.values():
            file.unlink(missing_ok=True)
        with self.lab_stack.engine() as engine:
            command = engine.review_command(*(f"--{name}={file}" for name, file in files.items()))
            result = subprocess.run(
                command,
                cwd=PROJECT_ROOT,
                env={**self.lab_stack.environment, **(environment or {})},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        full, comment, data = (files[name].read_text() for name in files)
        return ReviewResult(
            full=full, comment=comment, data=json.loads(data), code=result.returncode, progress=result.stderr
        )

    def apply(self, config: dict[str, Any], *contexts: str) -> ReviewResult:
        """Review a change, apply the change, and require that both match."""
        self.lab_stack.configure(config, {"imagePullSecret": PULL_SECRET})
        review = self.review()
        assert review.code == 0, review.progress
        before = {context: list_all_objects(self.lab_stack, context) for context in contexts}
        self.lab_stack.up()
        errors_by_context = {
            context: find_review_errors(
                review.data["clusters"][context], before[context], list_all_objects(self.lab_stack, context)
            )
            for context in contexts
        }
        messages = [f"{context}: {error}" for context, errors in errors_by_context.items() for error in errors]
        assert not messages, "\n".join(messages)
        return review


@pytest.fixture(scope="module")
def reviewed(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewTestStack]:
    """Yield a stack before its first `up`."""
    folder = tmp_path_factory.mktemp("review")
    lab_stack = StackUnderTest(lab, folder, "review", ONE_WAY, {"imagePullSecret": PULL_SECRET})
    yield ReviewTestStack(lab_stack=lab_stack, folder=folder)
    if lab_stack.has_resources:
        lab_stack.destroy()


def test_created_mesh_matches_review(reviewed: ReviewTestStack) -> None:
    review = reviewed.apply(ONE_WAY, "west", "east")

    assert set(review.verbs("west").values()) == {"added"}
    assert "CustomResourceDefinition links.multicluster.linkerd.io" in review.verbs("west")
    assert review.data["lost"] == []
    assert "flowchart LR" in review.full


def test_upgrade_value_and_link_match_review(reviewed: ReviewTestStack) -> None:
    review = reviewed.apply(UPGRADED, "west", "east")

    assert {"added", "changed"} <= set(review.verbs("west").values())
    restarted = {each["object"] for each in review.data["restarts"] if each["cluster"] == "west"}
    assert {"Deployment linkerd/linkerd-identity", "Deployment linkerd-multicluster/linkerd-gateway"} <= restarted
    assert "linkerd-control-plane 1.12.5 → 1.16.11" in review.full
    assert "cpu.request: 20m" in review.full
    assert review.data["topology"][0] != review.data["topology"][1]


def test_unchanged_stack_has_stable_review_without_changes(reviewed: ReviewTestStack) -> None:
    first, second = reviewed.review(), reviewed.review()

    assert first.full == second.full
    assert first.data == second.data
    assert first.full.startswith("## `review`: no changes")


def test_changed_secret_is_reported_but_never_shown(reviewed: ReviewTestStack) -> None:
    reviewed.lab_stack.configure(UPGRADED, {"imagePullSecret": OTHER_PULL_SECRET})

    review = reviewed.review()

    assert review.code == 0, review.progress
    assert "[secret] (changed)" in review.full
    for text in (review.full, review.comment, json.dumps(review.data), review.progress):
        assert "b3Blbi1zZXNhbWUt" not in text
        assert "open-sesame" not in text


def test_review_of_failed_preview_contains_the_reason(reviewed: ReviewTestStack) -> None:
    reviewed.lab_stack.configure({**UPGRADED, "clusters": {"west": {}, "east": {"context": "nowhere"}}})

    review = reviewed.review()

    assert review.code == 1
    assert review.comment.startswith("## `review`: the preview failed")
    assert "clusters.east" in review.comment
    assert "nowhere" in review.comment
    assert "Traceback" not in review.comment + review.progress


def test_new_cluster_removed_link_and_new_certificates_match_review(reviewed: ReviewTestStack) -> None:
    review = reviewed.apply(WITH_NORTH, "west", "east", "north")

    assert set(review.verbs("north").values()) == {"added"}
    assert review.verbs("east")["Link west"] == "removed"
    replaced = {each["name"] for each in review.data["resources"] if each["operation"] == "replace"}
    assert {"west-issuer-certificate", "east-issuer-certificate"} <= replaced
    assert {"west-issuer-certificate", "east-issuer-certificate"} <= {each["what"] for each in review.data["lost"]}


def test_unreadable_clusters_are_reported_and_others_reviewed(reviewed: ReviewTestStack) -> None:
    lab_stack = reviewed.lab_stack
    config = {**WITH_NORTH, "workloads": [{"podinfo": {"exported": ["west"]}}]}
    lab_stack.configure(config, {"imagePullSecret": PULL_SECRET})
    roles = [
        document
        for document in _read_yaml_blocks(PROJECT_ROOT / "docs/review.md")
        if document.get("kind") == "ClusterRole" and document["metadata"]["name"] == "multicluster-mesh-review"
    ]
    assert len(roles) == 1
    with _create_reader(lab_stack, "west", roles[0]) as reader:
        content = yaml.safe_load(lab_stack.lab.kubeconfig.read_text())
        content["users"] = [{**user, "user": {"token": reader}} for user in content["users"]]
        for cluster in content["clusters"]:
            if cluster["name"] == "north":
                cluster["cluster"]["server"] = "https://127.0.0.1:9"
        path = reviewed.folder / "reader.yaml"
        path.write_text(yaml.safe_dump(content))
        review = reviewed.review({"KUBECONFIG": str(path)})

    assert review.code == 0, review.progress
    for name, reason in (("east", "credentials"), ("north", "the connection failed")):
        assert reason in review.data["clusters"][name]["unseen"]
        assert review.data["clusters"][name]["objects"] == []
    assert review.data["clusters"]["west"]["unseen"] is None
    assert review.verbs("west")["Service podinfo"] == "changed"
    assert "Not readable" in review.comment


def test_removed_cluster_matches_review(reviewed: ReviewTestStack) -> None:
    review = reviewed.apply(WITHOUT_EAST, "west", "east", "north")

    assert set(review.verbs("east").values()) == {"removed"}
    assert {"Namespace linkerd", "Namespace test"} <= {each["what"] for each in review.data["lost"]}


def _read_yaml_blocks(page: Path) -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    return [document for block in blocks for document in yaml.safe_load_all(block) if isinstance(document, dict)]


@contextmanager
def _create_reader(lab_stack: StackUnderTest, context: str, role: dict[str, Any]) -> Iterator[str]:
    """Yield the token of a service account with only the permissions of a role."""
    name = role["metadata"]["name"]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }
    file = lab_stack.output.parent / "reader-objects.yaml"
    file.write_text(yaml.safe_dump_all([account, role, binding]))
    lab_stack.kubectl(context, "apply", "-f", str(file))
    try:
        yield lab_stack.kubectl(context, "create", "token", name, "--duration=1h").strip()
    finally:
        lab_stack.kubectl(context, "delete", "-f", str(file))
