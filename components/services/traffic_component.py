"""Base class of components whose Services other clusters can use: creates routes, policies and other custom objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cluster import SKIP_AWAIT, Cluster
from components.sdk.kubernetes_object import KubernetesObject
from components.services.exports import Exports
from components.services.mesh_namespace import MeshNamespace


class TrafficComponent(pulumi.ComponentResource):
    """A component with Services in one namespace of one cluster.

    Routes can name a Service of any cluster, and Pulumi needs the resources before those that depend on them. So the
    program creates these components in four steps: the constructor of each one, `create_policies` of each one,
    `export_services` of each one, then `create_traffic_rules` of each one.

    Args:
        type_token: Pulumi type of the component.
        resource_name: name of the component, and prefix of the names of its resources.
        namespace: namespace of the Services.
        separator: text between the prefix and the suffix of a resource name, and of an object's name.
        opts: resource options.
    """

    namespace: MeshNamespace
    cluster: Cluster

    def __init__(
        self,
        type_token: str,
        resource_name: str,
        namespace: MeshNamespace,
        *,
        separator: str = "-",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        self.namespace, self.cluster = namespace, namespace.cluster
        self._resource_name, self.separator = resource_name, separator
        super().__init__(type_token, resource_name, None, opts)
        self._child_options = self.cluster.options(self)

    def create_policies(self) -> list[pulumi.Resource]:
        """Create the objects that allow only some clients, and return those after which all of them exist."""
        return []

    def export_services(self, exports: Exports, namespaces: Mapping[tuple[str, str], MeshNamespace]) -> None:
        """Export the Services, and add them to the registry.

        Args:
            exports: registry of the Services and their mirrors.
            namespaces: namespaces of the stack, by the names of their cluster and of the namespace.
        """

    def create_traffic_rules(self, exports: Exports) -> None:
        """Create the objects that refer to Services.

        Args:
            exports: registry of the Services and their mirrors.
        """

    def resource_name(self, role: str) -> str:
        """Return the name of a resource of this component, from its suffix."""
        return f"{self.resource_prefix}{role}" if role else self._resource_name

    @property
    def resource_prefix(self) -> str:
        """Return the beginning of the names of the component's resources."""
        return f"{self._resource_name}{self.separator}"

    def create_custom_object(
        self,
        role: str,
        api_version: str,
        kind: str,
        name: str,
        spec: Mapping[str, Any],
        depends_on: Sequence[pulumi.Resource],
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        former_api_versions: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> pulumi.Resource:
        """Create an object of a kind that a CRD defines.

        Args:
            role: suffix of the resource name.
            api_version: API version of the object.
            kind: kind of the object.
            name: name of the object.
            spec: spec of the object.
            depends_on: resources that install the CRD and its webhook.
            labels: labels of the object.
            annotations: annotations of the object.
            former_api_versions: other API versions of the same object, which an earlier update may have used.
            opts: further resource options.
        """
        aliases = [
            pulumi.Alias(type_=f"kubernetes:{version}:{kind}")
            for version in former_api_versions
            if version != api_version
        ]
        options = pulumi.ResourceOptions.merge(self._options(depends_on), pulumi.ResourceOptions(aliases=aliases))
        if self.namespace.uid:
            # With another UID, the owner has created the namespace again, and the object no longer exists. Its
            # replacement has the same name, so Pulumi would delete the new object if it deleted last.
            options.replacement_trigger, options.delete_before_replace = self.namespace.uid, True
        return KubernetesObject(
            self.resource_name(role),
            api_version=api_version,
            kind=kind,
            metadata=self._metadata(name, labels=labels, annotations=annotations),
            spec=dict(spec),
            # Hidden dependencies: the CRD and the webhook that validates the object.
            opts=pulumi.ResourceOptions.merge(options, opts),
        )

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
