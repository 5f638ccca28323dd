"""A Helm release's objects, as something that `refresh` looks at and `up` mends.

Pulumi's own refresh of a release asks Helm for its record, and no cluster for an object. So each release has this
resource beside it, which makes nothing. `pulumi preview --refresh` asks it what is missing or differs in the cluster,
which makes an update of it, and that update mends it. Without a refresh no cluster is asked, but for one thing just
before it is made: whether Helm has brought the release to an end (see `components.helm`). And when it is removed, which
is just before the release is, the release's kinds are read (see `components.going_crds`).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from mesh.kube import client as kube_client

if TYPE_CHECKING:
    # Its packages take seconds to import, and the process that runs the provider doesn't need them.
    from components.cluster import Cluster
    from mesh.preflight.api import ClusterApi

# Seconds for an answer on which nothing depends.
_WARM_UP_TIMEOUT_S = 5
_KEYS = ("cluster", "context", "kubeconfig", "namespace", "release", "wait")


class _ReleaseDriftProvider(ResourceProvider):
    """Runs in a process of its own, from state alone: a refresh does not run the program."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(
            id_=f"{props['cluster']}/{props['namespace']}/{props['release']}", outs=persisted_props(props)
        )

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        from mesh.helm import drift as upkeep
        from mesh.preflight.errors import ApiUnreachableError, BadCredentialsError

        where = f"{props['cluster']}: release {props['release']}"
        try:
            api = _api(props, upkeep.repair.REQUEST_TIMEOUT_S)
            found = [str(each) for each in upkeep.find_drift(api, props["namespace"], props["release"])]
        except (ApiUnreachableError, BadCredentialsError, TimeoutError) as error:
            # What Pulumi itself reads there is an error already.
            pulumi.log.warn(f"{where} couldn't be compared with what is there: {error}")
            return ReadResult(id_, props)
        for each in found:
            # A preview shows of this resource only that it is to be updated.
            pulumi.log.warn(f"{where} isn't as Helm has made it: {each}")
        return ReadResult(id_, {**persisted_props(props), "drift": found})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=persisted_props(_olds) != persisted_props(_news) or bool(_olds.get("drift")))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        if _olds.get("drift"):
            from mesh.helm import drift as upkeep

            client = kube_client.api_client(kube_client.access_from_props(_news))
            for mended in upkeep.repair_drift(client, _news["namespace"], _news["release"], wait=_news["wait"]):
                pulumi.log.info(f"{_news['cluster']}: mended: {mended}")
        return UpdateResult(outs=persisted_props(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """The release is the next to go, with its CRDs."""
        from components.helm import terminating_crds
        from mesh.preflight.api import NotReadableError
        from mesh.preflight.errors import ApiUnreachableError, BadCredentialsError

        # What can't be read only goes later.
        with suppress(NotReadableError, ApiUnreachableError, BadCredentialsError, TimeoutError):
            terminating_crds.warm_crd_storage(_api(_props, _WARM_UP_TIMEOUT_S), _props["release"], _props["namespace"])


class ReleaseDrift(Resource, module="multicluster-mesh", name="Upkeep"):
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
        super().__init__(_ReleaseDriftProvider(), name, props, opts)


def _api(props: dict[str, Any], answers_within: float) -> ClusterApi:
    from mesh.preflight.api import ClusterApi
    from mesh.preflight.errors import credentials_error

    try:
        client = kube_client.api_client(kube_client.access_from_props(props))
    except Exception as error:  # a plugin or a kubeconfig may fail in any way
        raise credentials_error(error) from None
    return ClusterApi(client, answers_within)


def persisted_props(props: dict[str, Any]) -> dict[str, Any]:
    return {**{key: props.get(key) for key in _KEYS}, "drift": []}
