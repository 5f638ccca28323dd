"""Settings: what a stack file may say, and what is said of one that it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import settings
from tests import kubeconfigs
from topology import Link

CHECKOUT = Path(__file__).parents[1]

Environment = dict[str, str]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return kubeconfigs.write(
        tmp_path / "kubeconfig",
        west={"server": "https://192.0.2.1:6443", "certificate-authority-data": "Q0E="},
        east={"server": "https://east.example.com"},
        local={"server": "https://127.0.0.1:6443"},
        lab={
            "server": "https://127.0.0.1:6443",
            "extensions": [{"name": "multicluster-mesh.lab", "extension": {"loopbackPeers": True}}],
        },
    )


def faults(config: dict[str, Any], environment: Environment) -> tuple[str, ...]:
    with pytest.raises(settings.SettingsError) as caught:
        settings.parse(config, environment)
    return caught.value.faults


def two(**rest: Any) -> dict[str, Any]:
    return {"clusters": {"west": {}, "east": {}}, **rest}


def link(source: str, target: str) -> dict[str, str]:
    return {"source": source, "target": target}


def test_two_names_are_a_whole_stack_file(environment: Environment) -> None:
    found = settings.parse(two(), environment)

    assert [cluster.name for cluster in found.clusters] == ["west", "east"]
    assert found.clusters[0].api_server == "https://192.0.2.1:6443"
    assert found.links == ()
    assert found.linkerd.version == "2.14.10"
    assert found.charts == "https://helm.linkerd.io/stable"


def test_a_context_may_have_another_name_than_its_cluster(environment: Environment) -> None:
    found = settings.parse({"clusters": {"cluster1": {"context": "west"}}}, environment)

    assert found.clusters[0].context.name == "west"


def test_links_keep_their_order_and_direction(environment: Environment) -> None:
    found = settings.parse(two(links=[link("west", "east"), link("east", "west")]), environment)

    assert found.links == (Link(source="west", target="east"), Link(source="east", target="west"))


def test_the_older_release_is_one_setting_with_or_without_its_channel(environment: Environment) -> None:
    for version in ("2.13.5", "stable-2.13.5"):
        assert settings.parse(two(linkerd={"version": version}), environment).linkerd.control_plane == "1.12.5"


def test_charts_come_from_the_setting_else_from_the_environment(environment: Environment, tmp_path: Path) -> None:
    environment["MULTICLUSTER_MESH_CHARTS"] = "http://mirror.example.com/charts"

    assert settings.parse(two(), environment).charts == "http://mirror.example.com/charts"
    for repository in ("oci://registry.example.com/linkerd", str(tmp_path)):
        assert settings.parse(two(charts={"repository": repository}), environment).charts == repository


def test_a_cluster_without_a_load_balancer_can_be_a_source(environment: Environment) -> None:
    config = {"clusters": {"west": {"gateway": {"loadBalancer": False}}, "east": {}}, "links": [link("west", "east")]}

    assert settings.parse(config, environment).clusters[0].gateway.load_balancer is False


def test_a_link_to_a_cluster_without_a_load_balancer_is_refused(environment: Environment) -> None:
    config = {"clusters": {"west": {}, "east": {"gateway": {"loadBalancer": False}}}, "links": [link("west", "east")]}

    assert faults(config, environment) == (
        "clusters.east.gateway.loadBalancer: false: west can't reach the gateway of a target without a load balancer; "
        "give it one, or turn the link round",
    )


def test_a_loopback_api_server_is_refused_for_a_target_alone(environment: Environment) -> None:
    clusters: dict[str, Any] = {"west": {}, "local": {}}

    assert settings.parse({"clusters": clusters, "links": [link("local", "west")]}, environment).links
    assert faults({"clusters": clusters, "links": [link("west", "local")]}, environment) == (
        'clusters.local.apiServer: "https://127.0.0.1:6443": a loopback address: west would reach itself there; '
        "set clusters.local.apiServer to the URL at which peers reach this cluster's API server",
    )


@pytest.mark.parametrize(
    "address", ["https://localhost:6443", "https://[::1]:6443", "https://127.3.2.1", "https://0.0.0.0"]
)
def test_every_form_of_a_loopback_address_is_refused(environment: Environment, address: str) -> None:
    config = {"clusters": {"west": {}, "east": {"apiServer": address}}, "links": [link("west", "east")]}

    assert "loopback" in faults(config, environment)[0]


def test_a_loopback_api_server_can_be_overridden(environment: Environment) -> None:
    config = {
        "clusters": {"west": {}, "local": {"apiServer": "https://10.100.0.10:6443"}},
        "links": [link("west", "local")],
    }

    assert settings.parse(config, environment).clusters[1].api_server == "https://10.100.0.10:6443"


def test_a_loopback_api_server_is_accepted_where_the_kubeconfig_says_it_is_the_labs(environment: Environment) -> None:
    assert settings.parse({"clusters": {"west": {}, "lab": {}}, "links": [link("west", "lab")]}, environment).links


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "clusters: null: at least one cluster is needed; name your clusters, each with its context"),
        ({"clusters": ["west"]}, "a mapping of cluster names to their settings was expected"),
        (
            {"clusters": {"west": {"contxt": "west"}}},
            'clusters.west.contxt: "west": unknown key; did you mean context?',
        ),
        ({"clusters": {"west": "ctx-1"}}, 'clusters.west: "ctx-1": a mapping was expected'),
        ({"clusters": {"west": {"context": "nowhere"}}}, 'clusters.west.context: "nowhere": no such context in '),
        ({"clusters": {"West": {"context": "west"}}}, "lower-case letters, digits and dashes, at most 63"),
        ({"clusters": {"w" * 64: {"context": "west"}}}, "lower-case letters, digits and dashes, at most 63"),
        ({"clusters": {"west": {"apiServer": "10.0.0.1"}}}, "not a URL that can be used here; write https://host"),
        ({"clusters": {"west": {"gateway": {"loadBalancer": "no"}}}}, "true or false was expected"),
        (two(link=[]), "link: []: unknown key; did you mean links?"),
        (two(links={"source": "west"}), "a list was expected"),
        (
            two(links=[link("west", "esat")]),
            'links[0].target: "esat": no such cluster in `clusters`; did you mean',
        ),
        (two(links=[link("north", "east")]), "declared are west, east"),
        (two(links=[{"source": "west"}]), "links[0].target: null: missing"),
        (two(links=[link("west", "west")]), "a cluster can't be linked to itself"),
        (two(links=[link("west", "east"), link("west", "east")]), 'links[1]: "west-to-east": the same as links[0]'),
        (two(linkerd={"version": "2.12.0"}), 'linkerd.version: "2.12.0": not a release that this program knows'),
        (two(linkerd={"version": 2.14}), "linkerd.version: 2.14: not a release"),
        (two(linkerd="2.14.10"), "known keys are version"),
        (two(charts={"repository": "ftp://example.com"}), "write https:// or http:// or oci://host"),
        (two(charts={"repository": 7}), "charts.repository: 7: not a URL"),
        (two(workloads=[{"podinfo": {"exported": ["north"]}}]), "workloads[0].podinfo.exported[0]"),
        (two(workloads=[{"podinfo": {"clusters": ["west"], "exported": ["east"]}}]), "podinfo doesn't run there"),
        (two(workloads=[{"podinfo": {"namespace": "Test"}}]), "not a name that Kubernetes accepts for a namespace"),
        (two(workloads=[{"podinfo": None}, {"podinfo": None}]), "another podinfo is already in namespace test of west"),
        (two(workloads=[{}]), "each entry names one workload"),
        (two(workloads=[{"nginx": {}}]), "unknown key"),
    ],
)
def test_a_wrong_stack_file_is_refused(environment: Environment, config: dict[str, Any], fault: str) -> None:
    assert any(fault in found for found in faults(config, environment)), faults(config, environment)


def test_a_targets_name_is_refused_where_other_names_made_of_it_would_be_too_long(environment: Environment) -> None:
    name = "e" * 49
    config = {"clusters": {"west": {}, name: {"context": "east"}}, "links": [link("west", name)]}

    assert "at most 48 characters" in faults(config, environment)[0]
    assert settings.parse({**config, "links": [link(name, "west")]}, environment).links


def test_all_faults_are_in_one_message(environment: Environment) -> None:
    config = {
        "clusters": {"west": {"gatway": {}}, "east": {"context": "nowhere"}},
        "links": [link("west", "north"), link("west", "west")],
        "linkerd": {"version": "1.0"},
    }

    found = faults(config, environment)

    assert len(found) == 5
    assert all(fault.count(": ") >= 2 and "; " in fault for fault in found), "path: value: rule; remedy"


def test_a_missing_kubeconfig_is_a_fault_of_every_context(tmp_path: Path) -> None:
    found = faults(two(), {"KUBECONFIG": str(tmp_path / "none")})

    assert [fault.split(":")[0] for fault in found] == ["clusters.west.context", "clusters.east.context"]
    assert "known: none" in found[0]


@pytest.mark.parametrize("content", [b"[", b"\xff\xfe\x00", b"- a list", b"clusters: yes", b"&a [*a, *a]"])
def test_a_broken_kubeconfig_is_named_without_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)

    assert str(path) in faults(two(), {"KUBECONFIG": str(path)})[0]


def test_no_message_shows_a_credential(environment: Environment) -> None:
    found = faults({"clusters": {"west": {"context": "nowhere"}}}, environment)

    assert "a-secret-that-nobody-prints" not in "\n".join(found)


@pytest.mark.parametrize("file", sorted(CHECKOUT.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_every_shipped_stack_file_loads(file: Path, tmp_path: Path) -> None:
    prefix = f"{settings.PROJECT}:"
    config = {key.removeprefix(prefix): value for key, value in yaml.safe_load(file.read_text())["config"].items()}
    contexts = [(value or {}).get("context", name) for name, value in config["clusters"].items()]
    servers = {context: {"server": f"https://{context}.example.com"} for context in contexts}

    assert settings.parse(config, kubeconfigs.write(tmp_path / "kubeconfig", **servers)).clusters


names = st.sampled_from(["west", "east", "", "clusters", "source", "target", "podinfo", "version"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | names
nonsense = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))
keys = st.sampled_from(["clusters", "links", "linkerd", "charts", "workloads"]) | st.text(max_size=8)


@given(config=st.dictionaries(keys, nonsense, max_size=5))
@hypothesis_settings(max_examples=200, deadline=None)
def test_nonsense_is_either_settings_or_a_list_of_faults(config: dict[str, Any]) -> None:
    try:
        settings.parse(config, {"KUBECONFIG": "/nowhere"})
    except settings.SettingsError as error:
        assert error.faults
