"""CRDs of the Gateway API, from the manifest that its project publishes.

An earlier Linkerd chart may have created some of these CRDs. The program adopts these CRDs in place, because deleting
a CRD deletes all routes. The annotation `pulumi.com/patchForce` takes over fields that Helm manages. The annotation
`helm.sh/resource-policy` prevents Helm from deleting the CRDs that its chart no longer contains.

Follows https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api and
https://helm.sh/docs/howto/charts_tips_and_tricks/#tell-helm-not-to-uninstall-a-resource.
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.cluster import Cluster
from components.identity_transformation import manifest_transform
from mesh.config.models.extensions import GatewayApiConfig
from mesh.kube.constants import RESOURCE_POLICY_ANNOTATION


def add_adoption_annotations(type_token: str, props: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of a manifest's object; a CRD gets the annotations for its adoption.

    Args:
        type_token: Pulumi type of the object.
        props: inputs of the object.
    """
    if not type_token.endswith(":CustomResourceDefinition"):
        return props
    metadata = props.get("metadata") or {}
    adoption = {"pulumi.com/patchForce": "true", RESOURCE_POLICY_ANNOTATION: "keep"}
    return {**props, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **adoption}}}


class GatewayApi(pulumi.ComponentResource):
    """The CRDs of the Gateway API on one cluster.

    Args:
        cluster: cluster to install the CRDs on.
        settings: settings of the Gateway API.
        opts: resource options.
    """

    crds: pulumi.Resource  # a dependency of each controller that reads the CRDs at its start

    def __init__(
        self, cluster: Cluster, settings: GatewayApiConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # The import is slow, and few stacks need it.
        from pulumi_kubernetes.yaml.v2 import ConfigFile

        assert settings.manifest is not None, "mesh.config requires a manifest"
        name = f"{cluster.name}-gateway-api"
        super().__init__("multicluster-mesh:index:GatewayApi", name, None, opts)
        transform = manifest_transform(cluster, add_adoption_annotations)
        options = pulumi.ResourceOptions.merge(cluster.options(self), pulumi.ResourceOptions(transforms=[transform]))
        self.crds = ConfigFile(f"{name}-crds", file=settings.manifest, opts=options)
        self.register_outputs({})
