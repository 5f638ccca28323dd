"""Links: a source mirrors the services that a target exports.

The resources of a link depend on the Linkerd release. Up to 2.17, each link has its own service mirror. From 2.18, the
service mirror is a controller of linkerd-multicluster (https://linkerd.io/2/tasks/upgrading-multicluster/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cluster import SKIP_AWAIT
from components.helm.release import create_helm_release
from components.linkerd.link_credentials import create_credentials_secret, create_link_credentials, credentials_checksum
from components.linkerd.link_credentials_check import check_link_credentials
from components.linkerd.link_spec import link_spec
from components.linkerd.mirror_cleanup import MirrorCleanup
from components.linkerd.multicluster import Multicluster
from components.linkerd.renamed_mirrors import MIRROR_CREATION_TIMEOUT_S, wait_for_renamed_mirrors
from components.linkerd.service_mirror import service_mirror_values
from components.mesh_cluster import MeshCluster
from components.sdk.adoption import adopt_applied_fields
from components.sdk.hooks import create_inputs_hook, create_namespace_hook, output_hook
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.load_balancer import load_balancer_addresses
from components.sdk.secrets import pull_secret_references
from mesh.config.models.links import LinkOptions

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.service_mirror import find_mirror_objects, mirror_release
from mesh.topology import Link

# A relative path, so that the input is the same on every machine.
MIRROR_CHART_PATH = "./charts/service-mirror"
# All API versions of the Link CRD. Each is a type of its own in Pulumi.
_LINK_APIS = tuple(f"multicluster.linkerd.io/{version}" for version in ("v1alpha1", "v1alpha2", "v1alpha3"))


class ClusterLink(pulumi.ComponentResource):
    """A link from a source to a target.

    In the target, the component creates a token. In the source, it creates the credentials with this token, the Link
    and, up to Linkerd 2.17, the service mirror.

    Args:
        link: names of the two clusters, and the mode of the link.
        source: cluster that mirrors the services.
        target: cluster that exports the services.
        options: options of the link.
        opts: resource options.
    """

    spec: dict[str, Any]  # spec of the Link

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
        self._linkerd_release = source.cluster.settings.linkerd_release
        self._source_options = source.cluster.options(self)
        extension, target_extension = _multicluster(source), _multicluster(target)
        kubeconfig = create_link_credentials(f"{name}-token", link, target.cluster, target_extension, self)
        secrets = self._create_secrets(kubeconfig)
        self.spec = self._link_spec()
        if self._linkerd_release.has_link_controllers:
            mirror = self._create_mirror_cleanup_of_extension(extension, kubeconfig, secrets)
        else:
            mirror = self._install_service_mirror(extension, kubeconfig, secrets)
        annotations: dict[str, pulumi.Input[str]] = dict(SKIP_AWAIT)
        if self._linkerd_release.has_link_status:
            # `linkerd multicluster check` compares this version. The value is an output of the release, because a
            # preview cannot diff a Link whose API version the release has yet to install.
            tag = f"linkerd/cli {self._linkerd_release.tag}"
            annotations["linkerd.io/created-by"] = extension.release_namespace.apply(lambda _: tag)
        api = self._linkerd_release.link_api
        link_options = adopt_applied_fields(
            f"{name}-link",
            source.cluster,
            self._source_options,
            lambda namespace: f"/apis/{api}/namespaces/{namespace}/links/{link.target}",
        )
        former_apis = [each for each in _LINK_APIS if each != api]
        KubernetesObject(
            f"{name}-link",
            api_version=api,
            kind="Link",
            metadata=source.cluster.metadata(link.target, namespace=extension.namespace, annotations=annotations),
            spec=self.spec,
            # Hidden dependencies: the CRD of the extension, and the mirror or its cleanup, which must be deleted later.
            opts=pulumi.ResourceOptions.merge(
                link_options,
                pulumi.ResourceOptions(
                    depends_on=[extension.ready, mirror],
                    hooks=self._wait_for_renamed_mirrors(),
                    # A Link is the same object in each API version.
                    aliases=[pulumi.Alias(type_=f"kubernetes:{each}:Link") for each in former_apis],
                ),
            ),
        )
        self.register_outputs({"spec": self.spec})

    def _create_secrets(self, kubeconfig: pulumi.Output[str]) -> list[pulumi.Resource]:
        source, target = self._source.cluster, self._link.target
        extension, parent = _multicluster(self._source), pulumi.ResourceOptions(parent=self)
        options = pulumi.ResourceOptions.merge(extension.secret_options, parent)
        if self._target.cluster.settings.peer_access.is_checked:
            # The source keeps working credentials if the new ones do not work.
            check = pulumi.ResourceHook(f"{self._name}-check", output_hook(kubeconfig, self._check_credentials))
            hooks = pulumi.ResourceHookBinding(before_create=[check], before_update=[check])
            options = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(hooks=hooks))
        credentials = create_credentials_secret(
            f"{self._name}-credentials", source, extension.namespace, target, kubeconfig, options
        )
        secrets: list[pulumi.Resource] = [credentials]
        if self._linkerd_release.has_remote_discovery:
            secrets.append(
                create_credentials_secret(
                    f"{self._name}-discovery-credentials",
                    source,
                    self._source.linkerd.namespace,
                    target,
                    kubeconfig,
                    # Hidden dependency: the hook of the first Secret tries the same credentials.
                    pulumi.ResourceOptions.merge(
                        self._source.linkerd.secret_options,
                        pulumi.ResourceOptions(parent=self, depends_on=[credentials]),
                    ),
                    discovery=self._target.cluster.settings,
                )
            )
        return secrets

    def _check_credentials(self, kubeconfig: str) -> None:
        warning = check_link_credentials(kubeconfig, self._link, self._target.cluster.settings)
        if warning is not None:
            pulumi.log.warn(warning)

    def _create_mirror_cleanup(
        self,
        extension: Multicluster,
        controller: str | None = None,
        checksum: pulumi.Input[str] | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
        hooks: pulumi.ResourceHookBinding | None = None,
    ) -> MirrorCleanup:
        return MirrorCleanup(
            f"{self._name}-mirrors",
            cluster=self._source.cluster,
            namespace=extension.namespace,
            target=self._link.target,
            controller=controller,
            credentials_checksum=checksum,
            # Hidden dependencies: the cleanup must run before the controller and its credentials are deleted.
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(depends_on), hooks=hooks),
        )

    def _create_mirror_cleanup_of_extension(
        self, extension: Multicluster, kubeconfig: pulumi.Output[str], secrets: list[pulumi.Resource]
    ) -> pulumi.Resource:
        """Create the cleanup of the mirrors that a controller of linkerd-multicluster creates, from Linkerd 2.18.

        The controller waits for the Link, then reads the credentials. The controller keeps running after the Link or
        the credentials are deleted. The extension cannot depend on the credentials: if two clusters are linked both
        ways, each one's credentials need the other's extension. So the cleanup resource restarts the controller when
        the credentials change.
        """
        return self._create_mirror_cleanup(
            extension,
            f"controller-{self._link.target}",
            credentials_checksum(kubeconfig),
            [extension.ready, *secrets],
            self._replace_foreign_mirror(f"{self._name}-mirrors"),
        )

    def _install_service_mirror(
        self, extension: Multicluster, kubeconfig: pulumi.Output[str], secrets: list[pulumi.Resource]
    ) -> pulumi.Resource:
        """Install the chart `service-mirror`, up to Linkerd 2.17."""
        cleanup = self._create_mirror_cleanup(extension)
        return create_helm_release(
            f"{self._name}-controller",
            cluster=self._source.cluster,
            name=mirror_release(self._link.target),
            namespace=extension.namespace,
            chart=MIRROR_CHART_PATH,
            version=None,
            source=None,
            values=service_mirror_values(
                self._source.cluster.settings,
                self._target.cluster.settings,
                credentials_checksum=credentials_checksum(kubeconfig),
                has_gateway=self._link.has_gateway,
                options=self._options,
                pull_secrets=pull_secret_references(self._source.cluster),
            ),
            # Hidden dependencies: the controller exits without credentials or the Link CRD, its pod needs the proxy
            # injector, and the cleanup must run after the controller is deleted.
            opts=pulumi.ResourceOptions.merge(
                self._source_options,
                pulumi.ResourceOptions(
                    depends_on=[secrets[0], extension.installed, self._source.linkerd.control_plane, cleanup],
                    hooks=self._replace_foreign_mirror(f"{self._name}-controller"),
                ),
            ),
        ).release  # the Link need not wait for the pod, which starts while the Link is created

    def _wait_for_renamed_mirrors(self) -> pulumi.ResourceHookBinding | None:
        """Return the hook that keeps the old mirror services of a renamed target until the new ones exist."""
        former, target = self._target.cluster.settings.renamed_from, self._link.target
        if former is None:
            return None
        cluster, access = self._source.cluster.name, self._source.cluster.access

        def wait(_inputs: Mapping[str, Any]) -> None:
            missing = wait_for_renamed_mirrors(kube_client.connect(access), former, target)
            if missing:
                pulumi.log.warn(
                    f"{cluster}: the service mirror has not created {', '.join(missing)} after "
                    f"{MIRROR_CREATION_TIMEOUT_S:g} seconds; the mirrors with the old name {former} are deleted"
                )

        hook = pulumi.ResourceHook(f"{self._name}-renamed-mirrors", create_inputs_hook(wait))
        return pulumi.ResourceHookBinding(after_create=[hook])

    def _replace_foreign_mirror(self, resource_name: str) -> pulumi.ResourceHookBinding | None:
        """Return the hook that deletes the service mirror of Linkerd's CLI before the stack creates its own.

        The mirror services keep their endpoints meanwhile.
        """
        cluster, target = self._source.cluster, self._link.target
        if not cluster.settings.adopt:
            return None
        access = cluster.access

        def delete_mirror(namespace: str) -> None:
            client = kube_client.connect(access)
            objects = [each for each in find_mirror_objects(client, namespace, target) if not each.helm_release]
            for each in objects:
                client.request("DELETE", f"{each.path}?propagationPolicy=Background")
            if objects:
                names = ", ".join(each.name for each in objects)
                pulumi.log.info(f"{cluster.name}: replacing the service mirror that Linkerd's CLI created: {names}")

        hook = pulumi.ResourceHook(f"{resource_name}-replace-mirror", create_namespace_hook(delete_mirror))
        return pulumi.ResourceHookBinding(before_create=[hook])

    def _link_spec(self) -> dict[str, Any]:
        return link_spec(
            self._target.cluster.settings,
            gateway_address=self._gateway_address() if self._link.has_gateway else None,
            has_remote_discovery=self._link.has_remote_discovery,
            options=self._options,
        )

    def _gateway_address(self) -> pulumi.Input[str]:
        addresses = self._target.cluster.settings.gateway_exposure.addresses
        if addresses:
            return ",".join(addresses)
        gateway = _multicluster(self._target).gateway
        assert gateway is not None, f"{self._link.target} is a target, so install() reads its gateway"
        # Only the address is an output, so a preview shows the rest of the spec while the address is unknown.
        return pulumi.Output.all(gateway.status).apply(lambda outputs: ",".join(load_balancer_addresses(outputs[0])))


def _multicluster(mesh_cluster: MeshCluster) -> Multicluster:
    assert mesh_cluster.multicluster is not None, "mesh.config enables multicluster on both clusters of a link"
    return mesh_cluster.multicluster
