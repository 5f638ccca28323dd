"""The toolchain's own logic; building with it is what `make up` does."""

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

from hack.toolchain import __main__ as command
from hack.toolchain import add_ons, cache, charts, go, helm, pulumi_installation
from hack.toolchain.artifacts import ARTIFACTS, CHARTS, CILIUM, ENGINE, HELM, Artifact, Build, linkerd_artifact
from mesh import linkerd_releases
from mesh.paths import PROJECT_ROOT

GO = "go1.26.8"


def test_a_part_is_built_anew_when_anything_it_is_made_of_changes(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module one")
    part = replace(ENGINE, builds=(Build(module=str(tmp_path), programs={"./cmd": "program"}),))
    before = part.key(GO)

    assert part.key(GO) == before
    assert part.key("go1.27.0") != before
    assert replace(part, builds=(replace(part.main, variables={"version": "2"}),)).key(GO) != before
    (tmp_path / "go.mod").write_text("module two")
    assert part.key(GO) != before


def test_a_release_of_linkerd_is_not_built_anew_because_of_the_other(tmp_path: Path) -> None:
    for release in ("1.0", "2.0"):
        (tmp_path / f"stable-{release}.mod").write_text(release)
    one = Build(module=str(tmp_path), modfile="stable-1.0.mod", programs={})
    before = one.digest()

    (tmp_path / "stable-2.0.mod").write_text("changed")
    assert one.digest() == before
    (tmp_path / "stable-1.0.mod").write_text("changed")
    assert one.digest() != before


def test_every_pinned_module_has_its_checksums() -> None:
    for part in ARTIFACTS.values():
        for build in part.builds:
            assert (build.root / build.modfile.replace(".mod", ".sum")).is_file(), part.name


def test_every_stable_release_that_the_program_lists_can_be_tried_in_the_lab() -> None:
    stable = [release.version for release in linkerd_releases.LINKERD_RELEASES.values() if release.channel == "stable"]
    assert {linkerd_artifact(release).name for release in stable} <= set(ARTIFACTS)


def test_the_plugins_have_the_versions_of_their_python_packages() -> None:
    pinned = dict(re.findall(r"^(pulumi[\w-]*)==(\S+)", (PROJECT_ROOT / "requirements.txt").read_text(), re.MULTILINE))
    kubernetes = (ENGINE.main.root / "cmd/pulumi-resource-kubernetes/main.go").read_text()
    tls = (ENGINE.main.root / "tls/provider.go").read_text()

    assert f'Version = "{pinned["pulumi-kubernetes"]}"' in kubernetes
    assert f'Version = "{pinned["pulumi-tls"]}"' in tls
    assert f"v{'.'.join(map(str, pulumi_installation.MINIMUM_VERSION))}" in ENGINE.main.variables.values()
    assert tuple(map(int, pinned["pulumi"].split("."))) >= pulumi_installation.MINIMUM_VERSION, (
        "the SDK may be newer than the engine"
    )


def test_a_part_that_was_not_built_says_how_to_build_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(go, "read_version", lambda: GO)

    with pytest.raises(cache.NotInstalledError, match="make toolchain PARTS=kubernetes"):
        cache.installed("kubernetes")


def test_without_parts_all_is_built_that_make_up_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Artifact] = []
    monkeypatch.setattr(go, "read_version", lambda: GO)
    monkeypatch.setattr(command, "_build_missing", built.extend)

    assert command.main([]) == 0
    assert {"kubernetes", linkerd_artifact(linkerd_releases.DEFAULT_LINKERD_VERSION).name, CHARTS.name} <= {
        part.name for part in built
    }
    assert not {linkerd_artifact("2.13.5").name, CILIUM.name} & {part.name for part in built}


@pytest.mark.parametrize(
    ("version", "language_host", "found"),
    [
        ("v3.218.0", True, True),
        ("v3.300.1", True, True),
        ("v3.217.9", True, False),
        ("v3.218.0", False, False),
        ("", True, False),
    ],
)
def test_a_pulumi_on_path_is_used_if_it_is_recent_and_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, language_host: bool, found: bool
) -> None:
    _program(tmp_path / "pulumi", f"echo {version}")
    if language_host:
        _program(tmp_path / "pulumi-language-python", "true")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    assert (pulumi_installation.find_on_path() is not None) == found


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_commands_that_run_at_once_install_the_same_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = tmp_path / "engine"
    programs = [built / "plugins" / f"resource-{number}" / "program" for number in range(20)]
    for program in programs:
        program.parent.mkdir(parents=True)
        program.touch()
    monkeypatch.setattr(pulumi_installation, "installed", lambda _: built)
    exists = Path.exists

    def unhurried(path: Path) -> bool:
        found = exists(path)
        time.sleep(0.01)
        return found

    monkeypatch.setattr(Path, "exists", unhurried)

    with ThreadPoolExecutor() as pool:
        for running in [pool.submit(pulumi_installation.link_plugins, tmp_path / "home") for _ in range(4)]:
            running.result()

    there = {path.resolve() for path in (tmp_path / "home").rglob("program")}
    assert there == set(programs)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["plugins"]


