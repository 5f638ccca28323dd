"""Loading of stack files, for cases that the corpus cannot express."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pulumi
import pytest

from mesh import config
from mesh.paths import PROJECT_ROOT
from tests.helpers import kubeconfigs
from tests.helpers.config_fixtures import SOUTH_KUBECONFIG
from tests.helpers.stack_files import (
    ERROR_FORMAT,
    Environment,
    load_settings,
    parse_errors,
    read_stack_file,
    to_plain,
    to_pulumi_config,
)


@pytest.mark.parametrize("file", sorted(PROJECT_ROOT.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_every_shipped_stack_file_loads(file: Path, tmp_path: Path) -> None:
    stack_config, secret = to_pulumi_config(read_stack_file(file), {})
    clusters = json.loads(stack_config[f"{config.PROJECT}:clusters"])
    contexts = [(value or {}).get("context", name) for name, value in clusters.items()]
    servers = {context: {"server": f"https://{context}.example.com"} for context in contexts}

    environment = kubeconfigs.write_kubeconfig(tmp_path / "kubeconfig", **servers) | {"HOME": str(tmp_path)}

    assert load_settings(stack_config, secret, environment).clusters


def test_project_may_have_another_name(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "get_project", lambda: "our-mesh")
    monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"our-mesh:clusters": '{"west": {}}', "aws:region": "eu-west-1"}))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(["aws:region"]))

    assert [cluster.name for cluster in config.load().clusters] == ["west"]


def test_setting_under_both_project_names_is_rejected(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pulumi, "get_project", lambda: "my-mesh")
    clusters = json.dumps({"west": {}})
    pulumi_config = {"my-mesh:clusters": clusters, "multicluster-mesh:clusters": clusters}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(pulumi_config))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", "[]")

    with pytest.raises(config.SettingsError) as caught:
        config.load()

    assert caught.value.errors == (
        "multicluster-mesh:clusters: …: duplicate of my-mesh:clusters; remove one of the two",
    )


def test_entire_key_may_be_secret(environment: Environment) -> None:
    sections = {"clusters": '{"south": {}}', "kubeconfigs": json.dumps({"south": SOUTH_KUBECONFIG})}
    secret = [f"{config.PROJECT}:{key}" for key in config.SECRET_KEYS]

    loaded = load_settings({f"{config.PROJECT}:{key}": value for key, value in sections.items()}, secret, environment)

    assert loaded.clusters[0].kubeconfig == SOUTH_KUBECONFIG


def test_chart_repository_setting_overrides_environment(environment: Environment) -> None:
    mirror_environment = {**environment, "MULTICLUSTER_MESH_CHARTS": "http://mirror.example.com/charts"}
    with_repository: dict[str, Any] = {"clusters": {"west": {}}, "charts": {"repository": "https://charts.example.com"}}

    assert set(config.parse({"clusters": {"west": {}}}, mirror_environment).charts.values()) == {
        mirror_environment["MULTICLUSTER_MESH_CHARTS"]
    }
    assert set(config.parse(with_repository, mirror_environment).charts.values()) == {"https://charts.example.com"}
    assert config.parse({"clusters": {"west": {}}}, environment).charts == {
        "linkerd": "https://helm.linkerd.io/edge",
        "linkerd-smi": "https://linkerd.github.io/linkerd-smi",
        "metallb": "https://metallb.github.io/metallb",
        "ingress-nginx": "https://kubernetes.github.io/ingress-nginx",
        "cilium": "https://helm.cilium.io",
    }
    chart_config = {
        "repository": "https://charts.example.com",
        "repositories": {"linkerd-smi": "https://smi.example.com"},
    }
    with_both = {**with_repository, "charts": chart_config}
    assert config.parse(with_both, mirror_environment).charts["linkerd-smi"] == "https://smi.example.com"
    assert config.parse(with_both, mirror_environment).charts["linkerd"] == "https://charts.example.com"
    assert parse_errors(
        {"clusters": {"west": {}}}, {**mirror_environment, "MULTICLUSTER_MESH_CHARTS": "/no/folder"}
    ) == (
        '$MULTICLUSTER_MESH_CHARTS: "/no/folder": neither the URL of a chart source nor an existing folder; '
        "set it to a URL or a folder, or unset it",
    )


def test_missing_kubeconfig_is_reported_for_every_context(tmp_path: Path) -> None:
    path = tmp_path / "none"

    assert parse_errors({"clusters": {"west": {}, "east": {}}}, {"KUBECONFIG": str(path)}) == tuple(
        f'clusters.{name}.context: "{name}": no such context in {path} (known: none); '
        "set $KUBECONFIG to a file that has it"
        for name in ("west", "east")
    )


def test_home_folder_in_variable_is_not_expanded(tmp_path: Path) -> None:
    kubeconfigs.write_kubeconfig(tmp_path / "config", west={"server": "https://west.example.com"})

    errors = parse_errors({"clusters": {"west": {}}}, {"KUBECONFIG": "~/config", "HOME": str(tmp_path)})

    assert errors == (
        'clusters.west.context: "west": no such context in ~/config (known: none); set $KUBECONFIG to absolute paths, '
        "because kubectl and Pulumi do not expand `~` in it",
    )


def test_all_unusable_contexts_are_reported_with_causes(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    kubeconfigs.write_kubeconfig(paths[0], west={"server": "https://west.example.com", "proxy-url": "ftp://x"})
    kubeconfigs.write_kubeconfig(paths[1], east={"server": "https://e.example.com", "certificate-authority": "ca.crt"})

    errors = parse_errors({"clusters": {"west": {}, "east": {}}}, {"KUBECONFIG": f"{paths[0]}:{paths[1]}"})

    assert errors == (
        f'$KUBECONFIG: "{paths[0]}": context west: proxy-url: kubectl supports http, https and socks5, not ftp; '
        "begin it with `http://`, `https://` or `socks5://`",
        f'$KUBECONFIG: "{paths[1]}": context east: certificate-authority: {tmp_path}/ca.crt: No such file or '
        "directory; correct the path, or restore the file",
    )


def test_own_kubeconfig_with_relative_paths_becomes_content(tmp_path: Path) -> None:
    path = tmp_path / "config"
    (tmp_path / "ca.crt").write_text("CA")
    west = {"server": "https://west.example.com", "certificate-authority": "ca.crt"}
    kubeconfigs.write_kubeconfig(path, west=west, east={"server": "https://east.example.com"})
    clusters = {name: {"kubeconfig": str(path)} for name in ("west", "east")}

    loaded = config.parse({"clusters": clusters}, {"HOME": str(tmp_path)})

    [west_settings, east_settings] = loaded.clusters
    content = json.loads(west_settings.kubeconfig)
    assert west_settings.has_secret_kubeconfig, "it contains a token"
    assert content["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca.crt")
    assert [each["name"] for each in content["contexts"]] == ["west"]
    assert (east_settings.kubeconfig, east_settings.has_secret_kubeconfig) == (str(path), False)


def test_unreachable_cluster_needs_no_usable_user(tmp_path: Path) -> None:
    text = kubeconfigs.build_kubeconfig({"west": {"server": "https://west.example.com"}}, user={"tokenFile": "none"})
    (tmp_path / "config").write_text(text)
    environment = {"KUBECONFIG": str(tmp_path / "config"), "HOME": str(tmp_path)}

    [cluster] = config.parse({"clusters": {"west": {"reachable": False}}}, environment).clusters

    assert cluster.context.server == "https://west.example.com"
    assert "tokenFile" in parse_errors({"clusters": {"west": {}}}, environment)[0]


@pytest.mark.parametrize(
    "text", [b"[", b"\xff\xfe\x00", b"- a list", b"clusters: yes", b"&a [*a, *a]", b"!!bool x", b"!!int _"]
)
def test_broken_kubeconfig_is_reported_once(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(text)

    errors = parse_errors({"clusters": {"west": {}, "east": {}}}, {"KUBECONFIG": str(path)})

    assert len(errors) == 1
    # The message truncates a long path.
    assert errors[0].startswith(f'$KUBECONFIG: "{str(path)[:70]}')
    assert ERROR_FORMAT.fullmatch(errors[0])


@pytest.mark.parametrize("path", ["~nobody-has-this-name/config", "x" * 5000, "a\x00b"])
def test_impossible_path_is_reported_as_missing_file(environment: Environment, path: str) -> None:
    clusters: dict[str, Any] = {"west": {}}

    assert "no such file; " in parse_errors({"clusters": {"west": {"kubeconfig": path}}}, environment)[0]
    assert (
        "nor an existing folder" in parse_errors({"clusters": clusters, "charts": {"repository": path}}, environment)[0]
    )
    assert ERROR_FORMAT.fullmatch(parse_errors({"clusters": clusters}, {"KUBECONFIG": path})[0])


@pytest.mark.parametrize(
    ("key", "mesh_value", "cluster_value"),
    [
        ("namespace", "mesh", "linkerd"),
        ("clusterDomain", "cluster.one", "cluster.two"),
        ("trustDomain", "mesh.example.com", "east.example.com"),
        ("highAvailability", True, False),
        ("cni", True, False),
        ("defaultInboundPolicy", "deny", "all-unauthenticated"),
        ("nodeSelector", {"zone": "a"}, {}),
        ("tolerations", [{"key": "infra"}], []),
        ("registry", "registry.example.com", None),
        ("imagePullSecrets", ["everywhere"], ["here"]),
    ],
)
def test_cluster_overrides_each_linkerd_setting_of_mesh(
    environment: Environment, key: str, mesh_value: Any, cluster_value: Any
) -> None:
    cluster_configs: dict[str, Any] = {
        "west": {},
        "east": {"linkerd": {key: cluster_value}},
        "north": {"linkerd": {"values": {}}},
    }
    mesh_linkerd = {key: mesh_value, "values": {"linkerd-crds": {"a": 1}}}

    clusters = config.parse({"clusters": cluster_configs, "linkerd": mesh_linkerd}, environment).clusters

    assert [to_plain(cluster.linkerd)[key] for cluster in clusters] == [mesh_value, cluster_value, mesh_value]
    assert [cluster.values("linkerd-crds") for cluster in clusters] == [{"a": 1}] * 3


def test_values_are_merged_as_helm_merges_them() -> None:
    defaults = {"proxy": {"cores": 1, "image": {"name": "proxy"}}, "list": [1, 2], "text": "x", "gone": {"a": 1}}
    overrides = {"proxy": {"image": {"version": "2"}, "cores": None}, "list": [3], "text": {"b": 1}, "gone": None}

    assert config.merge_values(defaults, overrides) == {
        "proxy": {"cores": None, "image": {"name": "proxy", "version": "2"}},
        "list": [3],
        "text": {"b": 1},
        "gone": None,
    }
    assert defaults["proxy"] == {"cores": 1, "image": {"name": "proxy"}}
    assert config.value_paths(overrides) == ["proxy.image.version", "proxy.cores", "list", "text.b", "gone"]


def test_thousands_of_errors_are_reported_quickly(environment: Environment) -> None:
    links = [{"source": "west"}, {"source": "west", "target": "nobody"}, {"loadBalancer": 1}] * 1000

    start_time = time.monotonic()
    errors = parse_errors({"clusters": {"west": {}}, "links": links}, environment)

    assert len(errors) == 5 * 1000
    assert errors[0] == "links[0].target: null: required key is missing; add it, or remove the entry"
    assert errors[-1] == 'links[2998].target: "nobody": no such cluster in `clusters`; choose one of west'
    assert time.monotonic() - start_time < 5


def test_extension_missing_from_release_is_rejected(environment: Environment) -> None:
    stack_config: dict[str, Any] = {"clusters": {"west": {}, "east": {}}, "linkerd": {"version": "2.19"}}

    assert parse_errors({**stack_config, "extensions": {"viz": True, "jaeger": ["east"]}}, environment) == (
        "extensions.jaeger: …: Linkerd 2.19 no longer has this extension; "
        "remove it, or choose an older linkerd.version",
    )
    assert config.parse({**stack_config, "extensions": {"viz": [], "jaeger": False}}, environment).clusters


def test_discouraged_extension_yields_warning(environment: Environment) -> None:
    stack_config: dict[str, Any] = {"clusters": {"west": {}}, "extensions": {"smi": True}}

    (warning,) = config.parse(stack_config, environment).warnings
    assert warning.startswith("extensions.smi: …: Linkerd has deprecated TrafficSplits")
    older = config.parse({**stack_config, "linkerd": {"version": "2.14.10"}}, environment)
    assert not any("TrafficSplits" in warning for warning in older.warnings)
