"""Base class of samples: creates Deployments and Services, meshed and exported as configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret_references
from components.services.exports import ExportedService, Exports, create_export
from components.services.mesh_namespace import MeshNamespace
from components.services.service_export import keep_export_labels
from components.services.traffic_component import TrafficComponent
from components.workloads.deployment_wait import create_deployment_wait, deployment_revision
from components.workloads.manifests import pod_annotations
from mesh import config
from mesh.config.models.services import ExportMode
from mesh.export_labels import export_labels


@dataclass(frozen=True, kw_only=True)
class _SampleService:
    """A Service of a sample."""

    name: str
    resource: pulumi.Resource
    labels: Mapping[str, str]
    is_exported: bool  # whether other clusters mirror the Service if the sample is exported or federated


class SampleComponent(TrafficComponent):
    """A sample in one namespace of one cluster.

    Args:
        type_token: Pulumi type of the component.
        namespace: namespace of the sample.
        sample: settings of the sample.
        opts: resource options.
    """

    sample: config.Sample

    def __init__(
        self,
        type_token: str,
        namespace: MeshNamespace,
        sample: config.Sample,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        self.sample = sample
        self._deployments: dict[str, pulumi.Output[str]] = {}
        self._services: dict[str, _SampleService] = {}  # by the suffix of the resource name
        super().__init__(type_token, f"{namespace.cluster.name}-{namespace.name}-{sample.name}", namespace, opts=opts)

    def resolve_image(self, container: str, default: str) -> str:
        """Return the image of a container: the user's or the default."""
        return self.sample.config.images.get(container, default)

    def mirrored_clusters(self) -> list[str]:
        """Return the clusters whose exported services have mirrors in this cluster."""
        modes = self.sample.export_modes
        return [
            link.target
            for link in self.namespace.outgoing_links
            if link.target in modes and link.mirrors(modes[link.target])
        ]

    def create_deployment(
        self,
        role: str,
        name: str,
        containers: Sequence[Mapping[str, Any]],
        *,
        labels: Mapping[str, str],
        user: int | None = None,
        replicas: int = 1,
        volumes: Sequence[Mapping[str, Any]] = (),
        needs_account: bool = False,
        object_labels: Mapping[str, str] | None = None,
    ) -> pulumi.Resource:
        """Create a Deployment, and return it.

        Args:
            role: suffix of the resource name; empty for the sample's main Deployment.
            name: name of the Deployment.
            containers: containers of the pods.
            labels: labels of the pods, also the selector.
            user: UID that the image runs as; None if that is root.
            replicas: number of pods.
            volumes: volumes of the pods.
            needs_account: whether the pods get a service account with the Deployment's name.
            object_labels: labels of the Deployment; None for those of the pods.
        """
        security: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
        if user is not None:
            security |= {"runAsNonRoot": True, "runAsUser": user}
        pod: dict[str, Any] = {"securityContext": security, "containers": [dict(each) for each in containers]}
        if pull_secrets := pull_secret_references(self.cluster):
            pod["imagePullSecrets"] = pull_secrets
        if volumes:
            pod["volumes"] = [dict(volume) for volume in volumes]
        if needs_account:
            account = KubernetesObject(
                self.resource_name(f"{role}-account"),
                "v1",
                "ServiceAccount",
                metadata=self._metadata(name, labels=labels),
                opts=self._child_options,
            )
            pod["serviceAccountName"] = account.name
        else:
            # No sample calls the API server, and Linkerd's proxy mounts a token of its own.
            pod["automountServiceAccountToken"] = False
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels), "annotations": self._pod_annotations()}, "spec": pod},
        }
        deployment = KubernetesObject(
            self.resource_name(role),
            "apps/v1",
            "Deployment",
            metadata=self._metadata(name, labels=object_labels or labels),
            spec=spec,
            # Hidden dependencies: the pull secret, the network, and the injectors. A pod that starts before an
            # injector silently gets no proxy.
            opts=self._options(self.namespace.pod_dependencies),
        )
        self._deployments[name] = deployment_revision(deployment, spec)
        return deployment

    def export_services(self, exports: Exports, namespaces: Mapping[tuple[str, str], MeshNamespace]) -> None:
        """Register the wait for the Deployments, then the exports.

        Args:
            exports: registry of the Services and their mirrors.
            namespaces: namespaces of the stack, by the names of their cluster and of the namespace.
        """
        wait = create_deployment_wait(
            self.resource_name("ready"), self.cluster, self.namespace, self.sample.name, self._deployments, self
        )
        for role, service in self._services.items():
            usable_after = [service.resource, *([wait] if wait is not None else [])]
            mirrored: list[pulumi.Resource] = []
            if service.is_exported:
                exported = ExportedService(
                    resource_prefix=f"{self.resource_name(role)}-",
                    parent=self,
                    namespace=self.namespace,
                    name=service.name,
                    labels=service.labels,
                    mode=self._export_mode(),
                    is_federated=self._is_federated(),
                    usable_after=usable_after,
                )
                mirrored = create_export(exported, exports, namespaces)
            exports.add(self.cluster.name, self.namespace.name, service.name, local=usable_after, mirrored=mirrored)

    def create_service(
        self,
        role: str,
        name: str,
        ports: Mapping[str, tuple[int, int | str]],
        *,
        selector: Mapping[str, str],
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        is_exported: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Create a Service.

        Args:
            role: suffix of the resource name.
            name: name of the Service.
            ports: port and target port, by name.
            selector: labels of the pods.
            labels: labels of the Service; None for the selector.
            annotations: annotations of the Service.
            is_exported: whether other clusters mirror the Service if the sample is exported or federated.
            opts: further resource options.
        """
        service_labels = dict(selector if labels is None else labels)
        if is_exported and self._export_labels():
            opts = pulumi.ResourceOptions.merge(opts, self._keep_export_labels(role, name))
        resource = KubernetesObject(
            self.resource_name(role),
            "v1",
            "Service",
            metadata=self._metadata(name, labels=service_labels, annotations=annotations),
            spec={
                "selector": dict(selector),
                "ports": [{"name": key, "port": port, "targetPort": to} for key, (port, to) in ports.items()],
            },
            opts=pulumi.ResourceOptions.merge(self._child_options, opts),
        )
        self._services[role] = _SampleService(
            name=name, resource=resource, labels=service_labels, is_exported=is_exported
        )

    def create_config_map(self, role: str, name: str, data: Mapping[str, str]) -> None:
        """Create a ConfigMap."""
        KubernetesObject(
            self.resource_name(role),
            "v1",
            "ConfigMap",
            metadata=self._metadata(name),
            data=dict(data),
            opts=self._child_options,
        )

    def _export_mode(self) -> ExportMode | None:
        return self.sample.export_modes.get(self.cluster.name)

    def _export_labels(self) -> dict[str, str]:
        return export_labels(self._export_mode(), is_federated=self._is_federated())

    def _keep_export_labels(self, role: str, service: str) -> pulumi.ResourceOptions:
        return keep_export_labels(
            self.resource_name(role),
            cluster=self.cluster,
            namespace=self.namespace.name,
            service=service,
            labels=self._export_labels(),
        )

    def _is_federated(self) -> bool:
        return self.cluster.name in self.sample.config.federated

    def _pod_annotations(self) -> dict[str, str]:
        return pod_annotations(self.sample) if self.namespace.mesh_cluster.linkerd_or_none is not None else {}
