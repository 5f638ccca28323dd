"""Handle of a cluster: settings, Kubernetes provider, credentials, object metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.identity import ClusterIdentity
from mesh import config
from mesh.kube.connection import Access
from mesh.kube.constants import FIELD_MANAGER_ANNOTATION
from mesh.readiness.limits import WaitLimits

# Label of each namespace that this program creates. `managed-by` cannot be used: an adopted namespace has Helm's.
PART_OF_LABEL = {"app.kubernetes.io/part-of": "multicluster-mesh"}

# Pulumi's default is foreground deletion, which has two problems. Foreground deletion updates the object first, which
# fails if a webhook is down. The garbage collector discovers the kind of a new CRD up to 30 seconds late.
_BACKGROUND_DELETION = {"pulumi.com/deletionPropagationPolicy": "background"}

# For objects whose readiness is irrelevant. Pulumi's wait never ends if the API server stops when the wait begins.
SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster, passed to each component that creates resources on it."""

    settings: config.ClusterSettings
    identity: ClusterIdentity
    provider: kubernetes.Provider
    pull_credentials: pulumi.Output[str] | None = None  # secret; content of a .dockerconfigjson

    @property
    def name(self) -> str:
        """Return the cluster's name in the stack file, the prefix of all its resource names."""
        return self.settings.name

    @property
    def access(self) -> Access:
        """Return the credentials for requests that the Kubernetes provider cannot send."""
        return Access(context=self.settings.context.name, kubeconfig=self.settings.kubeconfig)

    @property
    def access_inputs(self) -> dict[str, pulumi.Input[str]]:
        """Return the credentials as inputs of a dynamic resource (see `mesh.kube.client.access_from_props`)."""
        inputs: dict[str, pulumi.Input[str]] = {
            "context": self.settings.context.name,
            "kubeconfig": _kubeconfig_input(self.settings),
        }
        # A dynamic resource refuses to change another cluster.
        return inputs if self.identity.uid is None else {**inputs, "uid": self.identity.uid}

    @property
    def wait_limits(self) -> WaitLimits:
        """Return the limits of a wait for objects on this cluster."""
        timeouts = self.settings.timeouts
        return WaitLimits(timeout_s=timeouts.ready, fails_early=timeouts.fail_early)

    def options(self, parent: pulumi.Resource) -> pulumi.ResourceOptions:
        """Return the options of a resource on this cluster that is a child of `parent`."""
        return pulumi.ResourceOptions(parent=parent, provider=self.provider)

    def metadata(
        self,
        name: pulumi.Input[str],
        *,
        namespace: pulumi.Input[str] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, pulumi.Input[str]] | None = None,
    ) -> dict[str, Any]:
        """Return the metadata of an object that this stack owns.

        By default, Pulumi generates a random field manager per object and stores it in the state only. If `up` is
        killed before it stores the state, the next update of the object is a conflict. So the field manager has a fixed
        name. Objects of other owners are still a conflict. Follows
        https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/.
        """
        defaults = {
            FIELD_MANAGER_ANNOTATION: self.identity.field_manager,
            **_BACKGROUND_DELETION,
        }
        if self.settings.adopt:
            # Take over all fields of an existing object from its field managers.
            defaults["pulumi.com/patchForce"] = "true"
        metadata: dict[str, Any] = {"name": name, "annotations": {**defaults, **(annotations or {})}}
        if namespace is not None:
            metadata["namespace"] = namespace
        if labels:
            metadata["labels"] = dict(labels)
        return metadata

    def namespace_metadata(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the metadata of a namespace that this stack owns, with the label of this program.

        Pulumi does not wait for the deletion of the namespace: `components.namespace` does.
        """
        return self.metadata(
            name,
            labels={**PART_OF_LABEL, **(labels or {})},
            annotations={**SKIP_AWAIT, **(annotations or {})},
        )


def _kubeconfig_input(cluster: config.ClusterSettings) -> pulumi.Input[str]:
    return pulumi.Output.secret(cluster.kubeconfig) if cluster.has_secret_kubeconfig else cluster.kubeconfig


def create_cluster_handle(
    cluster: config.ClusterSettings, identity: ClusterIdentity, image_pull_secret: str | None = None
) -> Cluster:
    """Return the handle of a cluster, and register its Kubernetes provider.

    Args:
        cluster: settings of the cluster.
        identity: identity of the cluster.
        image_pull_secret: registry credentials, the content of a .dockerconfigjson.
    """
    provider = kubernetes.Provider(
        cluster.name,
        # With an empty string, the provider reads $KUBECONFIG as kubectl does, lists included. With None, the SDK would
        # store the variable's value in the state, a path of this machine.
        kubeconfig=_kubeconfig_input(cluster),
        context=cluster.context.name,
        # Constant, so a changed kubeconfig or name replaces no resource.
        cluster_identifier=identity.provider_identifier,
        # By default, Pulumi replaces a changed Secret. Between deletion and creation, links would have no credentials.
        enable_secret_mutable=True,
        # Hidden dependency: an object must not exist without the records that identify its owner and its cluster.
        opts=pulumi.ResourceOptions(depends_on=list(identity.records)),
    )
    credentials = pulumi.Output.secret(image_pull_secret) if image_pull_secret is not None else None
    return Cluster(settings=cluster, identity=identity, provider=provider, pull_credentials=credentials)
