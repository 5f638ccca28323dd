"""A cluster as the other components see it: its name, its provider, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from mesh import config
from mesh.kube.client import Access

# The annotation by which Pulumi names the manager of an object's fields.
FIELD_MANAGER_ANNOTATION = "pulumi.com/patchFieldManager"

# The label by which a namespace says what has made it; `managed-by` would be Helm's, where one is adopted from it.
PART_OF_LABEL = {"app.kubernetes.io/part-of": "multicluster-mesh"}

# Unless told, Pulumi leaves deletion to Kubernetes' garbage collector. That changes an object first, which a webhook
# that is down refuses, and may hear of a kind only half a minute after its CRD came.
_BACKGROUND_DELETION = {"pulumi.com/deletionPropagationPolicy": "background"}

# For what nobody waits for: Pulumi's own waiting never ends where the API server dies as it begins.
SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One handle per cluster, passed to every component that puts something on it."""

    settings: config.ClusterSettings
    provider: kubernetes.Provider
    pull_credentials: pulumi.Output[str] | None = None  # for images: the content of a .dockerconfigjson, secret

    @property
    def name(self) -> str:
        """The cluster's name in the stack file, first in every resource name."""
        return self.settings.name

    @property
    def access(self) -> Access:
        """The way to it for what its provider doesn't do."""
        return Access(context=self.settings.context.name, kubeconfig=self.settings.kubeconfig)

    @property
    def access_inputs(self) -> dict[str, pulumi.Input[str]]:
        """The same as inputs of a dynamic resource, whose process knows nothing else (see `access.of`)."""
        return {"context": self.settings.context.name, "kubeconfig": _kubeconfig_input(self.settings)}

    def options(self, parent: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options for a resource on this cluster that is a child of `parent`."""
        return pulumi.ResourceOptions(parent=parent, provider=self.provider)

    def metadata(
        self,
        name: pulumi.Input[str],
        *,
        namespace: pulumi.Input[str] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, pulumi.Input[str]] | None = None,
    ) -> dict[str, Any]:
        """The metadata of an object that this stack owns.

        Pulumi would give each object a field manager with a random name that only its state knows. What a killed `up`
        made and could not write down would then belong to a manager that is nobody any more, and its first change would
        be a conflict. By a name that stays it is ours again, while somebody else's object still is a conflict. Follows
        https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/.
        """
        own = {FIELD_MANAGER_ANNOTATION: field_manager(), **_BACKGROUND_DELETION}
        if self.settings.adopt:
            # What somebody else has made is taken over with all its fields.
            own["pulumi.com/patchForce"] = "true"
        found: dict[str, Any] = {"name": name, "annotations": {**own, **(annotations or {})}}
        if namespace is not None:
            found["namespace"] = namespace
        if labels:
            found["labels"] = dict(labels)
        return found

    def namespace_metadata(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The metadata of a namespace of this stack, which says by a label what has made it."""
        return self.metadata(name, labels={**PART_OF_LABEL, **(labels or {})}, annotations=annotations)


def field_manager() -> str:
    """The name under which this stack owns the fields of its objects."""
    return f"{pulumi.get_project()}-{pulumi.get_stack()}"


def _kubeconfig_input(cluster: config.ClusterSettings) -> pulumi.Input[str]:
    return pulumi.Output.secret(cluster.kubeconfig) if cluster.kubeconfig_is_secret else cluster.kubeconfig


def cluster_handle(cluster: config.ClusterSettings, image_pull_secret: str | None = None) -> Cluster:
    """The handle of a cluster; makes nothing but a Kubernetes provider.

    Args:
        cluster: its settings.
        image_pull_secret: credentials to pull images with, the content of a .dockerconfigjson.
    """
    provider = kubernetes.Provider(
        cluster.name,
        # An empty kubeconfig makes the provider follow $KUBECONFIG as kubectl does, lists included; without it the SDK
        # would store the variable's value, a path of this machine.
        kubeconfig=_kubeconfig_input(cluster),
        context=cluster.context.name,
        # What decides whether a changed kubeconfig is still the same cluster: only its name in the stack file.
        cluster_identifier=cluster.name,
        # A renewed certificate or token changes its Secret; by default it is deleted and made anew, and in between
        # an issuer or a link would be without.
        enable_secret_mutable=True,
    )
    credentials = pulumi.Output.secret(image_pull_secret) if image_pull_secret is not None else None
    return Cluster(settings=cluster, provider=provider, pull_credentials=credentials)
