"""Base class of components that install one Helm chart in a namespace of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import HelmRelease, create_helm_release
from components.namespace import create_namespace, deleted_with
from components.sdk.secrets import create_pull_secret


class ChartComponent(pulumi.ComponentResource):
    """A namespace, the stack's image pull secret in it, and one Helm release.

    Args:
        type_token: Pulumi type of the component.
        name: resource name, without the cluster.
        cluster: cluster to install the chart on.
        namespace: name of the namespace.
        labels: labels of the namespace.
        annotations: annotations of the namespace.
        opts: resource options.
    """

    namespace: pulumi.Output[str]  # known once the namespace exists
    child_options: pulumi.ResourceOptions
    secret_options: pulumi.ResourceOptions  # for Secrets in the namespace
    installed: pulumi.Resource  # a dependency of each resource that needs the chart's objects only
    ready: pulumi.Resource  # a dependency of each resource that needs the chart's pods, CRDs or webhooks

    def __init__(
        self,
        type_token: str,
        name: str,
        cluster: Cluster,
        namespace: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        self._resource_name, self._cluster = f"{cluster.name}-{name}", cluster
        super().__init__(type_token, self._resource_name, None, opts)
        self.child_options = cluster.options(self)
        created = create_namespace(
            f"{self._resource_name}-namespace",
            cluster,
            namespace,
            labels=labels,
            annotations=annotations,
            opts=self.child_options,
        )
        self.namespace = created.name
        self.secret_options = deleted_with(created, self.child_options)

    def install_chart(
        self,
        chart: str,
        version: str | None,
        source: str,
        values: Mapping[str, Any],
        *,
        depends_on: Sequence[pulumi.Resource] = (),
        awaits_address: bool = True,
        on_installed: Callable[[str], None] | None = None,
    ) -> HelmRelease:
        """Create the pull secret and the Helm release, and set `installed` and `ready`.

        Args:
            chart: name of the chart and of its release.
            version: version of the chart.
            source: repository URL, `oci://` reference or folder of chart archives.
            values: Helm values.
            depends_on: dependencies that the values do not contain.
            awaits_address: whether a Service of type LoadBalancer is ready only with an address.
            on_installed: as of `create_helm_release`.
        """
        pull_secrets = create_pull_secret(
            f"{self._resource_name}-pull-secret", self._cluster, self.namespace, self.secret_options
        )
        release = create_helm_release(
            self._resource_name,
            cluster=self._cluster,
            name=chart,
            namespace=self.namespace,
            chart=chart,
            version=version,
            source=source,
            values=values,
            awaits_address=awaits_address,
            on_installed=on_installed,
            # Hidden dependency: the pods pull their images with the secret, which the chart only names.
            opts=pulumi.ResourceOptions.merge(
                self.child_options, pulumi.ResourceOptions(depends_on=[*depends_on, *pull_secrets])
            ),
        )
        self.installed, self.ready = release.release, release.ready
        return release
