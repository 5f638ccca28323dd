"""Logic of the toolchain, without builds; `make up` builds with it."""

from __future__ import annotations

import errno
import re
import stat
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hack.lab.programs import LAB_LINKERD_VERSION
from hack.toolchain import __main__ as command
from hack.toolchain import add_ons, cache, charts, go, helm, pulumi_installation
from hack.toolchain.artifacts import ARTIFACTS, CHARTS, CILIUM, ENGINE, HELM, Artifact, Build, linkerd_artifact
from mesh import linkerd_releases
from mesh.paths import PROJECT_ROOT

GO = "go1.26.8"


def test_artifact_key_changes_with_its_inputs(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module one")
    artifact = replace(ENGINE, builds=(Build(module=str(tmp_path), programs={"./cmd": "program"}),))
    before = artifact.key(GO)

    assert artifact.key(GO) == before
    assert artifact.key("go1.27.0") != before
    assert replace(artifact, builds=(replace(artifact.main, variables={"version": "2"}),)).key(GO) != before
    (tmp_path / "go.mod").write_text("module two")
    assert artifact.key(GO) != before


def test_linkerd_release_digest_ignores_other_releases(tmp_path: Path) -> None:
    for linkerd_release in ("1.0", "2.0"):
        (tmp_path / f"stable-{linkerd_release}.mod").write_text(linkerd_release)
    build = Build(module=str(tmp_path), modfile="stable-1.0.mod", programs={})
    before = build.digest()

    (tmp_path / "stable-2.0.mod").write_text("changed")
    assert build.digest() == before
    (tmp_path / "stable-1.0.mod").write_text("changed")
    assert build.digest() != before


def test_every_pinned_module_has_checksums() -> None:
    for artifact in ARTIFACTS.values():
        for build in artifact.builds:
            assert (build.root / build.modfile.replace(".mod", ".sum")).is_file(), artifact.name


def test_every_stable_linkerd_release_has_artifact() -> None:
    stable = [
        linkerd_release.version
        for linkerd_release in linkerd_releases.LINKERD_RELEASES.values()
        if linkerd_release.channel == "stable"
    ]
    assert {linkerd_artifact(linkerd_release).name for linkerd_release in stable} <= set(ARTIFACTS)


def test_plugins_match_versions_of_python_packages() -> None:
    pinned_versions = dict(
        re.findall(r"^(pulumi[\w-]*)==(\S+)", (PROJECT_ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )
    kubernetes = (ENGINE.main.root / "cmd/pulumi-resource-kubernetes/main.go").read_text()
    tls = (ENGINE.main.root / "tls/provider.go").read_text()

    assert f'Version = "{pinned_versions["pulumi-kubernetes"]}"' in kubernetes
    assert f'Version = "{pinned_versions["pulumi-tls"]}"' in tls
    assert f"v{'.'.join(map(str, pulumi_installation.MINIMUM_VERSION))}" in ENGINE.main.variables.values()
    assert tuple(map(int, pinned_versions["pulumi"].split("."))) >= pulumi_installation.MINIMUM_VERSION, (
        "the SDK may be newer than the engine"
    )


def test_missing_artifact_error_names_build_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(go, "read_version", lambda: GO)

    with pytest.raises(cache.NotInstalledError, match="make toolchain PARTS=kubernetes"):
        cache.installed("kubernetes")


def test_default_build_has_artifacts_that_make_up_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Artifact] = []
    monkeypatch.setattr(go, "read_version", lambda: GO)
    monkeypatch.setattr(command, "_build_missing", built.extend)

    assert command.main([]) == 0
    assert {"kubernetes", linkerd_artifact(LAB_LINKERD_VERSION).name, CHARTS.name} <= {
        artifact.name for artifact in built
    }
    assert not {linkerd_artifact("2.13.5").name, CILIUM.name} & {artifact.name for artifact in built}


@pytest.mark.parametrize(
    ("version", "language_host", "is_used"),
    [
        ("v3.218.0", True, True),
        ("v3.300.1", True, True),
        ("v3.217.9", True, False),
        ("v3.218.0", False, False),
        ("", True, False),
    ],
)
def test_recent_and_complete_pulumi_on_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, language_host: bool, is_used: bool
) -> None:
    _write_program(tmp_path / "pulumi", f"echo {version}")
    if language_host:
        _write_program(tmp_path / "pulumi-language-python", "true")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    assert (pulumi_installation.find_on_path() is not None) == is_used


def _write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_concurrent_commands_install_same_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = tmp_path / "engine"
    programs = [built / "plugins" / f"resource-{number}" / "program" for number in range(20)]
    for program in programs:
        program.parent.mkdir(parents=True)
        program.touch()
    monkeypatch.setattr(pulumi_installation, "installed", lambda _: built)
    exists = Path.exists

    def slow_exists(path: Path) -> bool:
        result = exists(path)
        time.sleep(0.01)
        return result

    monkeypatch.setattr(Path, "exists", slow_exists)

    with ThreadPoolExecutor() as pool:
        for running in [pool.submit(pulumi_installation.link_plugins, tmp_path / "home") for _ in range(4)]:
            running.result()

    installed = {path.resolve() for path in (tmp_path / "home").rglob("program")}
    assert installed == set(programs)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["plugins"]


def test_chart_package_is_reproducible(tmp_path: Path) -> None:
    for chart in (*charts.CHARTS, charts.PARTIALS):
        folder = tmp_path / "source" / chart
        (folder / "templates").mkdir(parents=True)
        (folder / "Chart.yaml").write_text("name: a-chart\nversion: 1.2.3\nappVersion: edge-XX.X.X\n")
        (folder / "values.yaml").write_text("linkerdVersion: linkerdVersionValue\n")
        (folder / "templates/one.yaml").write_text("kind: One\n")

    for folder_name in ("first", "second"):
        charts.package_linkerd_charts(tmp_path / "source", linkerd_release="9.9.9", into=tmp_path / folder_name)

    first, second = (
        (tmp_path / folder_name / "linkerd-viz-1.2.3.tgz").read_bytes() for folder_name in ("first", "second")
    )
    assert first == second
    with tarfile.open(tmp_path / "first/linkerd-viz-1.2.3.tgz") as archive:
        names = archive.getnames()
        values = archive.extractfile("linkerd-viz/values.yaml")
        assert values is not None
        assert values.read() == b"linkerdVersion: stable-9.9.9\n"
    assert "linkerd-viz/charts/partials/templates/one.yaml" in names


def test_crds_are_extracted_from_chart(tmp_path: Path) -> None:
    text = "# {{- if .Values.crds }}\nkind: CustomResourceDefinition\n    app: '{{ template \"name\" . }}'\nspec: {}\n"
    for name in ("certificates", "issuers", "clusterissuers", "challenges"):
        (tmp_path / f"crd-{name}.yaml").write_text(text)

    add_ons.copy_plain_crds(tmp_path, into=tmp_path / "crds")

    crds = {file.name: file.read_text() for file in (tmp_path / "crds").iterdir()}
    plain = "kind: CustomResourceDefinition\nspec: {}\n"
    assert crds == dict.fromkeys(["certificates.yaml", "issuers.yaml", "clusterissuers.yaml"], plain)


def test_packages_of_third_party_charts_are_reproducible(tmp_path: Path) -> None:
    for chart in ("charts/metallb", "charts/metallb/charts/crds", "charts/ingress-nginx"):
        (tmp_path / chart).mkdir(parents=True)
        (tmp_path / chart / "Chart.yaml").write_text("name: a-chart\nversion: 1.2.3\n")
    for name in ("certificates", "issuers", "clusterissuers"):
        (tmp_path / "deploy/crds").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"deploy/crds/crd-{name}.yaml").write_text("kind: CustomResourceDefinition\n")
    standard = tmp_path / "config/crd/standard"
    standard.mkdir(parents=True)
    for name in ("b", "a", "kustomization"):
        (standard / f"{name}.yaml").write_text(f"---\nname: {name}\n")

    for folder_name in ("first", "second"):
        add_ons.copy_add_ons(lambda module: tmp_path, own=CHARTS.main.root, into=tmp_path / folder_name)

    first, second = (
        {
            str(file.relative_to(tmp_path / folder_name)): file.read_bytes()
            for file in (tmp_path / folder_name).rglob("*.tgz")
        }
        for folder_name in ("first", "second")
    )
    assert first == second
    assert set(first) == {
        f"charts/{name}.tgz" for name in ("metallb-1.2.3", "ingress-nginx-1.2.3", "linkerd-smi-1.0.1")
    }
    with tarfile.open(tmp_path / "first/charts/metallb-1.2.3.tgz") as archive:
        assert "metallb/charts/crds/Chart.yaml" in archive.getnames()
    manifest = (tmp_path / "first/gateway-api/standard-install.yaml").read_text()
    assert [crd["name"] for crd in yaml.safe_load_all(manifest)] == ["a", "b"]


