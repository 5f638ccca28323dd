"""One class for Kubernetes objects of every kind.

The SDK has a class for each kind. The import of `core/v1` alone takes a third of a preview's time, for 70,000 lines of
types. The API server validates the inputs anyway. The type tokens are the SDK's, so the stack state is the same.

Follows https://www.pulumi.com/registry/packages/kubernetes/api-docs/ (the tokens, and which outputs are secret).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

# Fields of a Secret that contain secrets.
_SECRET_FIELDS = ("data", "stringData")


class KubernetesObject(pulumi.CustomResource):
    """A Kubernetes object.

    Args:
        resource_name: name of the Pulumi resource.
        api_version: API version, such as `v1` or `apps/v1`.
        kind: kind of the object.
        opts: resource options.
        fields: top-level fields of the object, named as in the Kubernetes API; none if the object is only read.
    """

    metadata: pulumi.Output[Mapping[str, Any]]
    data: pulumi.Output[Mapping[str, str]]
    status: pulumi.Output[Mapping[str, Any]]

    def __init__(
        self, resource_name: str, api_version: str, kind: str, *, opts: pulumi.ResourceOptions, **fields: Any
    ) -> None:
        if (api_version, kind) == ("v1", "Secret"):
            secret_outputs = pulumi.ResourceOptions(additional_secret_outputs=list(_SECRET_FIELDS))
            opts = pulumi.ResourceOptions.merge(opts, secret_outputs)
            fields |= {key: pulumi.Output.secret(fields[key]) for key in _SECRET_FIELDS if key in fields}
        if fields:
            fields |= {"apiVersion": api_version, "kind": kind}
        group = api_version if "/" in api_version else f"core/{api_version}"
        # Pulumi sets an output as an attribute only if the inputs contain its name.
        outputs = dict.fromkeys(("metadata", "data", "status"))
        super().__init__(f"kubernetes:{group}:{kind}", resource_name, {**outputs, **fields}, opts)

    @property
    def name(self) -> pulumi.Output[str]:
        """Return the object's name, known once the object exists."""
        return self.metadata["name"]


def read_object(
    resource_name: str, api_version: str, kind: str, name: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> KubernetesObject:
    """Read an object that this stack does not own.

    Args:
        resource_name: name of the Pulumi resource.
        api_version: API version of the object.
        kind: kind of the object.
        name: `namespace/name` of the object.
        opts: resource options.
    """
    return KubernetesObject(
        resource_name, api_version, kind, opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(id=name))
    )
