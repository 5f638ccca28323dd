"""A cluster as the other components see it: its name, its provider, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

import settings


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One handle per cluster, passed to every component that puts something on it."""

    settings: settings.Cluster
    provider: kubernetes.Provider

    @property
    def name(self) -> str:
        """The cluster's name in the stack file, first in every resource name."""
        return self.settings.name

    def options(self, parent: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options for a resource on this cluster that is a child of `parent`."""
        return pulumi.ResourceOptions(parent=parent, provider=self.provider)


def connect(cluster: settings.Cluster) -> Cluster:
    """The handle of a cluster; makes nothing but a Kubernetes provider."""
    provider = kubernetes.Provider(
        cluster.name,
        # An empty kubeconfig makes the provider follow $KUBECONFIG as kubectl does, lists included; without it the SDK
        # would store the variable's value, a path of this machine.
        kubeconfig="",
        context=cluster.context.name,
        # What decides whether a changed kubeconfig is still the same cluster: only its name in the stack file.
        cluster_identifier=cluster.name,
        # A renewed certificate or token changes its Secret; by default it is deleted and made anew, and in between
        # an issuer or a link would be without.
        enable_secret_mutable=True,
    )
    return Cluster(settings=cluster, provider=provider)
