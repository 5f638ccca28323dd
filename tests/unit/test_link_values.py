"""Values of Links and service mirrors up to Linkerd 2.17 and from 2.18."""

from __future__ import annotations

from typing import Any

import pytest

from components.linkerd.link_spec import link_spec
from components.linkerd.multicluster import OutgoingLink, multicluster_values
from components.linkerd.service_mirror import controllers_values, service_mirror_values
from mesh import config
from mesh.config.models.links import LinkOptions
from mesh.linkerd_releases import LINKERD_RELEASES, LinkerdRelease, find_linkerd_release
from mesh.topology import Link
from tests.helpers.cluster_settings import NEWER_RELEASE, build_cluster_settings

NEWEST_RELEASE = LINKERD_RELEASES["2.20"]
RELEASES_WITH_CONTROLLERS = [
    linkerd_release for linkerd_release in LINKERD_RELEASES.values() if linkerd_release.has_link_controllers
]
RELEASES_WITHOUT_CONTROLLERS = [
    linkerd_release for linkerd_release in LINKERD_RELEASES.values() if not linkerd_release.has_link_controllers
]
ALL_OPTIONS: dict[str, Any] = {
    "serviceMirror": {
        "replicas": 2,
        "logLevel": "debug",
        "logFormat": "json",
        "retryLimit": 7,
        "resources": {"requests": {"cpu": "10m"}},
        "headlessServices": True,
    },
    "probe": {"failureThreshold": 5, "timeout": "10s"},
    "selectors": {"gateway": {"a": "1"}, "remoteDiscovery": {"b": "2"}, "federated": {"c": "3"}},
    "excludedLabels": ["example.com/*"],
    "excludedAnnotations": ["note"],
}


def build_options(**fields: Any) -> LinkOptions:
    return LinkOptions.model_validate(fields)


def outgoing_links(*targets: str, gateway: bool = True, **options: Any) -> list[OutgoingLink]:
    links = [Link(source="west", target=target, has_gateway=gateway) for target in targets]
    return [
        (link, build_cluster_settings(link.target, linkerd_release=NEWEST_RELEASE), build_options(**options))
        for link in links
    ]


def build_west_settings(**overrides: Any) -> config.ClusterSettings:
    return build_cluster_settings("west", linkerd_release=NEWEST_RELEASE, **overrides)


def require_release(version: str) -> LinkerdRelease:
    linkerd_release = find_linkerd_release(version)
    assert linkerd_release is not None
    return linkerd_release


@pytest.mark.parametrize(
    "linkerd_release", RELEASES_WITH_CONTROLLERS, ids=lambda linkerd_release: linkerd_release.version
)
def test_newer_link_equals_output_of_link_gen(linkerd_release: LinkerdRelease) -> None:
    assert link_spec(build_cluster_settings(linkerd_release=linkerd_release), gateway_address="198.51.100.7") == {
        "clusterCredentialsSecret": "cluster-credentials-east",
        "federatedServiceSelector": {"matchLabels": {"mirror.linkerd.io/federated": "member"}},
        "gatewayAddress": "198.51.100.7",
        "gatewayIdentity": "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local",
        "gatewayPort": "4143",
        "probeSpec": {"path": "/ready", "period": "3s", "port": "4191"},
        "remoteDiscoverySelector": {"matchLabels": {"mirror.linkerd.io/exported": "remote-discovery"}},
        "selector": {"matchLabels": {"mirror.linkerd.io/exported": "true"}},
        "targetClusterDomain": "cluster.local",
        "targetClusterLinkerdNamespace": "linkerd",
        "targetClusterName": "east",
    }


@pytest.mark.parametrize(
    "linkerd_release", RELEASES_WITH_CONTROLLERS, ids=lambda linkerd_release: linkerd_release.version
)
def test_newer_flat_link_has_no_gateway_fields(linkerd_release: LinkerdRelease) -> None:
    assert link_spec(build_cluster_settings(linkerd_release=linkerd_release), gateway_address=None) == {
        "clusterCredentialsSecret": "cluster-credentials-east",
        "federatedServiceSelector": {"matchLabels": {"mirror.linkerd.io/federated": "member"}},
        "probeSpec": {},
        "remoteDiscoverySelector": {"matchLabels": {"mirror.linkerd.io/exported": "remote-discovery"}},
        "targetClusterDomain": "cluster.local",
        "targetClusterLinkerdNamespace": "linkerd",
        "targetClusterName": "east",
    }


@pytest.mark.parametrize(
    "linkerd_release", RELEASES_WITHOUT_CONTROLLERS, ids=lambda linkerd_release: linkerd_release.version
)
def test_older_link_has_only_selectors_of_its_release(linkerd_release: LinkerdRelease) -> None:
    spec = link_spec(build_cluster_settings(linkerd_release=linkerd_release), gateway_address=None)

    assert spec["gatewayAddress"] == "" and spec["probeSpec"] == {"path": "", "port": "0", "period": "0s"}
    assert ("remoteDiscoverySelector" in spec) == (linkerd_release.version != "2.13.5")
    assert ("federatedServiceSelector" in spec) == (linkerd_release.version == "2.17")


def test_link_between_networks_selects_only_gateway_exports() -> None:
    spec = link_spec(
        build_cluster_settings(linkerd_release=NEWEST_RELEASE),
        gateway_address="198.51.100.7",
        has_remote_discovery=False,
    )

    assert spec["selector"] == {"matchLabels": {"mirror.linkerd.io/exported": "true"}}
    assert not spec.keys() & {"remoteDiscoverySelector", "federatedServiceSelector"}


