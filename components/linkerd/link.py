"""A link: the source sees the services that the target exports.

The one place where the generation of Linkerd decides: up to 2.17 a link brings a service mirror of its own, from 2.18
that is one of the controllers of linkerd-multicluster (https://linkerd.io/2/tasks/upgrading-multicluster/).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.cluster import SKIP_AWAIT
from components.helm.release import helm_release
from components.linkerd.link_credentials import credentials_checksum, credentials_secret, link_credentials
from components.linkerd.link_spec import link_spec
from components.linkerd.mirror_cleanup import MirrorCleanup
from components.linkerd.multicluster import Multicluster
from components.linkerd.service_mirror import service_mirror_values
from components.mesh_cluster import MeshCluster
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.load_balancer import load_balancer_addresses
from components.sdk.secrets import pull_secrets
from mesh import config
from mesh.config.models.links import LinkOptions
from mesh.topology import Link

# Relative to the program, so that every checkout and every machine has the same inputs.
MIRROR_CHART = "./charts/service-mirror"
# Every API version that a Link has had; to Pulumi, a kind of its own each.
_LINK_APIS = tuple(f"multicluster.linkerd.io/{version}" for version in ("v1alpha1", "v1alpha2", "v1alpha3"))


class ClusterLink(pulumi.ComponentResource):
    """A link from a source to a target.

    Makes, in the target, a token of the account that links use; in the source, the credentials made of it, the Link,
    and the service mirror where the extension doesn't bring it.

    Args:
        link: its two ends.
        source: the cluster that will see the other's services.
        target: the cluster whose exported services are seen.
        options: what the stack file says of it.
        opts: the usual resource options.
    """

    spec: dict[str, Any]

    def __init__(
        self,
        link: Link,
        source: MeshCluster,
        target: MeshCluster,
        options: LinkOptions,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"link-{link.name}"
        super().__init__("multicluster-mesh:index:ClusterLink", name, None, opts)
        self._name, self._link, self._source, self._target, self._options = name, link, source, target, options
        self._release = source.cluster.settings.release
        self._here = source.cluster.options(self)
        extension = _multicluster(source)
        there = _multicluster(target)
        kubeconfig = link_credentials(f"{name}-token", link, target.cluster, there.namespace, there.extension, self)
        secrets = self._secrets(kubeconfig)
        self.spec = self._spec()
        mirrored = self._by_extension if self._release.link_controllers else self._by_own_controller
        before = mirrored(extension, kubeconfig, secrets)
        annotations: dict[str, pulumi.Input[str]] = dict(SKIP_AWAIT)
        if self._release.link_status:
            # As Linkerd's own command writes it, by which `multicluster check` compares versions. An output, because a
            # preview can't ask the cluster about a version of the Link that the extension is still to bring.
            tag = f"linkerd/cli {self._release.tag}"
            annotations["linkerd.io/created-by"] = extension.installed.apply(lambda _: tag)
        others = [api for api in _LINK_APIS if api != self._release.link_api]
        KubernetesObject(
            f"{name}-link",
            api_version=self._release.link_api,
            kind="Link",
            metadata=source.cluster.metadata(link.target, namespace=extension.namespace, annotations=annotations),
            spec=self.spec,
            # Its kind comes with the extension.
            opts=pulumi.ResourceOptions.merge(
                self._here,
                pulumi.ResourceOptions(
                    depends_on=[extension.extension, *before],
                    # The same object, whatever the version of its API.
                    aliases=[pulumi.Alias(type_=f"kubernetes:{api}:Link") for api in others],
                ),
            ),
        )
        self.register_outputs({"spec": self.spec})

    def _secrets(self, kubeconfig: pulumi.Output[str]) -> list[pulumi.Resource]:
        source, target = self._source.cluster, self._link.target
        namespace = _multicluster(self._source).namespace
        made: list[pulumi.Resource] = [
            credentials_secret(f"{self._name}-credentials", source, namespace, target, kubeconfig, self._here)
        ]
        if self._release.remote_discovery:
            made.append(
                credentials_secret(
                    f"{self._name}-discovery-credentials",
                    source,
                    self._source.linkerd.namespace,
                    target,
                    kubeconfig,
                    self._here,
                    discovery=self._target.cluster.settings,
                )
            )
        return made

    def _mirrors(
        self,
        extension: Multicluster,
        controller: str | None,
        kubeconfig_checksum: pulumi.Input[str] | None,
        before: Sequence[pulumi.Resource],
    ) -> MirrorCleanup:
        return MirrorCleanup(
            f"{self._name}-mirrors",
            cluster=self._source.cluster,
            namespace=extension.namespace,
            target=self._link.target,
            controller=controller,
            credentials_checksum=kubeconfig_checksum,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(before)),
        )

    def _by_extension(
        self, extension: Multicluster, kubeconfig: pulumi.Output[str], secrets: list[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """From 2.18: the extension's controller waits for the Link, finds the credentials, and ends with neither.

        Nothing of the extension can depend on the credentials: those of two clusters that are linked both ways need
        each other's extension. So the controller is told of new ones by its mirrors' resource.
        """
        # The Link goes first, so that the controller lets its mirrors be.
        return [
            self._mirrors(
                extension,
                f"controller-{self._link.target}",
                credentials_checksum(kubeconfig),
                [extension.extension, *secrets],
            )
        ]

    def _by_own_controller(
        self, extension: Multicluster, kubeconfig: pulumi.Output[str], secrets: list[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """Up to 2.17: a release of our own chart."""
        mirrors = self._mirrors(extension, None, None, [])
        controller = helm_release(
            f"{self._name}-controller",
            cluster=self._source.cluster,
            name=f"link-{self._link.target}",
            namespace=extension.namespace,
            chart=MIRROR_CHART,
            version=None,
            source=None,
            values=service_mirror_values(
                self._source.cluster.settings,
                self._target.cluster.settings,
                credentials_checksum=credentials_checksum(kubeconfig),
                gateway=self._link.gateway,
                options=self._options,
                pull=pull_secrets(self._source.cluster),
            ),
            # The controller ends when it finds no credentials; its pod must be injected; its mirrors outlive it.
            opts=pulumi.ResourceOptions.merge(
                self._here,
                pulumi.ResourceOptions(depends_on=[*secrets, self._source.linkerd.control_plane, mirrors]),
            ),
        ).drift_repair
        # The Link goes before the controller, which then lets its mirrors be.
        return [controller]

    def _spec(self) -> dict[str, Any]:
        wanted: config.ClusterSettings = self._target.cluster.settings
        address: pulumi.Input[str] | None = self._gateway_address(wanted) if self._link.gateway else None
        return link_spec(wanted, gateway_address=address, discovers=self._link.discovers, options=self._options)

    def _gateway_address(self, wanted: config.ClusterSettings) -> pulumi.Input[str]:
        if wanted.gateway.addresses:
            return ",".join(wanted.gateway.addresses)
        gateway = _multicluster(self._target).gateway
        assert gateway is not None, f"{self._link.target} is a link's target, so its gateway has been read"
        # An output inside of plain values: a preview that can't know the address yet still shows the rest.
        return pulumi.Output.all(gateway.status).apply(lambda found: ",".join(load_balancer_addresses(found[0])))


def _multicluster(member: MeshCluster) -> Multicluster:
    assert member.multicluster is not None, "a mesh with links has several clusters, and all of them the extension"
    return member.multicluster
