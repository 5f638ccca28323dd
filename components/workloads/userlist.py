"""Userlist: a global service of a ClusterMesh, and `curltest`, a client pod.

Follows https://docs.cilium.io/en/stable/network/clustermesh/services/ and …/affinity/ (annotations of global services).
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.services.exports import Exports
from components.services.mesh_namespace import MeshNamespace
from components.traffic_order import withdraw_after
from components.workloads.manifests import container_spec
from components.workloads.sample_component import SampleComponent
from mesh import config
from mesh.config.models.samples import UserlistConfig
from mesh.images import CURL_IMAGE, USERLIST_IMAGE

NAME, SERVICE, CURLTEST = "userlist", "userlist-svc", "curltest"
_LABELS = {"app": NAME}
PORT = 8181
# UID of curl in the image of curltest.
_CURL_UID = 100


def service_annotations(settings: UserlistConfig, cluster: str) -> dict[str, str]:
    """Return the annotations that make Cilium treat the Service as a global service.

    Args:
        settings: settings of the sample.
        cluster: name of the Service's cluster.
    """
    is_shared = settings.shared is None or cluster in settings.shared
    return {
        "service.cilium.io/global": "true",
        "service.cilium.io/shared": "true" if is_shared else "false",
        "service.cilium.io/affinity": settings.affinity,
    }


class Userlist(SampleComponent):
    """Userlist in one namespace: a global Service, and optionally its Deployment and `curltest`.

    Args:
        namespace: namespace of the sample.
        sample: settings of the sample.
        opts: resource options.
    """

    def __init__(
        self, namespace: MeshNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("multicluster-mesh:index:Userlist", namespace, sample, opts)
        settings, cluster = sample.config, self.cluster.name
        assert isinstance(settings, UserlistConfig)
        self._is_shared = settings.shared is None or cluster in settings.shared
        self._pods: list[pulumi.Resource] = []
        if cluster in sample.clusters:
            request, limit = settings.memory.resolve()
            container = container_spec(
                NAME,
                self.resolve_image(NAME, USERLIST_IMAGE),
                ports={"http": PORT},
                probe={"tcpSocket": {"port": "http"}},
                memory=request,
                memory_limit=limit,
            )
            self._pods.append(self.create_deployment("", NAME, [container], labels=_LABELS))
        if self._is_shared:
            self._create_global_service([])
        if cluster in (sample.clusters if settings.curltest is None else settings.curltest):
            container = container_spec(
                CURLTEST,
                self.resolve_image(CURLTEST, CURL_IMAGE),
                memory="16Mi",
                extra_fields={"command": ["/bin/sh", "-c", "--"], "args": ["sleep 365d"]},
            )
            self.create_deployment("curltest", CURLTEST, [container], labels={"app": CURLTEST}, user=_CURL_UID)
        self.register_outputs({})

    def create_traffic_rules(self, exports: Exports) -> None:
        """Create a Service that other clusters do not use, after those that may replace it."""
        if not self._is_shared:
            self._create_global_service(exports.find_in_all_clusters(self.namespace.name, SERVICE))

    def _create_global_service(self, replacements: Sequence[pulumi.Resource]) -> None:
        settings = self.sample.config
        assert isinstance(settings, UserlistConfig)
        # Clients of a global service need a Service in their own cluster, even if it has no pods.
        self.create_service(
            "service",
            SERVICE,
            {"http": (80, PORT)},
            selector=_LABELS,
            annotations=service_annotations(settings, self.cluster.name),
            # Other clusters use the pods until the Service is deleted.
            opts=withdraw_after([*replacements, *self._pods]),
        )
