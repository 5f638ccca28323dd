"""A Helm release's objects, as something that `refresh` looks at and `up` mends.

Pulumi's own refresh of a release asks Helm for its record, and no cluster for an object. So each release has this
resource beside it, which makes nothing. `pulumi preview --refresh` asks it what is missing or differs in the cluster,
which makes an update of it, and that update mends it. Without a refresh no cluster is asked, but for one thing just
before it is made: whether Helm has brought the release to an end (see `components.helm`). And when it is removed, which
is just before the release is, the release's kinds are read (see `components.going_crds`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ReleaseDriftProvider

if TYPE_CHECKING:
    # Its packages take seconds to import, and the process that runs the provider doesn't need them.
    from components.cluster import Cluster


class ReleaseDrift(Resource, module="multicluster-mesh", name="ReleaseDrift"):
    """The objects of one Helm release in a cluster.

    Args:
        name: the resource name.
        cluster: the cluster.
        namespace: the release's namespace.
        release: the release's name.
        wait: whether to wait until what was mended is ready.
        opts: the usual resource options; the resource must depend on the release, whose last update it keeps up.
    """

    drift: pulumi.Output[list[str]]  # what isn't as it was made; known only once it is mended

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        namespace: pulumi.Input[str],
        release: str,
        wait: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "cluster": cluster.name,
            **cluster.access_inputs,
            "namespace": namespace,
            "release": release,
            "wait": wait,
            "drift": None,
        }
        super().__init__(ReleaseDriftProvider(), name, props, opts)
