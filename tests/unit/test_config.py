"""Settings: what a stack file comes to that no file of the corpus can show."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pulumi
import pytest

from mesh import config as settings
from mesh.paths import PROJECT_ROOT
from tests.helpers import kubeconfigs
from tests.helpers.config_fixtures import SOUTH
from tests.helpers.stack_files import FAULT, Environment, content, faults, handed_over, load, plain


@pytest.mark.parametrize("file", sorted(PROJECT_ROOT.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_every_shipped_stack_file_loads(file: Path, tmp_path: Path) -> None:
    config, secret = handed_over(content(file), {})
    clusters = json.loads(config[f"{settings.PROJECT}:clusters"])
    contexts = [(value or {}).get("context", name) for name, value in clusters.items()]
    servers = {context: {"server": f"https://{context}.example.com"} for context in contexts}

    environment = kubeconfigs.write(tmp_path / "kubeconfig", **servers) | {"HOME": str(tmp_path)}

    assert load(config, secret, environment).clusters


def test_the_project_may_have_another_name(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "get_project", lambda: "our-mesh")
    monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"our-mesh:clusters": '{"west": {}}', "aws:region": "eu-west-1"}))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(["aws:region"]))

    assert [cluster.name for cluster in settings.load().clusters] == ["west"]


def test_a_setting_under_both_names_of_the_project_is_refused(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pulumi, "get_project", lambda: "my-mesh")
    clusters = json.dumps({"west": {}})
    both = {"my-mesh:clusters": clusters, "multicluster-mesh:clusters": clusters}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(both))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", "[]")

    with pytest.raises(settings.SettingsError) as caught:
        settings.load()

    assert caught.value.errors == (
        "multicluster-mesh:clusters: …: my-mesh:clusters says this already; take one of the two out",
    )


def test_a_whole_key_may_be_one_secret(environment: Environment) -> None:
    config = {"clusters": '{"south": {}}', "kubeconfigs": json.dumps({"south": SOUTH})}
    secret = [f"{settings.PROJECT}:{key}" for key in settings.SECRET_KEYS]

    loaded = load({f"{settings.PROJECT}:{key}": value for key, value in config.items()}, secret, environment)

    assert loaded.clusters[0].kubeconfig == SOUTH


def test_charts_come_from_the_setting_else_from_the_environment(environment: Environment) -> None:
    mirror = {**environment, "MULTICLUSTER_MESH_CHARTS": "http://mirror.example.com/charts"}
    named: dict[str, Any] = {"clusters": {"west": {}}, "charts": {"repository": "https://charts.example.com"}}

    assert set(settings.parse({"clusters": {"west": {}}}, mirror).charts.values()) == {
        mirror["MULTICLUSTER_MESH_CHARTS"]
    }
    assert set(settings.parse(named, mirror).charts.values()) == {"https://charts.example.com"}
    assert settings.parse({"clusters": {"west": {}}}, environment).charts == {
        "linkerd": "https://helm.linkerd.io/stable",
        "linkerd-smi": "https://linkerd.github.io/linkerd-smi",
        "metallb": "https://metallb.github.io/metallb",
        "ingress-nginx": "https://kubernetes.github.io/ingress-nginx",
        "cilium": "https://helm.cilium.io",
    }
    but = {"repository": "https://charts.example.com", "repositories": {"linkerd-smi": "https://smi.example.com"}}
    one = {**named, "charts": but}
    assert settings.parse(one, mirror).charts["linkerd-smi"] == "https://smi.example.com"
    assert settings.parse(one, mirror).charts["linkerd"] == "https://charts.example.com"
    assert faults({"clusters": {"west": {}}}, {**mirror, "MULTICLUSTER_MESH_CHARTS": "/no/folder"}) == (
        '$MULTICLUSTER_MESH_CHARTS: "/no/folder": neither the URL of charts nor a folder that is there; '
        "set it to one of them, or unset it",
    )


def test_a_missing_kubeconfig_is_a_fault_of_every_context(tmp_path: Path) -> None:
    path = tmp_path / "none"

    assert faults({"clusters": {"west": {}, "east": {}}}, {"KUBECONFIG": str(path)}) == tuple(
        f'clusters.{name}.context: "{name}": no such context in {path} (known: none); '
        "set $KUBECONFIG to a file that has it"
        for name in ("west", "east")
    )


@pytest.mark.parametrize(
    "text", [b"[", b"\xff\xfe\x00", b"- a list", b"clusters: yes", b"&a [*a, *a]", b"!!bool x", b"!!int _"]
)
def test_a_broken_kubeconfig_is_named_once_without_a_traceback(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(text)

    found = faults({"clusters": {"west": {}, "east": {}}}, {"KUBECONFIG": str(path)})

    assert len(found) == 1
    # Of a long path a message has the beginning.
    assert found[0].startswith(f'$KUBECONFIG: "{str(path)[:70]}')
    assert FAULT.fullmatch(found[0])


@pytest.mark.parametrize("path", ["~nobody-has-this-name/config", "x" * 5000, "a\x00b"])
def test_a_path_that_can_not_be_is_a_file_that_is_not_there(environment: Environment, path: str) -> None:
    clusters: dict[str, Any] = {"west": {}}

    assert "no such file; " in faults({"clusters": {"west": {"kubeconfig": path}}}, environment)[0]
    assert "nor a folder" in faults({"clusters": clusters, "charts": {"repository": path}}, environment)[0]
    assert FAULT.fullmatch(faults({"clusters": clusters}, {"KUBECONFIG": path})[0])


@pytest.mark.parametrize(
    ("key", "everywhere", "here"),
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
def test_a_cluster_overrides_the_meshs_linkerd_setting_by_setting(
    environment: Environment, key: str, everywhere: Any, here: Any
) -> None:
    clusters: dict[str, Any] = {"west": {}, "east": {"linkerd": {key: here}}, "north": {"linkerd": {"values": {}}}}
    mesh = {key: everywhere, "values": {"linkerd-crds": {"a": 1}}}

    found = settings.parse({"clusters": clusters, "linkerd": mesh}, environment).clusters

    assert [plain(each.linkerd)[key] for each in found] == [everywhere, here, everywhere]
    assert [each.values("linkerd-crds") for each in found] == [{"a": 1}] * 3


def test_values_are_merged_as_helm_merges_them() -> None:
    under = {"proxy": {"cores": 1, "image": {"name": "proxy"}}, "list": [1, 2], "text": "x", "gone": {"a": 1}}
    over = {"proxy": {"image": {"version": "2"}, "cores": None}, "list": [3], "text": {"b": 1}, "gone": None}

    assert settings.merge_values(under, over) == {
        "proxy": {"cores": None, "image": {"name": "proxy", "version": "2"}},
        "list": [3],
        "text": {"b": 1},
        "gone": None,
    }
    assert under["proxy"] == {"cores": 1, "image": {"name": "proxy"}}
    assert settings.value_paths(over) == ["proxy.image.version", "proxy.cores", "list", "text.b", "gone"]


def test_thousands_of_faults_are_told_in_no_time(environment: Environment) -> None:
    links = [{"source": "west"}, {"source": "west", "target": "nobody"}, {"loadBalancer": 1}] * 1000

    started = time.monotonic()
    found = faults({"clusters": {"west": {}}, "links": links}, environment)

    assert len(found) == 5 * 1000
    assert found[0] == "links[0].target: null: missing; write it, or take the entry out"
    assert found[-1] == 'links[2998].target: "nobody": no such cluster in `clusters`; known are west'
    assert time.monotonic() - started < 5


def test_an_extension_that_a_release_no_longer_has_is_refused(environment: Environment) -> None:
    config: dict[str, Any] = {"clusters": {"west": {}, "east": {}}, "linkerd": {"version": "2.19"}}

    assert faults({**config, "extensions": {"viz": True, "jaeger": ["east"]}}, environment) == (
        "extensions.jaeger: …: Linkerd 2.19 has no such extension any more; "
        "take it out, or choose an older linkerd.version",
    )
    assert settings.parse({**config, "extensions": {"viz": [], "jaeger": False}}, environment).clusters


def test_an_extension_that_linkerd_advises_against_is_a_warning(environment: Environment) -> None:
    config: dict[str, Any] = {"clusters": {"west": {}}, "extensions": {"smi": True}}

    assert settings.parse(config, environment).warnings == ()
    (warning,) = settings.parse({**config, "linkerd": {"version": "2.20"}}, environment).warnings
    assert warning.startswith("extensions.smi: …: Linkerd advises against TrafficSplits")
