"""What goes into Links and service mirrors of each generation of Linkerd, by pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from components.linkerd.link_spec import link_spec
from components.linkerd.multicluster import OutgoingLink, multicluster_values
from components.linkerd.service_mirror import controllers_values, service_mirror_values
from mesh import config
from mesh.config.models.links import LinkOptions
from mesh.linkerd_releases import LINKERD_RELEASES, LinkerdRelease, linkerd_release
from mesh.topology import Link
from tests.helpers.cluster_settings import NEWER_RELEASE, build_cluster_settings

NEWEST = LINKERD_RELEASES["2.20"]
BY_CONTROLLERS = [release for release in LINKERD_RELEASES.values() if release.link_controllers]
BY_THEMSELVES = [release for release in LINKERD_RELEASES.values() if not release.link_controllers]
FULL: dict[str, Any] = {
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


def options(**said: Any) -> LinkOptions:
    return LinkOptions.model_validate(said)


def outward(*targets: str, gateway: bool = True, **said: Any) -> list[OutgoingLink]:
    links = [Link(source="west", target=target, gateway=gateway) for target in targets]
    return [(link, build_cluster_settings(link.target, linkerd_release=NEWEST), options(**said)) for link in links]


def west(**said: Any) -> config.ClusterSettings:
    return build_cluster_settings("west", linkerd_release=NEWEST, **said)


def release_of(version: str) -> LinkerdRelease:
    found = linkerd_release(version)
    assert found is not None
    return found


@pytest.mark.parametrize("release", BY_CONTROLLERS, ids=lambda release: release.version)
def test_a_link_of_the_newer_generation_is_what_link_gen_writes(release: LinkerdRelease) -> None:
    assert link_spec(build_cluster_settings(linkerd_release=release), gateway_address="198.51.100.7") == {
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


@pytest.mark.parametrize("release", BY_CONTROLLERS, ids=lambda release: release.version)
def test_a_flat_link_of_the_newer_generation_says_nothing_of_gateways(release: LinkerdRelease) -> None:
    assert link_spec(build_cluster_settings(linkerd_release=release), gateway_address=None) == {
        "clusterCredentialsSecret": "cluster-credentials-east",
        "federatedServiceSelector": {"matchLabels": {"mirror.linkerd.io/federated": "member"}},
        "probeSpec": {},
        "remoteDiscoverySelector": {"matchLabels": {"mirror.linkerd.io/exported": "remote-discovery"}},
        "targetClusterDomain": "cluster.local",
        "targetClusterLinkerdNamespace": "linkerd",
        "targetClusterName": "east",
    }


@pytest.mark.parametrize("release", BY_THEMSELVES, ids=lambda release: release.version)
def test_an_older_link_has_the_selectors_that_its_release_knows(release: LinkerdRelease) -> None:
    spec = link_spec(build_cluster_settings(linkerd_release=release), gateway_address=None)

    assert spec["gatewayAddress"] == "" and spec["probeSpec"] == {"path": "", "port": "0", "period": "0s"}
    assert ("remoteDiscoverySelector" in spec) == (release.version != "2.13.5")
    assert ("federatedServiceSelector" in spec) == (release.version == "2.17")


def test_a_link_between_networks_sees_only_what_the_gateway_passes_on() -> None:
    spec = link_spec(build_cluster_settings(linkerd_release=NEWEST), gateway_address="198.51.100.7", discovers=False)

    assert spec["selector"] == {"matchLabels": {"mirror.linkerd.io/exported": "true"}}
    assert not spec.keys() & {"remoteDiscoverySelector", "federatedServiceSelector"}


def test_a_link_says_what_the_stack_file_says_of_it() -> None:
    spec = link_spec(
        build_cluster_settings(linkerd_release=NEWEST), gateway_address="198.51.100.7", options=options(**FULL)
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


def test_a_cluster_has_a_controller_for_each_of_its_links() -> None:
    links = [*outward("north", gateway=False), *outward("east", **FULL)]

    assert controllers_values(west(), links) == {
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


def test_the_order_of_controllers_is_not_that_of_the_stack_file() -> None:
    there, back = (controllers_values(west(), outward(*names)) for names in (("a", "b", "c"), ("c", "a", "b")))

    assert there == back


def test_a_controller_probes_at_the_port_where_the_target_is_reached() -> None:
    target = build_cluster_settings(
        "east", linkerd_release=NEWEST, gateway={"nodePort": {"port": 30143, "probePort": 30191}}
    )
    (entry,) = controllers_values(west(), [(Link(source="west", target="east"), target, options())])["controllers"]

    assert entry["gateway"] == {"enabled": True, "probe": {"port": 30191}}


def test_controllers_go_where_linkerd_goes_with_its_images() -> None:
    linkerd = {
        "registry": "registry.example.com/linkerd",
        "highAvailability": True,
        "nodeSelector": {"pool": "mesh"},
        "tolerations": [{"key": "mesh", "operator": "Exists"}],
    }

    values = multicluster_values(west(linkerd=linkerd), links=outward("east"))

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


def test_what_a_stack_file_says_of_the_older_mirrors_values_is_so_in_the_newer_chart() -> None:
    said = {"values": {"service-mirror": {"logLevel": "debug", "resources": {"limits": {"memory": "50Mi"}}}}}
    (entry,) = controllers_values(west(linkerd=said), outward("east"))["controllers"]

    assert (entry["logLevel"], entry["resources"]) == ("debug", {"limits": {"memory": "50Mi"}})


@pytest.mark.parametrize(
    ("version", "controllers", "local", "job"),
    [
        ("2.14.10", False, False, False),
        ("2.15", False, False, True),
        ("2.17", False, True, True),
        ("2.18", True, True, True),
        ("edge-26.8.3", True, True, True),
    ],
)
def test_the_extension_has_what_its_release_has(version: str, controllers: bool, local: bool, job: bool) -> None:
    linkerd = {"registry": "registry.example.com"}
    values = multicluster_values(
        build_cluster_settings("west", linkerd_release=release_of(version), linkerd=linkerd), links=outward("east")
    )

    assert ("controllers" in values, "localServiceMirror" in values) == (controllers, local)
    assert ("createNamespaceMetadataJob" in values) == job
    assert values.get("createNamespaceMetadataJob", False) is False


def test_an_older_service_mirror_says_what_the_stack_file_says_of_it() -> None:
    values = service_mirror_values(
        build_cluster_settings("west"),
        build_cluster_settings(),
        credentials_checksum="x",
        options=options(serviceMirror=FULL["serviceMirror"]),
    )

    assert {key: values[key] for key in ("replicas", "logLevel", "logFormat", "retryLimit")} == {
        "replicas": 2,
        "logLevel": "debug",
        "logFormat": "json",
        "retryLimit": 7,
    }
    assert values["enableHeadlessServices"] is True
    assert values["resources"] == {"requests": {"cpu": "10m"}}


def test_a_mirror_that_reports_to_its_link_may() -> None:
    wanted = {
        release.version: release.link_status
        for release in (NEWER_RELEASE, LINKERD_RELEASES["2.16"], LINKERD_RELEASES["2.17"])
    }
    found = {
        version: service_mirror_values(
            build_cluster_settings(linkerd_release=LINKERD_RELEASES[version]),
            build_cluster_settings(),
            credentials_checksum="x",
        )["linkStatus"]
        for version in wanted
    }

    assert found == wanted == {"2.14.10": False, "2.16": False, "2.17": True}
