"""Userlist: a service that all clusters of a ClusterMesh answer for, and `curltest`, a pod to ask it from.

Follows https://docs.cilium.io/en/stable/network/clustermesh/services/ and …/affinity/ (annotations of global services).
"""

from __future__ import annotations

import pulumi

from components.workloads.manifests import SampleObjects, container_spec
from components.workloads.sample_namespace import SampleNamespace
from mesh import config
from mesh.config.models.samples import UserlistConfig as UserlistSettings
from mesh.images import CURL_IMAGE, USERLIST_IMAGE

NAME, SERVICE, CURLTEST = "userlist", "userlist-svc", "curltest"
PORT = 8181
# The number of the user that the image of curltest has for curl.
_CURL_USER = 100


def service_annotations(wanted: UserlistSettings, cluster: str) -> dict[str, str]:
    """What tells Cilium that the service of one cluster is that of all.

    Args:
        wanted: the setting.
        cluster: the cluster's name.
    """
    shared = wanted.shared is None or cluster in wanted.shared
    return {
        "service.cilium.io/global": "true",
        "service.cilium.io/shared": "true" if shared else "false",
        "service.cilium.io/affinity": wanted.affinity,
    }


class Userlist(pulumi.ComponentResource):
    """Userlist in one place: a global Service, its Deployment unless others answer, and `curltest` where wished for.

    Args:
        place: where it goes.
        sample: its settings.
        opts: the usual resource options.
    """

    def __init__(
        self, place: SampleNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        cluster = place.cluster.name
        name = f"{cluster}-{place.name}-userlist"
        super().__init__("multicluster-mesh:index:Userlist", name, None, opts)
        wanted = sample.part
        assert isinstance(wanted, UserlistSettings)
        objects = SampleObjects(name, place, sample, self)
        labels = {"app": NAME}
        if cluster in sample.clusters:
            served = container_spec(
                NAME,
                objects.image(NAME, USERLIST_IMAGE),
                ports={"http": PORT},
                probe={"tcpSocket": {"port": "http"}},
                memory="128Mi",
                at_most="512Mi",
            )
            objects.deployment("", NAME, [served], labels=labels)
        # A cluster has a global service only by a Service of its own, be there pods behind it or not.
        ports: dict[str, tuple[int, int | str]] = {"http": (80, PORT)}
        told = service_annotations(wanted, cluster)
        objects.service("service", SERVICE, ports, selector=labels, annotations=told)
        if cluster in (sample.clusters if wanted.curltest is None else wanted.curltest):
            waiting = container_spec(
                CURLTEST,
                objects.image(CURLTEST, CURL_IMAGE),
                memory="16Mi",
                more={"command": ["/bin/sh", "-c", "--"], "args": ["sleep 365d"]},
            )
            objects.deployment("curltest", CURLTEST, [waiting], labels={"app": CURLTEST}, user=_CURL_USER)
        self.register_outputs({})
