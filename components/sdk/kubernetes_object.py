"""One object of the Kubernetes API, whatever its kind.

The SDK has a class for each kind, and to import those of `core/v1` alone is a third of a preview: 70,000 lines of types
for what the API server checks anyway. The type tokens here are the SDK's, so the state is the same.

Follows https://www.pulumi.com/registry/packages/kubernetes/api-docs/ (the tokens, and which outputs are secret).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

# What of a Secret is one.
_SECRET_FIELDS = ("data", "stringData")


class KubernetesObject(pulumi.CustomResource):
    """An object of a cluster; fields are called what the Kubernetes API calls them.

    Args:
        resource_name: the Pulumi resource's name.
        api_version: of its kind, such as `v1` or `apps/v1`.
        kind: its kind.
        opts: the resource options.
        fields: its metadata, its spec, and what else its kind has; none for one that is only read.
    """

    metadata: pulumi.Output[Mapping[str, Any]]
    data: pulumi.Output[Mapping[str, str]]
    status: pulumi.Output[Mapping[str, Any]]

    def __init__(
        self, resource_name: str, api_version: str, kind: str, *, opts: pulumi.ResourceOptions, **fields: Any
    ) -> None:
        if (api_version, kind) == ("v1", "Secret"):
            hidden = pulumi.ResourceOptions(additional_secret_outputs=list(_SECRET_FIELDS))
            opts = pulumi.ResourceOptions.merge(opts, hidden)
            fields |= {key: pulumi.Output.secret(fields[key]) for key in _SECRET_FIELDS if key in fields}
        if fields:
            fields |= {"apiVersion": api_version, "kind": kind}
        group = api_version if "/" in api_version else f"core/{api_version}"
        # What nobody asks for is an output all the same.
        outputs = dict.fromkeys(("metadata", "data", "status"))
        super().__init__(f"kubernetes:{group}:{kind}", resource_name, {**outputs, **fields}, opts)

    @property
    def name(self) -> pulumi.Output[str]:
        """Its name, known once it is there."""
        return self.metadata["name"]


def read_object(
    resource_name: str, api_version: str, kind: str, name: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> KubernetesObject:
    """An object that somebody else makes, as it is.

    Args:
        resource_name: the Pulumi resource's name.
        api_version: of its kind.
        kind: its kind.
        name: its namespace and name, with a slash between.
        opts: the resource options.
    """
    there = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(id=name))
    return KubernetesObject(resource_name, api_version, kind, opts=there)
