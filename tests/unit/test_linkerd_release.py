"""Selection of the Linkerd release and its charts from `linkerd.version`."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh import config
from mesh.linkerd_releases import (
    LINKERD_RELEASES,
    NEWEST_TESTED_EDGE,
    LinkerdRelease,
    find_linkerd_release,
    minor_version,
    release_order,
)
from tests.helpers.stack_files import Environment

UNKNOWN_RELEASE = r"unknown Linkerd release; choose one of 2\.14\.10"
CHART_NAMES = ("linkerd-crds", "linkerd-control-plane", "linkerd-multicluster")


def require_release(version: str) -> LinkerdRelease:
    linkerd_release = find_linkerd_release(version)
    assert linkerd_release is not None
    return linkerd_release


def choose_release(
    version: str, environment: Environment, source: Path | str | None = None
) -> tuple[LinkerdRelease, tuple[str, ...], str]:
    stack_config: dict[str, Any] = {"clusters": {"west": {}, "east": {}}, "linkerd": {"version": version}}
    if source is not None:
        stack_config["charts"] = {"repository": str(source)}
    mesh_settings = config.parse(stack_config, environment)
    return mesh_settings.linkerd_release, mesh_settings.warnings, mesh_settings.charts["linkerd"]


def write_charts(path: Path, *charts: Mapping[str, str]) -> Path:
    """Write chart archives into a folder and return the folder."""
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
def test_release_is_recognized_by_each_of_its_names(name: str, tag: str, chart: str) -> None:
    assert (require_release(name).tag, require_release(name).control_plane) == (tag, chart)


@pytest.mark.parametrize("name", ["2.12.0", "1.0", "edge-23.11.4", "2023.5.1", "2.14.99", "2.21", "latest", "26.8.3"])
def test_other_names_are_not_recognized(name: str) -> None:
    assert find_linkerd_release(name) is None


def test_release_has_features_of_its_version() -> None:
    by_controllers = [
        linkerd_release.version for linkerd_release in LINKERD_RELEASES.values() if linkerd_release.has_link_controllers
    ]
    link_apis = {
        linkerd_release.version: linkerd_release.link_api.rpartition("/")[2]
        for linkerd_release in LINKERD_RELEASES.values()
    }

    assert by_controllers == ["2.20", "2.19", "2.18"]
    assert link_apis == {
        **dict.fromkeys(("2.13.5", "2.14.10", "2.15", "2.16"), "v1alpha1"),
        "2.17": "v1alpha2",
        **dict.fromkeys(("2.18", "2.19", "2.20"), "v1alpha3"),
    }
    assert [
        linkerd_release.version
        for linkerd_release in LINKERD_RELEASES.values()
        if linkerd_release.has_federated_services
    ] == [
        "2.20",
        "2.19",
        "2.18",
        "2.17",
    ]
    assert [
        linkerd_release.version for linkerd_release in LINKERD_RELEASES.values() if linkerd_release.jaeger is None
    ] == ["2.20", "2.19"]
    assert {
        linkerd_release.version for linkerd_release in LINKERD_RELEASES.values() if linkerd_release.kubernetes == "1.31"
    } == {"2.20"}


@pytest.mark.parametrize(
    ("before", "since"),
    [("edge-25.3.2", "edge-25.3.3"), ("edge-24.12.4", "edge-25.4.1"), ("2.17", "edge-26.1.1")],
)
def test_link_mechanism_changes_with_one_edge_release(before: str, since: str) -> None:
    assert (require_release(before).has_link_controllers, require_release(since).has_link_controllers) == (False, True)
    assert (require_release(before).link_api, require_release(since).link_api) == (
        "multicluster.linkerd.io/v1alpha2",
        "multicluster.linkerd.io/v1alpha3",
    )


def test_releases_have_an_order() -> None:
    tags = ["stable-2.13.5", "stable-2.14.9", "stable-2.14.10", "edge-24.2.4", "edge-24.11.8", "edge-25.4.4"]

    orders = [release_order(tag) for tag in tags]
    assert None not in orders
    assert sorted(orders, key=str) and orders == sorted(each for each in orders if each is not None)
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
def test_tag_belongs_to_minor_version_of_linkerd(tag: str, number: int | None) -> None:
    assert minor_version(tag) == number


def test_edge_release_comes_from_edge_repository(environment: Environment) -> None:
    assert choose_release("2.18", environment)[2] == "https://helm.linkerd.io/edge"
    assert choose_release("2.14.10", environment)[2] == "https://helm.linkerd.io/stable"


def test_all_clusters_share_one_release(environment: Environment) -> None:
    settings = config.parse({"clusters": {"west": {}, "east": {}}, "linkerd": {"version": "2.18"}}, environment)

    assert settings.linkerd_release.version == "2.18"
    assert all(cluster.linkerd_release is settings.linkerd_release for cluster in settings.clusters)


def test_untested_newer_release_yields_warning(environment: Environment) -> None:
    linkerd_release, warnings, _ = choose_release("edge-27.1.2", environment)

    assert linkerd_release.control_plane == "2027.1.2" and linkerd_release.has_link_controllers
    newest = ".".join(map(str, NEWEST_TESTED_EDGE))
    assert warnings == (
        f'linkerd.version: "edge-27.1.2": newer than edge-{newest}, the newest release that this program was tested '
        "with; test it on clusters without production traffic",
    )
    assert choose_release("2.20", environment)[1] == ()


def test_mirror_may_renumber_charts_of_edge_release(environment: Environment, tmp_path: Path) -> None:
    source = write_charts(
        tmp_path, *({"name": name, "version": "7.1.0", "appVersion": "edge-25.4.4"} for name in CHART_NAMES)
    )

    linkerd_release, _, _ = choose_release("2.18", environment, source)

    assert (linkerd_release.crds, linkerd_release.control_plane, linkerd_release.multicluster) == ("7.1.0",) * 3
    assert linkerd_release.tag == "edge-25.4.4"


def test_unknown_release_has_features_of_newest_release(environment: Environment, tmp_path: Path) -> None:
    source = write_charts(
        tmp_path, *({"name": name, "version": "2.31.0", "appVersion": "next-2.31.0"} for name in CHART_NAMES)
    )

    linkerd_release, warnings, _ = choose_release("2.31.0", environment, source)

    assert (linkerd_release.control_plane, linkerd_release.tag, linkerd_release.is_known) == (
        "2.31.0",
        "next-2.31.0",
        False,
    )
    assert (
        linkerd_release.has_link_controllers
        and linkerd_release.has_federated_services
        and linkerd_release.link_api.endswith("v1alpha3")
    )
    assert linkerd_release.viz is None
    (warning,) = warnings
    assert warning.startswith('linkerd.version: "2.31.0": unknown Linkerd release, treated as one after the newest ')


def test_unknown_version_is_identified_by_app_version(environment: Environment, tmp_path: Path) -> None:
    source = write_charts(
        tmp_path, *({"name": name, "version": "2.17.3", "appVersion": "edge-24.11.8"} for name in CHART_NAMES)
    )

    linkerd_release, warnings, _ = choose_release("2.17.3", environment, source)

    assert (linkerd_release.control_plane, linkerd_release.tag, linkerd_release.has_link_controllers) == (
        "2.17.3",
        "edge-24.11.8",
        False,
    )
    assert warnings == ()


def test_release_missing_from_chart_source_is_rejected(environment: Environment, tmp_path: Path) -> None:
    source = write_charts(
        tmp_path, *({"name": name, "version": "2026.8.3", "appVersion": "edge-26.8.3"} for name in CHART_NAMES)
    )

    for version in ("2.20", "2.44", "edge-27.1.1"):
        with pytest.raises(config.SettingsError) as caught:
            choose_release(version, environment, source)
        assert caught.value.errors == (
            f'linkerd.version: "{version}": {source} has no linkerd-control-plane chart of this release; '
            "choose a release that it has: edge-26.8.3",
        )


def test_charts_are_selected_by_their_own_version(environment: Environment, tmp_path: Path) -> None:
    source = write_charts(
        tmp_path, *({"name": name, "version": "0.1.0", "appVersion": "edge-26.8.3"} for name in CHART_NAMES)
    )

    linkerd_release, warnings, _ = choose_release("0.1.0", environment, source)

    assert (linkerd_release.control_plane, linkerd_release.tag, linkerd_release.is_known, warnings) == (
        "0.1.0",
        "edge-26.8.3",
        True,
        (),
    )


def test_outdated_release_is_rejected_from_any_source(environment: Environment, tmp_path: Path) -> None:
    source = write_charts(
        tmp_path, *({"name": name, "version": "1.9.8", "appVersion": "stable-2.12.6"} for name in CHART_NAMES)
    )

    for version in ("2.12.6", "1.9.8"):
        with pytest.raises(config.SettingsError, match=UNKNOWN_RELEASE):
            choose_release(version, environment, source)
    with pytest.raises(config.SettingsError, match=UNKNOWN_RELEASE):
        choose_release("2.12.6", environment)


def test_chart_source_with_missing_chart_is_reported(environment: Environment, tmp_path: Path) -> None:
    source = write_charts(
        tmp_path, {"name": "linkerd-control-plane", "version": "2026.8.3", "appVersion": "edge-26.8.3"}
    )

    with pytest.raises(config.SettingsError, match=r"linkerd-control-plane 2026\.8\.3, but no linkerd-crds of it"):
        choose_release("edge-26.8.3", environment, source)


def test_other_files_in_chart_folder_are_ignored(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "broken.tgz").write_bytes(b"not an archive")
    (tmp_path / "notes.txt").write_text("not a chart")
    source = write_charts(
        tmp_path, *({"name": name, "version": "2025.4.4", "appVersion": "edge-25.4.4"} for name in CHART_NAMES)
    )

    assert choose_release("2.18", environment, source)[0].crds == "2025.4.4"


def test_chart_source_without_index_is_trusted(environment: Environment) -> None:
    linkerd_release, warnings, _ = choose_release("9.9.9", environment, "oci://charts.example.com/linkerd")

    assert linkerd_release.control_plane == "9.9.9" and not linkerd_release.is_known
    assert len(warnings) == 1
    assert choose_release("2.18", environment, "oci://charts.example.com/linkerd")[0].control_plane == "2025.4.4"


def test_unreachable_chart_source_is_reported(environment: Environment) -> None:
    with pytest.raises(config.SettingsError) as caught:
        choose_release("9.9.9", environment, "http://127.0.0.1:9")

    (error,) = caught.value.errors
    assert "its chart source cannot be read (http://127.0.0.1:9/index.yaml: " in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("version", "manifest", "version_range"),
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
def test_release_has_matching_gateway_api_version(version: str, manifest: str, version_range: tuple[str, str]) -> None:
    linkerd_release = require_release(version)

    assert linkerd_release.gateway_api_manifest_url is not None
    assert linkerd_release.gateway_api_manifest_url.endswith(manifest)
    assert linkerd_release.gateway_api_range == version_range
    assert (
        linkerd_release.has_retained_gateway_api_crds
        == linkerd_release.is_gateway_api_opt_in
        == (version in ("2.19", "2.20"))
    )


def test_linkerd_2_13_requires_manifest_for_gateway_api(environment: Environment) -> None:
    stack_config: dict[str, Any] = {"clusters": {"west": {}}, "linkerd": {"version": "2.13.5"}}
    manifest = "https://example.com/gateway-api.yaml"

    for gateway_api in (True, {"install": False}):
        with pytest.raises(config.SettingsError, match=r"extensions\.gatewayApi: .* only routes of its own group"):
            config.parse({**stack_config, "extensions": {"gatewayApi": gateway_api}}, environment)
    mesh_settings = config.parse({**stack_config, "extensions": {"gatewayApi": {"manifest": manifest}}}, environment)
    assert mesh_settings.clusters[0].extensions.gateway_api is not None
    assert mesh_settings.clusters[0].extensions.gateway_api.manifest == manifest


def test_manifest_without_installation_is_rejected(environment: Environment) -> None:
    gateway_api = {"install": False, "manifest": "https://example.com/gateway-api.yaml"}

    with pytest.raises(config.SettingsError, match=r"gatewayApi\.manifest: .* remove one of the two"):
        config.parse({"clusters": {"west": {}}, "extensions": {"gatewayApi": gateway_api}}, environment)
