"""Drift resource of a Helm release: `refresh` detects drift of the release's objects, and `up` repairs it.

Pulumi's own refresh of a release reads Helm's revision, but none of the objects. So each release has a drift resource,
which creates nothing. `pulumi preview --refresh` reads the objects. Drift becomes an update of this resource. The
release's revision is an input, so an upgrade updates this resource too. Without a refresh, no cluster is read, with two
exceptions:

* Before a create or an update, a hook finalizes the release, repairs drift, and waits until the objects are ready
  (see `components.helm.release`).
* Before the release is deleted, this resource is, and reads the release's CRDs (`components.helm.terminating_crds`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ReleaseDriftProvider

if TYPE_CHECKING:
    # Its dependencies take seconds to import, and the provider's process does not need them.
    from components.cluster import Cluster


class ReleaseDrift(Resource, module="multicluster-mesh", name="ReleaseDrift"):
    """The drift of one Helm release's objects.

    Args:
        name: name of the Pulumi resource.
        cluster: the cluster.
        namespace: namespace of the release.
        release: name of the release.
        revision: number of the release's latest revision.
        opts: resource options.
    """

    drift: pulumi.Output[list[str]]  # descriptions of drifted objects; unknown until they are repaired

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        namespace: pulumi.Input[str],
        release: str,
        revision: pulumi.Input[int],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "cluster": cluster.name,
            **cluster.access_inputs,
            "namespace": namespace,
            "release": release,
            "revision": revision,
            "drift": None,
        }
        super().__init__(ReleaseDriftProvider(), name, props, opts)
