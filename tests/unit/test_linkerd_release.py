"""Which release of Linkerd a stack file's `linkerd.version` is, and which charts belong to it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh import config as settings
from mesh.linkerd_releases import (
    LINKERD_RELEASES,
    NEWEST_TESTED_EDGE,
    LinkerdRelease,
    linkerd_release,
    minor_version,
    release_order,
)
from tests.helpers.stack_files import Environment

NOT_KNOWN = r"not a release that this program knows; choose one of 2\.14\.10"
THREE = ("linkerd-crds", "linkerd-control-plane", "linkerd-multicluster")


def named(version: str) -> LinkerdRelease:
    found = linkerd_release(version)
    assert found is not None
    return found


def chosen(
    version: str, environment: Environment, source: Path | str | None = None
) -> tuple[LinkerdRelease, tuple[str, ...], str]:
    config: dict[str, Any] = {"clusters": {"west": {}, "east": {}}, "linkerd": {"version": version}}
    if source is not None:
        config["charts"] = {"repository": str(source)}
    found = settings.parse(config, environment)
    return found.linkerd_release, found.warnings, found.charts["linkerd"]


def folder(path: Path, *charts: Mapping[str, str]) -> Path:
    """A folder of chart archives."""
    for chart in charts:
        content = yaml.safe_dump({"apiVersion": "v2", **chart}).encode()
        with tarfile.open(path / f"{chart['name']}-{chart['version']}.tgz", "w:gz") as archive:
            entry = tarfile.TarInfo(f"{chart['name']}/Chart.yaml")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("name", "tag", "chart"),
    [
        ("2.14.10", "stable-2.14.10", "1.16.11"),
        ("stable-2.14.10", "stable-2.14.10", "1.16.11"),
        ("2.13.7", "stable-2.13.7", "1.12.7"),
        ("2.15", "edge-24.2.4", "2024.2.4"),
        ("2.18", "edge-25.4.4", "2025.4.4"),
        ("version-2.18", "edge-25.4.4", "2025.4.4"),
        ("2.20", "edge-26.6.3", "2026.6.3"),
        ("edge-26.8.3", "edge-26.8.3", "2026.8.3"),
        ("2026.8.3", "edge-26.8.3", "2026.8.3"),
    ],
)
def test_a_release_is_known_by_each_of_its_names(name: str, tag: str, chart: str) -> None:
    assert (named(name).tag, named(name).control_plane) == (tag, chart)


@pytest.mark.parametrize("name", ["2.12.0", "1.0", "edge-23.11.4", "2023.5.1", "2.14.99", "2.21", "latest", "26.8.3"])
def test_other_names_are_not_known(name: str) -> None:
    assert linkerd_release(name) is None


def test_each_release_has_the_generation_that_it_came_with() -> None:
    by_controllers = [release.version for release in LINKERD_RELEASES.values() if release.link_controllers]
    link_apis = {release.version: release.link_api.rpartition("/")[2] for release in LINKERD_RELEASES.values()}

    assert by_controllers == ["2.20", "2.19", "2.18"]
    assert link_apis == {
        **dict.fromkeys(("2.13.5", "2.14.10", "2.15", "2.16"), "v1alpha1"),
        "2.17": "v1alpha2",
        **dict.fromkeys(("2.18", "2.19", "2.20"), "v1alpha3"),
    }
    assert [release.version for release in LINKERD_RELEASES.values() if release.federation] == [
        "2.20",
        "2.19",
        "2.18",
        "2.17",
    ]
    assert [release.version for release in LINKERD_RELEASES.values() if release.jaeger is None] == ["2.20", "2.19"]
    assert {release.version for release in LINKERD_RELEASES.values() if release.kubernetes == "1.31"} == {"2.20"}


@pytest.mark.parametrize(
    ("before", "since"),
    [("edge-25.3.2", "edge-25.3.3"), ("edge-24.12.4", "edge-25.4.1"), ("2.17", "edge-26.1.1")],
)
def test_the_mechanism_of_links_changed_with_one_edge_release(before: str, since: str) -> None:
    assert (named(before).link_controllers, named(since).link_controllers) == (False, True)
    assert (named(before).link_api, named(since).link_api) == (
        "multicluster.linkerd.io/v1alpha2",
        "multicluster.linkerd.io/v1alpha3",
    )


def test_releases_have_an_order() -> None:
    tags = ["stable-2.13.5", "stable-2.14.9", "stable-2.14.10", "edge-24.2.4", "edge-24.11.8", "edge-25.4.4"]

    ages = [release_order(tag) for tag in tags]
    assert None not in ages
    assert sorted(ages, key=str) and ages == sorted(each for each in ages if each is not None)
    assert release_order("enterprise-2.18.1") is None


@pytest.mark.parametrize(
    ("tag", "number"),
    [
        ("stable-2.13.5", 13),
        ("stable-2.14.10", 14),
        ("edge-24.2.4", 15),
        ("edge-24.2.5", 16),
        ("edge-25.4.4", 18),
        ("edge-26.6.3", 20),
        ("edge-26.8.3", 21),
        ("preview-1", None),
    ],
)
def test_a_release_belongs_to_a_version_of_linkerd(tag: str, number: int | None) -> None:
    assert minor_version(tag) == number


def test_an_edge_release_comes_from_the_repository_of_edge_releases(environment: Environment) -> None:
    assert chosen("2.18", environment)[2] == "https://helm.linkerd.io/edge"
    assert chosen("2.14.10", environment)[2] == "https://helm.linkerd.io/stable"


def test_a_release_newer_than_those_tried_is_taken_with_a_warning(environment: Environment) -> None:
    release, warnings, _ = chosen("edge-27.1.2", environment)

    assert release.control_plane == "2027.1.2" and release.link_controllers
    newest = ".".join(map(str, NEWEST_TESTED_EDGE))
    assert warnings == (
        f'linkerd.version: "edge-27.1.2": newer than edge-{newest}, the newest that this program was tried with; '
        "try it on clusters that may break first",
    )
    assert chosen("2.20", environment)[1] == ()


def test_a_mirror_may_give_the_charts_of_an_edge_release_other_versions(
    environment: Environment, tmp_path: Path
) -> None:
    source = folder(tmp_path, *({"name": name, "version": "7.1.0", "appVersion": "edge-25.4.4"} for name in THREE))

    release, _, _ = chosen("2.18", environment, source)

    assert (release.crds, release.control_plane, release.multicluster) == ("7.1.0",) * 3
    assert release.tag == "edge-25.4.4"


def test_an_unknown_release_that_the_chart_source_has_is_of_the_newest_generation(
    environment: Environment, tmp_path: Path
) -> None:
    source = folder(tmp_path, *({"name": name, "version": "2.31.0", "appVersion": "next-2.31.0"} for name in THREE))

    release, warnings, _ = chosen("2.31.0", environment, source)

    assert (release.control_plane, release.tag, release.is_known) == ("2.31.0", "next-2.31.0", False)
    assert release.link_controllers and release.federation and release.link_api.endswith("v1alpha3")
    assert release.viz is None
    (warning,) = warnings
    assert warning.startswith('linkerd.version: "2.31.0": not a release that this program knows; it is taken for one ')


def test_an_unknown_name_is_recognised_by_the_release_that_the_charts_are_of(
    environment: Environment, tmp_path: Path
) -> None:
    source = folder(tmp_path, *({"name": name, "version": "2.17.3", "appVersion": "edge-24.11.8"} for name in THREE))

    release, warnings, _ = chosen("2.17.3", environment, source)

    assert (release.control_plane, release.tag, release.link_controllers) == ("2.17.3", "edge-24.11.8", False)
    assert warnings == ()


def test_a_release_that_the_chart_source_has_not_is_refused_with_what_it_has(
    environment: Environment, tmp_path: Path
) -> None:
    source = folder(tmp_path, *({"name": name, "version": "2026.8.3", "appVersion": "edge-26.8.3"} for name in THREE))

    for version in ("2.20", "2.44", "edge-27.1.1"):
        with pytest.raises(settings.SettingsError) as caught:
            chosen(version, environment, source)
        assert caught.value.errors == (
            f'linkerd.version: "{version}": {source} has no linkerd-control-plane of it; '
            "choose one that it has: edge-26.8.3",
        )


def test_charts_with_numbers_of_their_own_are_taken_by_them(environment: Environment, tmp_path: Path) -> None:
    source = folder(tmp_path, *({"name": name, "version": "0.1.0", "appVersion": "edge-26.8.3"} for name in THREE))

    release, warnings, _ = chosen("0.1.0", environment, source)

    assert (release.control_plane, release.tag, release.is_known, warnings) == ("0.1.0", "edge-26.8.3", True, ())


def test_a_release_before_those_that_this_program_knows_is_refused_wherever_it_is(
    environment: Environment, tmp_path: Path
) -> None:
    source = folder(tmp_path, *({"name": name, "version": "1.9.8", "appVersion": "stable-2.12.6"} for name in THREE))

    for version in ("2.12.6", "1.9.8"):
        with pytest.raises(settings.SettingsError, match=NOT_KNOWN):
            chosen(version, environment, source)
    with pytest.raises(settings.SettingsError, match=NOT_KNOWN):
        chosen("2.12.6", environment)


def test_a_chart_source_that_lacks_a_part_of_the_release_is_told(environment: Environment, tmp_path: Path) -> None:
    source = folder(tmp_path, {"name": "linkerd-control-plane", "version": "2026.8.3", "appVersion": "edge-26.8.3"})

    with pytest.raises(settings.SettingsError, match=r"linkerd-control-plane 2026\.8\.3, and no linkerd-crds of it"):
        chosen("edge-26.8.3", environment, source)


def test_what_is_no_chart_in_a_folder_is_passed_over(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "broken.tgz").write_bytes(b"not an archive")
    (tmp_path / "notes.txt").write_text("not a chart")
    source = folder(tmp_path, *({"name": name, "version": "2025.4.4", "appVersion": "edge-25.4.4"} for name in THREE))

    assert chosen("2.18", environment, source)[0].crds == "2025.4.4"


def test_a_chart_source_without_an_index_is_taken_at_its_word(environment: Environment) -> None:
    release, warnings, _ = chosen("9.9.9", environment, "oci://charts.example.com/linkerd")

    assert release.control_plane == "9.9.9" and not release.is_known
    assert len(warnings) == 1
    assert chosen("2.18", environment, "oci://charts.example.com/linkerd")[0].control_plane == "2025.4.4"


def test_a_chart_source_that_can_not_be_asked_is_told(environment: Environment) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        chosen("9.9.9", environment, "http://127.0.0.1:9")

    (fault,) = caught.value.errors
    assert "the chart source can't be asked for it (http://127.0.0.1:9/index.yaml: " in fault
    assert "Traceback" not in fault


@pytest.mark.parametrize(
    ("version", "manifest", "supported"),
    [
        ("2.14.10", "v1.1.1/standard-install.yaml", ("0.7", "1.1.1")),
        ("2.15", "v1.1.1/standard-install.yaml", ("0.7", "1.1.1")),
        ("2.16", "v1.1.1/experimental-install.yaml", ("0.7", "1.1.1")),
        ("edge-25.2.2", "v1.1.1/experimental-install.yaml", ("0.7", "1.1.1")),
        ("edge-25.2.3", "v1.2.1/standard-install.yaml", ("1.1.1", "1.2.1")),
        ("2.19", "v1.2.1/standard-install.yaml", ("1.1.1", "1.2.1")),
        ("2.20", "v1.2.1/standard-install.yaml", ("1.2.1", "1.5.1")),
    ],
)
def test_a_release_has_the_gateway_api_that_goes_with_it(
    version: str, manifest: str, supported: tuple[str, str]
) -> None:
    found = named(version)

    assert found.gateway_api_manifest is not None
    assert found.gateway_api_manifest.endswith(manifest)
    assert found.gateway_api_range == supported
    assert found.gateway_api_crds_retained == found.gateway_api_opt_in == (version in ("2.19", "2.20"))


def test_2_13_knows_no_gateway_api_and_takes_one_only_by_name(environment: Environment) -> None:
    config: dict[str, Any] = {"clusters": {"west": {}}, "linkerd": {"version": "2.13.5"}}
    manifest = "https://example.com/gateway-api.yaml"

    for said in (True, {"install": False}):
        with pytest.raises(settings.SettingsError, match=r"extensions\.gatewayApi: .* knows routes of its own group"):
            settings.parse({**config, "extensions": {"gatewayApi": said}}, environment)
    found = settings.parse({**config, "extensions": {"gatewayApi": {"manifest": manifest}}}, environment)
    assert found.clusters[0].extensions.gateway_api is not None
    assert found.clusters[0].extensions.gateway_api.manifest == manifest


def test_what_is_not_installed_has_no_manifest(environment: Environment) -> None:
    wanted = {"install": False, "manifest": "https://example.com/gateway-api.yaml"}

    with pytest.raises(settings.SettingsError, match=r"gatewayApi\.manifest: .* take one of the two out"):
        settings.parse({"clusters": {"west": {}}, "extensions": {"gatewayApi": wanted}}, environment)
