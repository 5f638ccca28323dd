"""Identity of clusters and stacks on the lab: renamed, rebuilt and mistaken ones."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack import toolchain
from hack.lab import lifecycle
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir
from mesh.config import PROJECT
from mesh.paths import PROJECT_ROOT
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, wait_until

pytestmark = pytest.mark.lab("identity-1", "identity-2", minutes=2)

CONFIG: dict[str, Any] = {
    "clusters": {"west": {"context": "identity-1"}, "east": {"context": "identity-2"}},
    "links": [{"source": "west", "target": "east"}, {"source": "east", "target": "west"}],
    "workloads": [{"podinfo": {"exported": ["east"]}}],
    # Its provider registers the objects, not the program.
    "extensions": {
        "gatewayApi": {"manifest": str(toolchain.installed("charts") / "gateway-api/standard-install.yaml")}
    },
}
# Objects that controllers re-create at any time.
_VOLATILE = ("pods/", "replicasets.apps/", "endpointslices", "endpoints/", "secrets/linkerd-multicluster/sh.helm")


def rename_east(**settings: Any) -> dict[str, Any]:
    """Return the configuration in which cluster east is `prod-east`."""
    config: dict[str, Any] = json.loads(json.dumps(CONFIG).replace('"east"', '"prod-east"'))
    config["clusters"]["prod-east"] |= settings
    return config


def read_uids(mesh: StackUnderTest, context: str) -> dict[str, str]:
    """Return the UID of each lasting object of a cluster."""
    objects = list_all_objects(mesh, context)
    return {name: item["metadata"]["uid"] for name, item in objects.items() if not name.startswith(_VOLATILE)}


def run_pulumi(mesh: StackUnderTest, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Pulumi command with changed environment variables."""
    return subprocess.run(
        ["pulumi", *arguments, "--non-interactive"],
        cwd=PROJECT_ROOT,
        env={**mesh.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy the mesh."""
    with deploy(lab, tmp_path_factory.mktemp("identity"), "identity", copy.deepcopy(CONFIG)) as lab_stack:
        yield lab_stack


def test_renamed_cluster_keeps_its_objects(mesh: StackUnderTest) -> None:
    before = read_uids(mesh, "identity-2")
    mesh.configure(rename_east())
    refusal = mesh.up_expecting_failure()
    assert "set clusters.prod-east.renamedFrom: east" in refusal
    assert read_uids(mesh, "identity-2") == before
    mesh.configure(rename_east(renamedFrom="east"))
    with mesh.interrupted_up():
        assert wait_until(lambda: "::prod-east-linkerd-namespace" in mesh.state)
    mesh.configure(rename_east())
    assert "set clusters.prod-east.renamedFrom: east, and run" in mesh.up_expecting_failure()
    mesh.configure(rename_east(renamedFrom="east"))

    mesh.up()

    after = read_uids(mesh, "identity-2")
    assert {name for name in before if before[name] != after.get(name)} == set()
    assert mesh.has_object("identity-1", "service", "podinfo-prod-east", "test")
    assert not mesh.has_object("identity-1", "service", "podinfo-east", "test")
    assert [row for row in mesh.run_checks() if not row.passed] == []
    mesh.up("--expect-no-changes")
    mesh.configure(rename_east())
    mesh.up("--expect-no-changes")


def test_stack_is_known_by_its_id_in_any_backend(mesh: StackUnderTest, tmp_path: Path) -> None:
    workspace, backend = tmp_path / "workspace", tmp_path / "backend"
    for folder in (workspace, backend):
        folder.mkdir()
    shutil.copyfile(PROJECT_ROOT / "Pulumi.yaml", workspace / "Pulumi.yaml")
    elsewhere = {"PULUMI_BACKEND_URL": f"file://{backend}"}
    config_file = workspace / f"Pulumi.{mesh.name}.yaml"
    config = {f"{PROJECT}:{key}": value for key, value in mesh.config.items()}
    config_file.write_text(yaml.safe_dump({"config": config}))
    assert run_pulumi(mesh, "--cwd", str(workspace), "stack", "init", mesh.name, **elsewhere).returncode == 0

    def up(stack: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ("--yes", "--skip-preview", "--stack", stack, "--config-file", str(config_file))
        return run_pulumi(mesh, "up", *options, *arguments, **elsewhere)

    refusal = up(mesh.name)
    assert refusal.returncode != 0
    assert "this stack has the same name, but no ID" in refusal.stdout
    adopting = copy.deepcopy(config)
    for cluster in adopting[f"{PROJECT}:clusters"].values():
        cluster["adopt"] = True
    salt = {"encryptionsalt": yaml.safe_load(config_file.read_text())["encryptionsalt"]}
    config_file.write_text(yaml.safe_dump({"config": adopting, **salt}))
    refusal = up(mesh.name)
    assert "trust.anchor: not set: the proxies of the Linkerd that clusters.prod-east.adopt adopts" in refusal.stdout
    config_file.write_text(yaml.safe_dump({"config": config, **salt}))

    exported = run_pulumi(mesh, "stack", "export", "--show-secrets", "--stack", mesh.name)
    state = tmp_path / "state.json"
    state.write_text(exported.stdout)
    assert run_pulumi(mesh, "stack", "import", "--stack", mesh.name, "--file", str(state), **elsewhere).returncode == 0
    assert run_pulumi(mesh, "stack", "rename", "moved", "--stack", mesh.name, **elsewhere).returncode == 0
    result = up("moved", "--expect-no-changes")

    assert result.returncode == 0, result.stdout + result.stderr


def test_rebuilt_cluster_gets_every_object(mesh: StackUnderTest) -> None:
    before = read_uids(mesh, "identity-2")
    old_uid = mesh.get_object("identity-2", "namespace", "kube-system")["metadata"]["uid"]
    lifecycle.stop(mesh.lab, ["identity-2"], delete=True)
    kinds = dict.fromkeys(("identity-1", "identity-2"), LoadBalancerKind.IP)
    lifecycle.start(mesh.lab, list(kinds), load_balancers=kinds, chart_folders=[], timeout=300, report=print)
    assert f'set clusters.prod-east.replaces: "{old_uid[:8]}"' in mesh.up_expecting_failure()
    mesh.configure(rename_east(replaces=old_uid[:8]))
    with mesh.interrupted_up():
        assert wait_until(lambda: mesh.has_object("identity-2", "namespace", "linkerd"))

    mesh.up()

    missing = before.keys() - read_uids(mesh, "identity-2").keys()
    assert {name for name in missing if not name.startswith(("ipaddresses", "secrets/linkerd/sh.helm"))} == set()
    assert [row for row in mesh.run_checks() if not row.passed] == []
    mesh.up("--expect-no-changes")
    mesh.configure(rename_east())
    mesh.up("--expect-no-changes")


def test_destroy_refuses_another_cluster(mesh: StackUnderTest, tmp_path: Path) -> None:
    kubeconfig = yaml.safe_load(Path(mesh.environment["KUBECONFIG"]).read_text())
    contexts = {context["name"]: context for context in kubeconfig["contexts"]}
    contexts["identity-2"]["context"] = contexts["identity-1"]["context"]
    wrong = tmp_path / "kubeconfig"
    wrong.write_text(yaml.safe_dump(kubeconfig))
    objects = read_uids(mesh, "identity-1"), read_uids(mesh, "identity-2")
    state = mesh.state
    with mesh.engine() as engine:
        result = run_pulumi(mesh, *engine.destroy_command(), KUBECONFIG=str(wrong))

    assert result.returncode != 0
    assert "clusters.prod-east: its context leads to cluster" in result.stdout
    assert "Traceback" not in result.stdout
    assert (read_uids(mesh, "identity-1"), read_uids(mesh, "identity-2")) == objects
    names = [
        [resource["urn"] for resource in json.loads(text)["checkpoint"]["latest"]["resources"]]
        for text in (state, mesh.state)
    ]
    assert names[0] == names[1]
