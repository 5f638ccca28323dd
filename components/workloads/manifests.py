"""What samples are made of: Deployments and Services as Kubernetes wants them today, meshed and exported as wished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cluster import SKIP_AWAIT, Cluster
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret_references
from components.workloads.export_cleanup import ExportCleanup
from components.workloads.sample_namespace import IncomingLink, SampleNamespace
from mesh import config
from mesh.kube.constants import EXPORTED_LABEL, FEDERATED_LABEL


def container_spec(
    name: str,
    image: str,
    *,
    ports: Mapping[str, int] | None = None,
    probe: Mapping[str, Any] | None = None,
    cpu: str = "10m",
    memory: str = "32Mi",
    at_most: str = "128Mi",
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A container that may do no more than it must.

    Args:
        name: its name.
        image: its image.
        ports: the ports that it listens on, by name.
        probe: how to see that it is ready.
        cpu: what it asks for.
        memory: what it asks for.
        at_most: the memory that it may have.
        more: other fields.
    """
    found: dict[str, Any] = {
        "name": name,
        "image": image,
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": at_most}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if ports:
        found["ports"] = [{"name": port, "containerPort": number} for port, number in ports.items()]
    if probe is not None:
        found["readinessProbe"] = dict(probe)
    return {**found, **(more or {})}


def pod_annotations(sample: config.Sample) -> dict[str, str]:
    """What tells Linkerd what to do with a pod: said of each, whatever its namespace says."""
    policy = sample.part.default_inbound_policy
    found = {"linkerd.io/inject": "enabled" if sample.part.meshed else "disabled"}
    return {**found, **({"config.linkerd.io/default-inbound-policy": policy} if policy is not None else {})}


class SampleObjects:
    """Makes the objects of one sample in one place.

    Args:
        name: the sample's resource name, first in that of each of its objects.
        place: where they go.
        sample: its settings.
        parent: the sample's component.
    """

    def __init__(self, name: str, place: SampleNamespace, sample: config.Sample, parent: pulumi.Resource) -> None:
        self._name, self._place, self._sample, self._parent = name, place, sample, parent
        self._cluster = place.cluster
        self._options = self._cluster.options(parent)

    def image(self, container_name: str, usual: str) -> str:
        """The image of a container: the user's, or the usual one."""
        return self._sample.part.images.get(container_name, usual)

    def deployment(
        self,
        role: str,
        name: str,
        containers: Sequence[Mapping[str, Any]],
        *,
        labels: Mapping[str, str],
        user: int | None = None,
        replicas: int = 1,
        volumes: Sequence[Mapping[str, Any]] = (),
        account: bool = False,
        object_labels: Mapping[str, str] | None = None,
    ) -> None:
        """A Deployment.

        Args:
            role: the last part of its resource name; empty for the sample itself.
            name: its name.
            containers: of its pods.
            labels: of its pods, by which they are found.
            user: the number of the user that its image runs as, unless that is root.
            replicas: how many pods.
            volumes: of its pods.
            account: whether its pods have a service account of the same name.
            object_labels: of the Deployment; left out, those of its pods.
        """
        security: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
        if user is not None:
            security |= {"runAsNonRoot": True, "runAsUser": user}
        spec: dict[str, Any] = {"securityContext": security, "containers": [dict(each) for each in containers]}
        if pull := pull_secret_references(self._cluster):
            spec["imagePullSecrets"] = pull
        if volumes:
            spec["volumes"] = [dict(volume) for volume in volumes]
        if account:
            made = KubernetesObject(
                self._resource(f"{role}-account"),
                "v1",
                "ServiceAccount",
                metadata=self._metadata(name, labels=labels),
                opts=self._options,
            )
            spec["serviceAccountName"] = made.name
        else:
            # Nothing in a sample asks the API server for anything; its proxy has a token of its own.
            spec["automountServiceAccountToken"] = False
        KubernetesObject(
            self._resource(role),
            "apps/v1",
            "Deployment",
            metadata=self._metadata(name, labels=object_labels or labels),
            spec={
                "replicas": replicas,
                "selector": {"matchLabels": dict(labels)},
                "template": {
                    "metadata": {"labels": dict(labels), "annotations": self._pod_annotations()},
                    "spec": spec,
                },
            },
            # A pod that starts before the injectors are ready would stay outside the mesh without a word.
            opts=self._after(self._place.ready),
        )

    def service(
        self,
        role: str,
        name: str,
        ports: Mapping[str, tuple[int, int | str]],
        *,
        selector: Mapping[str, str],
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        offered: bool = False,
    ) -> None:
        """A Service.

        Args:
            role: the last part of its resource name.
            name: its name.
            ports: its ports and those of its pods, by name.
            selector: the labels of its pods.
            labels: its own; left out, the selector.
            annotations: its own.
            offered: whether it is of those that other clusters see where the sample is exported or federated.
        """
        own = dict(selector if labels is None else labels)
        before: list[pulumi.Resource] = []
        if offered:
            before = self._offer(role, name, own)
        KubernetesObject(
            self._resource(role),
            "v1",
            "Service",
            metadata=self._metadata(name, labels=own, annotations=annotations),
            spec={
                "selector": dict(selector),
                "ports": [{"name": key, "port": port, "targetPort": to} for key, (port, to) in ports.items()],
            },
            opts=self._after(before),
        )

    def _offer(self, role: str, name: str, labels: dict[str, str]) -> list[pulumi.Resource]:
        """Label a service as the sample is exported and federated; what must be there before it, and goes after it."""
        mode = self._sample.export_modes.get(self._cluster.name)
        federated = self._cluster.name in self._sample.part.federated
        inward = self._place.incoming_links
        seen: list[tuple[str, IncomingLink, bool]] = []
        if mode is not None:
            labels[EXPORTED_LABEL] = "true" if mode == "gateway" else mode
            seeing = [
                each for each in inward if (each.link.gateway if mode == "gateway" else each.link.has_remote_discovery)
            ]
            seen += [("export", each, False) for each in seeing]
        if federated:
            labels[FEDERATED_LABEL] = "member"
            seen += [("member", each, True) for each in inward if each.link.has_remote_discovery]
        if not labels.keys() & {EXPORTED_LABEL, FEDERATED_LABEL}:
            return []
        multicluster = self._place.mesh_cluster.multicluster
        # The gateway goes after what is seen through it, and the cluster's own controllers after what they look at.
        before: list[pulumi.Resource] = [multicluster.ready] if multicluster is not None else []
        # A link's controller is what removes its mirror.
        before += [
            self._export(f"{role}-{what}-{each.source.name}", name, each.source, as_member, each.component)
            for what, each, as_member in seen
        ]
        if federated and multicluster is not None:
            before.append(self._export(f"{role}-member", name, self._cluster, True, multicluster))
        return before

    def _export(
        self, role: str, service: str, source: Cluster, federated: bool, by: pulumi.Resource | None
    ) -> pulumi.Resource:
        return ExportCleanup(
            self._resource(role),
            service=service,
            namespace=self._place.name,
            target=self._cluster,
            source=source,
            federated=federated,
            opts=pulumi.ResourceOptions(parent=self._parent, depends_on=by),
        )

    def config_map(self, role: str, name: str, data: Mapping[str, str]) -> None:
        """A ConfigMap."""
        KubernetesObject(
            self._resource(role),
            "v1",
            "ConfigMap",
            metadata=self._metadata(name),
            data=dict(data),
            opts=self._options,
        )

    def custom(
        self,
        role: str,
        api_version: str,
        kind: str,
        name: str,
        spec: Mapping[str, Any],
        before: Sequence[pulumi.Resource],
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        once: Sequence[str] = (),
    ) -> None:
        """An object of a kind that a CRD defines.

        Args:
            role: the last part of its resource name.
            api_version: of its kind.
            kind: its kind.
            name: its name.
            spec: its spec.
            before: what brings its kind.
            labels: its labels.
            annotations: its annotations.
            once: other API versions in which it may have been made: by any of them it is the same object.
        """
        former = [pulumi.Alias(type_=f"kubernetes:{version}:{kind}") for version in once if version != api_version]
        KubernetesObject(
            self._resource(role),
            api_version=api_version,
            kind=kind,
            metadata=self._metadata(name, labels=labels, annotations=annotations),
            spec=dict(spec),
            opts=pulumi.ResourceOptions.merge(self._after(before), pulumi.ResourceOptions(aliases=former)),
        )

    def _pod_annotations(self) -> dict[str, str]:
        return pod_annotations(self._sample) if self._place.mesh_cluster.linkerd_or_none is not None else {}

    def _resource(self, role: str) -> str:
        return f"{self._name}-{role}" if role else self._name

    def _metadata(
        self, name: str, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        own = {**SKIP_AWAIT, **(annotations or {})}
        return self._cluster.metadata(name, namespace=self._place.namespace, labels=labels, annotations=own)

    def _after(self, before: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(self._options, pulumi.ResourceOptions(depends_on=list(before)))
