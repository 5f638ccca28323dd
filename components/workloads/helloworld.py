"""Helloworld: a service that says which version of it answers, and `sleep`, a pod to ask it from.

Follows https://github.com/istio/istio/tree/master/samples/helloworld and …/samples/sleep (names, ports, images,
labels).
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.workloads.manifests import SampleObjects, container_spec
from components.workloads.sample_namespace import SampleNamespace
from components.workloads.traffic_split import FAILURE_ACCRUAL_ANNOTATION, fail_over, split_backends, split_requests
from mesh import config
from mesh.config.models.samples import HelloworldConfig as HelloworldSettings
from mesh.images import CURL_IMAGE, HELLOWORLD_IMAGE

NAME = "helloworld"
SLEEP = "sleep"
PORT = 5000
# The number of the user that the image of sleep has for curl; and nobody on helloworld's, where Python needs none.
_CURL_USER, _HELLO_USER = 100, 1000


class Helloworld(pulumi.ComponentResource):
    """Helloworld in one place: one version of it behind a Service that may be exported, and `sleep` where wished for.

    Args:
        place: where it goes.
        sample: its settings.
        opts: the usual resource options.
    """

    def __init__(
        self, place: SampleNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        cluster = place.cluster.name
        name = f"{cluster}-{place.name}-helloworld"
        super().__init__("multicluster-mesh:index:Helloworld", name, None, opts)
        wanted = sample.part
        assert isinstance(wanted, HelloworldSettings)
        objects = SampleObjects(name, place, sample, self)
        if cluster in sample.clusters:
            accrual = FAILURE_ACCRUAL_ANNOTATION if any(each.cluster == cluster for each in wanted.failover) else None
            _version(objects, wanted.versions.get(cluster, "v1"), accrual)
        if cluster in wanted.sleep:
            _sleep(objects)
        for split in wanted.splits:
            if split.cluster == cluster:
                split_requests(
                    objects,
                    place,
                    "split",
                    NAME,
                    form=split.form,
                    service=NAME,
                    port=PORT,
                    found=split_backends(NAME, PORT, split),
                    version=split.smi_version,
                )
        for failover in wanted.failover:
            if failover.cluster == cluster:
                fail_over(objects, place, NAME, PORT, failover)
        self.register_outputs({})


def _version(objects: SampleObjects, version: str, annotations: Mapping[str, str] | None) -> None:
    called = f"{NAME}-{version}"
    served = container_spec(
        NAME,
        objects.image(called, HELLOWORLD_IMAGE.format(version)),
        ports={"http": PORT},
        probe={"httpGet": {"path": "/health", "port": "http"}},
        cpu="100m",
        memory="64Mi",
        at_most="256Mi",
    )
    # A version is a Deployment of its own, and moving to another one makes that first.
    objects.deployment(version, called, [served], labels={"app": NAME, "version": version}, user=_HELLO_USER)
    labels = {"app": NAME, "service": NAME}
    objects.service(
        "service",
        NAME,
        {"http": (PORT, "http")},
        selector={"app": NAME},
        labels=labels,
        annotations=annotations,
        offered=True,
    )


def _sleep(objects: SampleObjects) -> None:
    labels = {"app": SLEEP}
    waiting = container_spec(
        SLEEP, objects.image(SLEEP, CURL_IMAGE), more={"command": ["/bin/sleep", "3650d"]}, memory="16Mi"
    )
    objects.deployment("sleep", SLEEP, [waiting], labels=labels, user=_CURL_USER)
    # Nothing listens there: a Service gives its pods a name in the mesh's statistics.
    objects.service(
        "sleep-service", SLEEP, {"http": (80, 80)}, selector=labels, labels={"app": SLEEP, "service": SLEEP}
    )
