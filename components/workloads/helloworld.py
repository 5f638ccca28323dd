"""Helloworld: a service that returns its version, and `sleep`, a client pod.

Follows https://github.com/istio/istio/tree/master/samples/helloworld and …/samples/sleep (names, ports, images,
labels).
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.services.backends import failover_annotations
from components.services.exports import Exports
from components.services.mesh_namespace import MeshNamespace
from components.services.traffic_rules import create_traffic_rules
from components.services.traffic_split import RoutedPort
from components.workloads.manifests import container_spec
from components.workloads.sample_component import SampleComponent
from mesh import config
from mesh.config.models.samples import HelloworldConfig
from mesh.images import CURL_IMAGE, HELLOWORLD_IMAGE

NAME = "helloworld"
SLEEP = "sleep"
PORT = 5000
# UID of curl in the image of sleep. The image of helloworld has no user for its UID, and Python needs none.
_CURL_UID, _HELLOWORLD_UID = 100, 1000


class Helloworld(SampleComponent):
    """One version of helloworld in one namespace, behind a Service that can be exported, and an optional `sleep`.

    Args:
        namespace: namespace of the sample.
        sample: settings of the sample.
        opts: resource options.
    """

    def __init__(
        self, namespace: MeshNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("multicluster-mesh:index:Helloworld", namespace, sample, opts)
        settings, cluster = sample.config, self.cluster.name
        assert isinstance(settings, HelloworldConfig)
        if cluster in sample.clusters:
            annotations = failover_annotations(cluster, settings.failover)
            _create_version(self, settings.versions.get(cluster, "v1"), annotations)
        if cluster in settings.sleep:
            _create_sleep(self)
        self.register_outputs({})

    def create_traffic_rules(self, exports: Exports) -> None:
        """Create the splits and failovers."""
        settings = self.sample.config
        assert isinstance(settings, HelloworldConfig)
        create_traffic_rules(self, exports, NAME, [RoutedPort(number=PORT)], settings)


def _create_version(component: SampleComponent, version: str, annotations: Mapping[str, str] | None) -> None:
    name = f"{NAME}-{version}"
    container = container_spec(
        NAME,
        component.resolve_image(name, HELLOWORLD_IMAGE.format(version)),
        ports={"http": PORT},
        probe={"httpGet": {"path": "/health", "port": "http"}},
        cpu="100m",
        memory="64Mi",
        memory_limit="256Mi",
    )
    # Each version has its own Deployment, so Pulumi creates a new version before it deletes the old one.
    component.create_deployment(
        version, name, [container], labels={"app": NAME, "version": version}, user=_HELLOWORLD_UID
    )
    component.create_service(
        "service",
        NAME,
        {"http": (PORT, "http")},
        selector={"app": NAME},
        labels={"app": NAME, "service": NAME},
        annotations=annotations,
        is_exported=True,
    )


def _create_sleep(component: SampleComponent) -> None:
    labels = {"app": SLEEP}
    container = container_spec(
        SLEEP,
        component.resolve_image(SLEEP, CURL_IMAGE),
        memory="16Mi",
        extra_fields={"command": ["/bin/sleep", "3650d"]},
    )
    component.create_deployment("sleep", SLEEP, [container], labels=labels, user=_CURL_UID)
    # No process listens on the port. The Service gives the pods a name in Linkerd's statistics.
    component.create_service(
        "sleep-service", SLEEP, {"http": (80, 80)}, selector=labels, labels={"app": SLEEP, "service": SLEEP}
    )
