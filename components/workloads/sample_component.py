"""Base class of samples: creates Deployments, Services and custom objects, meshed and exported as configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cluster import SKIP_AWAIT, Cluster
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret_references
from components.workloads.deployment_wait import create_deployment_wait, deployment_revision
from components.workloads.export_cleanup import ExportCleanup
from components.workloads.manifests import pod_annotations
from components.workloads.sample_namespace import IncomingLink, SampleNamespace
from mesh import config
from mesh.config.models.samples import ExportMode
from mesh.kube.constants import EXPORTED_LABEL, FEDERATED_LABEL
from mesh.topology import Link


class SampleComponent(pulumi.ComponentResource):
    """A sample in one namespace of one cluster.

    Args:
        type_token: Pulumi type of the component.
        namespace: namespace of the sample.
        sample: settings of the sample.
        opts: resource options.
    """

    namespace: SampleNamespace
    cluster: Cluster

    def __init__(
        self,
        type_token: str,
        namespace: SampleNamespace,
        sample: config.Sample,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        self.namespace, self.cluster, self._sample = namespace, namespace.cluster, sample
        self._deployments: dict[str, pulumi.Output[str]] = {}
        self._resource_name = f"{self.cluster.name}-{namespace.name}-{sample.name}"
        super().__init__(type_token, self._resource_name, None, opts)
        self._child_options = self.cluster.options(self)

    def resolve_image(self, container: str, default: str) -> str:
        """Return the image of a container: the user's or the default."""
        return self._sample.config.images.get(container, default)

    def mirrored_clusters(self) -> list[str]:
        """Return the clusters whose exported services have mirrors in this cluster."""
        modes = self._sample.export_modes
        return [
            link.target
            for link in self.namespace.outgoing_links
            if link.target in modes and _has_mirrors(link, modes[link.target])
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
    ) -> None:
        """Create a Deployment.

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
                self._full_name(f"{role}-account"),
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
            self._full_name(role),
            "apps/v1",
            "Deployment",
            metadata=self._metadata(name, labels=object_labels or labels),
            spec=spec,
            # Hidden dependencies: the pull secret, the network, and the injectors. A pod that starts before an
            # injector silently gets no proxy.
            opts=self._options(self.namespace.pod_dependencies),
        )
        self._deployments[name] = deployment_revision(deployment, spec)

    def wait_for_deployments(self) -> None:
        """Register the wait for all Deployments of the sample; call this method last."""
        create_deployment_wait(
            f"{self._resource_name}-ready", self.cluster, self.namespace, self._sample.name, self._deployments, self
        )

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
        """
        service_labels = dict(selector if labels is None else labels)
        dependencies: list[pulumi.Resource] = []
        if is_exported:
            service_labels |= self._export_labels()
            dependencies = self._create_export_cleanups(role, name)
        KubernetesObject(
            self._full_name(role),
            "v1",
            "Service",
            metadata=self._metadata(name, labels=service_labels, annotations=annotations),
            spec={
                "selector": dict(selector),
                "ports": [{"name": key, "port": port, "targetPort": to} for key, (port, to) in ports.items()],
            },
            # Hidden dependencies: resources that must be deleted after the Service, such as the cleanup of its mirrors.
            opts=self._options(dependencies),
        )

    def create_config_map(self, role: str, name: str, data: Mapping[str, str]) -> None:
        """Create a ConfigMap."""
        KubernetesObject(
            self._full_name(role),
            "v1",
            "ConfigMap",
            metadata=self._metadata(name),
            data=dict(data),
            opts=self._child_options,
        )

    def create_custom_object(
        self,
        role: str,
        api_version: str,
        kind: str,
        name: str,
        spec: Mapping[str, Any],
        depends_on: Sequence[pulumi.Resource],
        annotations: Mapping[str, str] | None = None,
        former_api_versions: Sequence[str] = (),
    ) -> None:
        """Create an object of a kind that a CRD defines.

        Args:
            role: suffix of the resource name.
            api_version: API version of the object.
            kind: kind of the object.
            name: name of the object.
            spec: spec of the object.
            depends_on: resources that install the CRD and its webhook.
            annotations: annotations of the object.
            former_api_versions: other API versions of the same object, which an earlier update may have used.
        """
        aliases = [
            pulumi.Alias(type_=f"kubernetes:{version}:{kind}")
            for version in former_api_versions
            if version != api_version
        ]
        KubernetesObject(
            self._full_name(role),
            api_version=api_version,
            kind=kind,
            metadata=self._metadata(name, annotations=annotations),
            spec=dict(spec),
            # Hidden dependencies: the CRD and the webhook that validates the object.
            opts=pulumi.ResourceOptions.merge(self._options(depends_on), pulumi.ResourceOptions(aliases=aliases)),
        )

    def _export_mode(self) -> ExportMode | None:
        return self._sample.export_modes.get(self.cluster.name)

    def _is_federated(self) -> bool:
        return self.cluster.name in self._sample.config.federated

    def _export_labels(self) -> dict[str, str]:
        mode = self._export_mode()
        labels: dict[str, str] = {}
        if mode is not None:
            labels[EXPORTED_LABEL] = "true" if mode == "gateway" else mode
        if self._is_federated():
            labels[FEDERATED_LABEL] = "member"
        return labels

    def _create_export_cleanups(self, role: str, service: str) -> list[pulumi.Resource]:
        """Create the cleanups of an exported Service, and return the resources that must be deleted after it."""
        mode, is_federated, incoming = self._export_mode(), self._is_federated(), self.namespace.incoming_links
        if mode is None and not is_federated:
            return []
        mirrors: list[tuple[str, IncomingLink, bool]] = []
        if mode is not None:
            mirrors += [("export", each, False) for each in incoming if _has_mirrors(each.link, mode)]
        if is_federated:
            mirrors += [("member", each, True) for each in incoming if each.link.has_remote_discovery]
        multicluster = self.namespace.mesh_cluster.multicluster
        # Mirrors need the gateway, and the cluster's own controllers watch federated services.
        dependencies: list[pulumi.Resource] = [multicluster.ready] if multicluster is not None else []
        dependencies += [
            self._create_export_cleanup(
                f"{role}-{prefix}-{each.source.name}", service, each.source, each.component, is_member=is_member
            )
            for prefix, each, is_member in mirrors
        ]
        if is_federated and multicluster is not None:
            dependencies.append(
                self._create_export_cleanup(f"{role}-member", service, self.cluster, multicluster, is_member=True)
            )
        return dependencies

    def _create_export_cleanup(
        self, role: str, service: str, source: Cluster, controller: pulumi.Resource | None, *, is_member: bool
    ) -> pulumi.Resource:
        return ExportCleanup(
            self._full_name(role),
            service=service,
            namespace=self.namespace.name,
            target=self.cluster,
            source=source,
            is_federated=is_member,
            # Hidden dependency: the controller deletes the mirror, so it must be deleted after the cleanup.
            opts=pulumi.ResourceOptions(parent=self, depends_on=controller),
        )

    def _pod_annotations(self) -> dict[str, str]:
        return pod_annotations(self._sample) if self.namespace.mesh_cluster.linkerd_or_none is not None else {}

    def _full_name(self, role: str) -> str:
        return f"{self._resource_name}-{role}" if role else self._resource_name

    def _metadata(
        self, name: str, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return self.cluster.metadata(
            name,
            namespace=self.namespace.name_output,
            labels=labels,
            annotations={**SKIP_AWAIT, **(annotations or {})},
        )

    def _options(self, depends_on: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(self._child_options, pulumi.ResourceOptions(depends_on=list(depends_on)))


def _has_mirrors(link: Link, mode: ExportMode) -> bool:
    """Return whether a link mirrors services that its target exports in a mode."""
    return link.has_gateway if mode == "gateway" else link.has_remote_discovery