def test_link_has_options_of_stack_file() -> None:
    spec = link_spec(
        build_cluster_settings(linkerd_release=NEWEST_RELEASE),
        gateway_address="198.51.100.7",
        options=build_options(**ALL_OPTIONS),
    )

    assert spec["probeSpec"] == {
        "path": "/ready",
        "port": "4191",
        "period": "3s",
        "failureThreshold": "5",
        "timeout": "10s",
    }
    assert spec["selector"] == {"matchLabels": {"a": "1"}}
    assert spec["remoteDiscoverySelector"] == {"matchLabels": {"b": "2"}}
    assert spec["federatedServiceSelector"] == {"matchLabels": {"c": "3"}}
    assert (spec["excludedLabels"], spec["excludedAnnotations"]) == (["example.com/*"], ["note"])


def test_cluster_has_controller_for_each_link() -> None:
    links = [*outgoing_links("north", gateway=False), *outgoing_links("east", **ALL_OPTIONS)]

    assert controllers_values(build_west_settings(), links) == {
        "controllers": [
            {
                "link": {"ref": {"name": "east"}},
                "gateway": {"enabled": True, "probe": {"port": 4191}},
                "replicas": 2,
                "logLevel": "debug",
                "logFormat": "json",
                "retryLimit": 7,
                "resources": {"requests": {"cpu": "10m"}},
                "enableHeadlessServices": True,
            },
            {"link": {"ref": {"name": "north"}}, "gateway": {"enabled": False}},
        ]
    }


def test_controller_order_is_independent_of_stack_file() -> None:
    forward, backward = (
        controllers_values(build_west_settings(), outgoing_links(*names))
        for names in (("a", "b", "c"), ("c", "a", "b"))
    )

    assert forward == backward


def test_controller_probes_configured_port_of_target() -> None:
    target = build_cluster_settings(
        "east", linkerd_release=NEWEST_RELEASE, gateway={"nodePort": {"port": 30143, "probePort": 30191}}
    )
    (entry,) = controllers_values(
        build_west_settings(), [(Link(source="west", target="east"), target, build_options())]
    )["controllers"]

    assert entry["gateway"] == {"enabled": True, "probe": {"port": 30191}}


def test_controllers_follow_node_placement_and_images_of_linkerd() -> None:
    linkerd = {
        "registry": "registry.example.com/linkerd",
        "highAvailability": True,
        "nodeSelector": {"pool": "mesh"},
        "tolerations": [{"key": "mesh", "operator": "Exists"}],
    }

    values = multicluster_values(build_west_settings(linkerd=linkerd), links=outgoing_links("east"))

    (entry,) = values["controllers"]
    assert values["controllerDefaults"] == {"image": {"name": "registry.example.com/linkerd/controller"}}
    assert (entry["replicas"], entry["enablePodAntiAffinity"]) == (3, True)
    assert (entry["nodeSelector"], entry["tolerations"]) == (
        {"pool": "mesh"},
        [{"key": "mesh", "operator": "Exists"}],
    )
    assert values["localServiceMirror"] == {
        "image": {"name": "registry.example.com/linkerd/controller"},
        "replicas": 3,
    }
    assert (values["nodeSelector"], values["tolerations"]) == (entry["nodeSelector"], entry["tolerations"])


def test_values_for_older_service_mirror_apply_to_controllers() -> None:
    linkerd = {"values": {"service-mirror": {"logLevel": "debug", "resources": {"limits": {"memory": "50Mi"}}}}}
    (entry,) = controllers_values(build_west_settings(linkerd=linkerd), outgoing_links("east"))["controllers"]

    assert (entry["logLevel"], entry["resources"]) == ("debug", {"limits": {"memory": "50Mi"}})


@pytest.mark.parametrize(
    ("version", "has_controllers", "has_local_mirror", "has_metadata_job"),
    [
        ("2.14.10", False, False, False),
        ("2.15", False, False, True),
        ("2.17", False, True, True),
        ("2.18", True, True, True),
        ("edge-26.8.3", True, True, True),
    ],
)
def test_extension_has_features_of_its_release(
    version: str, has_controllers: bool, has_local_mirror: bool, has_metadata_job: bool
) -> None:
    linkerd = {"registry": "registry.example.com"}
    values = multicluster_values(
        build_cluster_settings("west", linkerd_release=require_release(version), linkerd=linkerd),
        links=outgoing_links("east"),
    )

    assert ("controllers" in values, "localServiceMirror" in values) == (has_controllers, has_local_mirror)
    assert ("createNamespaceMetadataJob" in values) == has_metadata_job
    assert values.get("createNamespaceMetadataJob", False) is False


def test_older_service_mirror_has_options_of_stack_file() -> None:
    values = service_mirror_values(
        build_cluster_settings("west"),
        build_cluster_settings(),
        credentials_checksum="x",
        options=build_options(serviceMirror=ALL_OPTIONS["serviceMirror"]),
    )

    assert {key: values[key] for key in ("replicas", "logLevel", "logFormat", "retryLimit")} == {
        "replicas": 2,
        "logLevel": "debug",
        "logFormat": "json",
        "retryLimit": 7,
    }
    assert values["enableHeadlessServices"] is True
    assert values["resources"] == {"requests": {"cpu": "10m"}}


def test_link_status_is_enabled_where_release_supports_it() -> None:
    expected = {
        linkerd_release.version: linkerd_release.has_link_status
        for linkerd_release in (NEWER_RELEASE, LINKERD_RELEASES["2.16"], LINKERD_RELEASES["2.17"])
    }
    enabled = {
        version: service_mirror_values(
            build_cluster_settings(linkerd_release=LINKERD_RELEASES[version]),
            build_cluster_settings(),
            credentials_checksum="x",
        )["linkStatus"]
        for version in expected
    }

    assert enabled == expected == {"2.14.10": False, "2.16": False, "2.17": True}
