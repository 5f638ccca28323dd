"""The CRDs of the Gateway API on one cluster, as its project publishes them in one manifest.

Linkerd's own chart may have brought some of them before. Then they are taken over where they are, so that no route goes
with them: Helm must let go of the fields that change, and must not delete what its chart brings no longer.

Follows https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api and, for the annotation by which Helm leaves
something where it is, https://helm.sh/docs/howto/charts_tips_and_tricks/#tell-helm-not-to-uninstall-a-resource.
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.cluster import Cluster
from mesh.config.models.extensions import GatewayApiConfig as GatewayApiSettings


def add_adoption_annotations(kind: str, props: dict[str, Any]) -> dict[str, Any]:
    """The inputs of an object of the manifest, those of a CRD with what it takes to take it over.

    Args:
        kind: the type of its resource.
        props: its inputs.
    """
    if not kind.endswith(":CustomResourceDefinition"):
        return props
    metadata = props.get("metadata") or {}
    own = {"pulumi.com/patchForce": "true", "helm.sh/resource-policy": "keep"}
    return {**props, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **own}}}


class GatewayApi(pulumi.ComponentResource):
    """The CRDs on one cluster.

    Args:
        cluster: where they go.
        wanted: their settings.
        opts: the usual resource options.
    """

    crds: pulumi.Resource  # what must be there before who looks for them

    def __init__(
        self, cluster: Cluster, wanted: GatewayApiSettings, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # It takes its time to be imported, and few stacks have a manifest.
        from pulumi_kubernetes.yaml.v2 import ConfigFile

        assert wanted.manifest is not None, "settings see to it that there is one"
        name = f"{cluster.name}-gateway-api"
        super().__init__("multicluster-mesh:index:GatewayApi", name, None, opts)
        options = pulumi.ResourceOptions.merge(
            cluster.options(self), pulumi.ResourceOptions(transforms=[_add_ownership_transform])
        )
        self.crds = ConfigFile(f"{name}-crds", file=wanted.manifest, opts=options)
        self.register_outputs({})


def _add_ownership_transform(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
    return pulumi.ResourceTransformResult(props=add_adoption_annotations(args.type_, dict(args.props)), opts=args.opts)