def test_only_supported_cilium_charts_are_taken(tmp_path: Path) -> None:
    published = {"1.13.18", "1.14.0", "1.14.0-rc.1", "1.15.0-pre.3", "1.14.0-snapshot.4", "1.19.10", "1.20.0"}
    for name in (*(f"cilium-{version}" for version in published), "tetragon-1.14.0"):
        (tmp_path / f"{name}.tgz").write_text(name)

    add_ons.copy_cilium_charts(tmp_path, into=tmp_path / "charts")

    charts_by_name = {file.name: file.read_text() for file in (tmp_path / "charts").iterdir()}
    assert charts_by_name == {
        f"cilium-{version}.tgz": f"cilium-{version}" for version in ("1.14.0", "1.19.10", "1.20.0")
    }


def test_cilium_charts_are_copied_when_links_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "cilium-1.14.0.tgz").write_text("a chart")

    add_ons.copy_cilium_charts(tmp_path, into=tmp_path / "charts")

    assert (tmp_path / "charts/cilium-1.14.0.tgz").read_text() == "a chart"


def test_stand_in_chart_is_labelled_as_stand_in() -> None:
    chart = CHARTS.main.root / "linkerd-smi"

    for file in ("Chart.yaml", "README.md", "templates/NOTES.txt"):
        assert re.search(r"stand-in of\s+multicluster-mesh's\s+lab", (chart / file).read_text()), file


@pytest.mark.parametrize(("version", "is_used"), [("v3.13.0", True), ("v4.1.0", True), ("v3.12.9", False), ("", False)])
def test_recent_helm_on_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_used: bool
) -> None:
    _write_program(tmp_path / "helm", f"echo {version}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    assert (helm.find_on_path() is not None) == is_used


def test_built_helm_matches_helm_of_provider() -> None:
    helm_version = re.search(r"helm.sh/helm/v3 (v\S+)", (ENGINE.main.root / "go.mod").read_text())

    assert helm_version is not None
    assert HELM.main.module == ENGINE.main.module
    assert helm_version[1] in HELM.main.variables.values()
