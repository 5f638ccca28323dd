"""The rules as a policy pack, on the engine of the toolchain, without any cluster."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hack.toolchain import pulumi_installation
from mesh.paths import PROJECT_ROOT
from policy.check import main
from tests.helpers.pulumi_command import run_pulumi

pytestmark = pytest.mark.lab

PROGRAM = """
import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

settings = pulumi.Config().require_object("settings")
key = tls.PrivateKey("key", algorithm="ECDSA", ecdsa_curve="P256")
tls.SelfSignedCert(
    "anchor",
    private_key_pem=key.private_key_pem_pkcs8,
    is_ca_certificate=True,
    allowed_uses=["cert_signing"],
    validity_period_hours=settings["hours"],
)
kubernetes.Provider("west", cluster_identifier=settings["identifier"])
"""
GOOD = {"hours": 87600, "identifier": "west"}
BAD = {"hours": 876000, "identifier": None}
PACK_OPTIONS = ("--policy-pack", str(PROJECT_ROOT / "policy"))


class PolicyProject:
    """A Pulumi project in a folder, with its own state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = [Path(sys.prefix) / "bin", *pulumi_installation.program_folders()]
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": folder.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        if pulumi_installation.find_on_path() is None:
            self.environment["PULUMI_HOME"] = str(folder / "home")
            self.environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
            pulumi_installation.link_plugins(folder / "home")
        (folder / "Pulumi.yaml").write_text("name: checked\nruntime: python\n")
        (folder / "__main__.py").write_text(PROGRAM)
        code, output = self.pulumi("stack", "init", "test")
        assert code == 0, output

    def pulumi(self, *arguments: str) -> tuple[int, str]:
        """Run Pulumi and return its exit code and output."""
        result = run_pulumi(self.folder, self.environment, *arguments)
        return result.returncode, result.stdout or result.stderr

    def preview(self, settings: dict[str, Any], *arguments: str) -> tuple[int, str]:
        """Run a preview of the program with these settings."""
        code, output = self.pulumi("config", "set", "settings", json.dumps(settings), "--stack", "test")
        assert code == 0, output
        return self.pulumi("preview", "--stack", "test", *arguments)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> PolicyProject:
    return PolicyProject(tmp_path_factory.mktemp("policy"))


def test_preview_without_violations_passes_policy_pack(project: PolicyProject) -> None:
    code, output = project.preview(GOOD, *PACK_OPTIONS)

    assert code == 0, output
    assert "multicluster-mesh@v1.0.0" in output
    assert "mandatory" not in output


def test_mandatory_violation_fails_preview_with_path_and_remedy(project: PolicyProject) -> None:
    code, output = project.preview(BAD, *PACK_OPTIONS)

    assert code != 0
    assert "[mandatory]  lifetimes  (tls:index/selfSignedCert:SelfSignedCert: anchor)" in output
    assert "validityPeriodHours: 876000 hours are more than 87840 (10 years); change trust.lifetimes" in output
    assert "[mandatory]  identifiers  (pulumi:providers:kubernetes: west)" in output
    assert "clusterIdentifier: not set" in output


def test_enforcement_level_is_configurable(project: PolicyProject, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"all": "advisory", "lifetimes": {"authorityHours": 876000}}))

    code, output = project.preview(BAD, *PACK_OPTIONS, "--policy-pack-config", str(config))

    assert code == 0, output
    assert "[advisory]  identifiers" in output
    assert "validityPeriodHours" not in output


@pytest.mark.parametrize(("settings", "expected"), [(GOOD, []), (BAD, ["validityPeriodHours", "clusterIdentifier"])])
def test_check_of_preview_json_reports_the_same(
    project: PolicyProject,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, Any],
    expected: list[str],
) -> None:
    code, output = project.preview(settings, "--json", "--show-sames")
    assert code == 0, output
    (tmp_path / "preview.json").write_text(output)

    assert main([str(tmp_path / "preview.json")]) == bool(expected)
    paths = [line.split(": ")[3] for line in capsys.readouterr().out.splitlines()]
    assert sorted(paths) == sorted(expected)