def test_a_chart_is_packaged_as_published_and_the_same_each_time(tmp_path: Path) -> None:
    for chart in (*charts.CHARTS, charts.PARTIALS):
        folder = tmp_path / "source" / chart
        (folder / "templates").mkdir(parents=True)
        (folder / "Chart.yaml").write_text("name: a-chart\nversion: 1.2.3\nappVersion: edge-XX.X.X\n")
        (folder / "values.yaml").write_text("linkerdVersion: linkerdVersionValue\n")
        (folder / "templates/one.yaml").write_text("kind: One\n")

    for into in ("first", "second"):
        charts.package_linkerd_charts(tmp_path / "source", release="9.9.9", into=tmp_path / into)

    first, second = ((tmp_path / into / "linkerd-viz-1.2.3.tgz").read_bytes() for into in ("first", "second"))
    assert first == second
    with tarfile.open(tmp_path / "first/linkerd-viz-1.2.3.tgz") as archive:
        names = archive.getnames()
        values = archive.extractfile("linkerd-viz/values.yaml")
        assert values is not None
        assert values.read() == b"linkerdVersion: stable-9.9.9\n"
    assert "linkerd-viz/charts/partials/templates/one.yaml" in names


def test_crds_are_taken_out_of_their_chart(tmp_path: Path) -> None:
    text = "# {{- if .Values.crds }}\nkind: CustomResourceDefinition\n    app: '{{ template \"name\" . }}'\nspec: {}\n"
    for name in ("certificates", "issuers", "clusterissuers", "challenges"):
        (tmp_path / f"crd-{name}.yaml").write_text(text)

    add_ons.copy_plain_crds(tmp_path, into=tmp_path / "crds")

    written = {file.name: file.read_text() for file in (tmp_path / "crds").iterdir()}
    plain = "kind: CustomResourceDefinition\nspec: {}\n"
    assert written == dict.fromkeys(["certificates.yaml", "issuers.yaml", "clusterissuers.yaml"], plain)


def test_charts_and_manifests_of_others_are_laid_out_the_same_each_time(tmp_path: Path) -> None:
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

    for into in ("first", "second"):
        add_ons.copy_add_ons(lambda module: tmp_path, own=CHARTS.main.root, into=tmp_path / into)

    first, second = (
        {str(file.relative_to(tmp_path / into)): file.read_bytes() for file in (tmp_path / into).rglob("*.tgz")}
        for into in ("first", "second")
    )
    assert first == second
    assert set(first) == {
        f"charts/{name}.tgz" for name in ("metallb-1.2.3", "ingress-nginx-1.2.3", "linkerd-smi-1.0.1")
    }
    with tarfile.open(tmp_path / "first/charts/metallb-1.2.3.tgz") as archive:
        assert "metallb/charts/crds/Chart.yaml" in archive.getnames()
    manifest = (tmp_path / "first/gateway-api/standard-install.yaml").read_text()
    assert [found["name"] for found in yaml.safe_load_all(manifest)] == ["a", "b"]


def test_of_ciliums_charts_the_releases_are_taken_that_a_stack_may_name(tmp_path: Path) -> None:
    published = {"1.13.18", "1.14.0", "1.14.0-rc.1", "1.15.0-pre.3", "1.14.0-snapshot.4", "1.19.10", "1.20.0"}
    for name in (*(f"cilium-{version}" for version in published), "tetragon-1.14.0"):
        (tmp_path / f"{name}.tgz").write_text(name)

    add_ons.copy_cilium_charts(tmp_path, into=tmp_path / "charts")

    taken = {file.name: file.read_text() for file in (tmp_path / "charts").iterdir()}
    assert taken == {f"cilium-{version}.tgz": f"cilium-{version}" for version in ("1.14.0", "1.19.10", "1.20.0")}


def test_ciliums_charts_are_copied_where_they_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "cilium-1.14.0.tgz").write_text("a chart")

    add_ons.copy_cilium_charts(tmp_path, into=tmp_path / "charts")

    assert (tmp_path / "charts/cilium-1.14.0.tgz").read_text() == "a chart"


def test_the_stand_in_for_a_chart_says_that_it_is_one() -> None:
    chart = CHARTS.main.root / "linkerd-smi"

    for file in ("Chart.yaml", "README.md", "templates/NOTES.txt"):
        assert re.search(r"stand-in of\s+multicluster-mesh's\s+lab", (chart / file).read_text()), file


@pytest.mark.parametrize(("version", "found"), [("v3.13.0", True), ("v4.1.0", True), ("v3.12.9", False), ("", False)])
def test_a_helm_on_path_is_used_if_it_is_recent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, found: bool
) -> None:
    _program(tmp_path / "helm", f"echo {version}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    assert (helm.find_on_path() is not None) == found


def test_the_helm_that_is_built_is_the_one_that_the_provider_installs_with() -> None:
    pinned = re.search(r"helm.sh/helm/v3 (v\S+)", (ENGINE.main.root / "go.mod").read_text())

    assert pinned is not None
    assert HELM.main.module == ENGINE.main.module
    assert pinned[1] in HELM.main.variables.values()
