"""Changes of a stack file that must lose no request, with the clients that notice a loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrafficClient:
    """Client pod of a cluster, and the service that it calls."""

    cluster: str
    url: str
    origin: str  # a regular expression; its first group is the origin of an answer
    name: str  # in the report

    @property
    def is_grpc(self) -> bool:
        """Return whether the client sends gRPC requests."""
        return self.url.startswith("grpc:")

    @classmethod
    def of_podinfo_grpc(cls, cluster: str) -> TrafficClient:
        """Return a client of podinfo's gRPC port."""
        return cls(
            cluster=cluster,
            url="grpc://podinfo.test:9999",
            origin=r"greetings from ([-a-z0-9]+)",
            name=f"{cluster} → podinfo, gRPC",
        )

    @classmethod
    def of_helloworld(cls, cluster: str, service: str = "helloworld", *, namespace: str = "hello") -> TrafficClient:
        """Return a client of helloworld or of its mirror."""
        return cls(
            cluster=cluster,
            url=f"http://{service}.{namespace}:5000/hello",
            origin=r"version: (v\d)",
            name=f"{cluster} → {service}",
        )

    @classmethod
    def of_podinfo(cls, cluster: str, path: str = "/", *, namespace: str = "test") -> TrafficClient:
        """Return a client of podinfo, whose answers name the cluster."""
        return cls(
            cluster=cluster,
            url=f"http://podinfo.{namespace}:9898{path}",
            origin=r"greetings from ([-a-z0-9]+)",
            name=f"{cluster} → podinfo{path if path != '/' else ''}",
        )


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change by one `up`.

    Attributes:
        name: description in reports and in the docs.
        before: the stack file before the change.
        after: the stack file after the change.
        clients: clients whose requests must succeed all the time.
    """

    name: str
    before: Config
    after: Config
    clients: Sequence[TrafficClient]

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    def reverse(self, name: str) -> Change:
        """Return the opposite change."""
        return Change(name=name, before=self.after, after=self.before, clients=self.clients)


# Any client of the mesh may call podinfo; the second form lists the identities.
_ANY_IDENTITY = {"policyClients": {"identities": ["*.cluster.local"]}}
# No retries, which would hide a loss, and no short timeout, which a busy machine exceeds.
_ROUTES = [{"method": "GET", "pathRegex": "/api/info", "timeout": "5s"}]
# East's gateway has node ports in place of a load balancer.
_NODE_PORT_CLUSTERS: Config = {
    "west": {},
    "east": {"gateway": {"nodePort": {"port": 30143, "probePort": 30191}, "addresses": ["192.0.2.5"]}},
}

HELLOWORLD: dict[str, Any] = {"namespace": "hello", "versions": {"east": "v2"}}
EXPORTED_HELLOWORLD = {**HELLOWORLD, "exported": ["east"]}
SPLIT_HELLOWORLD = {**EXPORTED_HELLOWORLD, "splits": [{"cluster": "west", "weights": {"west": 50, "east": 50}}]}
_EXPORTED_TO_PODS = {**EXPORTED_HELLOWORLD, "exportMode": "remote-discovery"}
_FEDERATED: dict[str, Any] = {"federated": ["west", "east"]}

_HELLOWORLD_CLIENT = TrafficClient.of_helloworld("west")
MIRROR_CLIENT = TrafficClient.of_helloworld("west", "helloworld-east")
HELLOWORLD_CLIENTS = (_HELLOWORLD_CLIENT, MIRROR_CLIENT)
_PODINFO_CLIENTS = (
    TrafficClient.of_podinfo("west"),
    TrafficClient.of_podinfo("west", path="/api/info"),
    TrafficClient.of_podinfo_grpc("west"),
)
_LOCAL_PODINFO_CLIENTS = (TrafficClient.of_podinfo("west"), TrafficClient.of_podinfo_grpc("west"))


def mesh_config(*, helloworld: Config | None = None, podinfo: Config | None = None) -> Config:
    """Return a full mesh of west and east with both samples.

    Args:
        helloworld: settings of helloworld.
        podinfo: settings of podinfo.
    """
    return {
        "clusters": {"west": {}, "east": {}},
        "topology": "full-mesh",
        "workloads": [{"helloworld": helloworld or HELLOWORLD}, {"podinfo": podinfo or {}}],
    }


def sample_changes() -> Iterator[Change]:
    """Yield the changes of samples; most begin where the one before ends, and so need one `up`."""
    plain = mesh_config()
    exported = mesh_config(helloworld=EXPORTED_HELLOWORLD)
    half, most, all_east = (mesh_config(helloworld=_split(west=west, east=100 - west)) for west in (50, 90, 0))
    unlinked = {key: value for key, value in plain.items() if key != "topology"}
    local_client = (_HELLOWORLD_CLIENT,)
    add_split = Change(name="split added with its export", before=plain, after=half, clients=local_client)
    yield add_split
    yield Change(name="split weights changed", before=half, after=most, clients=HELLOWORLD_CLIENTS)
    yield Change(name="split weight set to 0", before=most, after=all_east, clients=HELLOWORLD_CLIENTS)
    yield Change(name="split removed", before=all_east, after=exported, clients=HELLOWORLD_CLIENTS)
    yield Change(name="split added", before=exported, after=half, clients=HELLOWORLD_CLIENTS)
    yield add_split.reverse("split removed with its export")
    add_link = Change(name="split added with its export and link", before=unlinked, after=half, clients=local_client)
    yield add_link
    yield add_link.reverse("split removed with its export and link")

    other_version = mesh_config(helloworld={**HELLOWORLD, "versions": {"west": "v2", "east": "v2"}})
    change_version = Change(
        name="version of a workload changed", before=plain, after=other_version, clients=local_client
    )
    yield change_version
    yield change_version.reverse("version of a workload changed back")
    unmeshed = mesh_config(helloworld={**HELLOWORLD, "meshed": False})
    leave_mesh = Change(name="pods taken out of the mesh", before=plain, after=unmeshed, clients=local_client)
    yield leave_mesh
    yield leave_mesh.reverse("pods put into the mesh")

    failover = {"exported": ["east"], "failover": [{"cluster": "west", "backups": ["east"]}]}
    add_failover = Change(
        name="failover added with its export",
        before=plain,
        after=mesh_config(podinfo=failover),
        clients=_PODINFO_CLIENTS,
    )
    yield add_failover
    yield add_failover.reverse("failover removed with its export")
    yield from _policy_changes()
    yield from _profile_changes()


def _policy_changes() -> Iterator[Change]:
    plain = mesh_config()
    server_authorization, authorization_policy = (
        mesh_config(podinfo={"policy": form}) for form in ("server-authorization", "authorization-policy")
    )
    with_identities = mesh_config(podinfo={"policy": "authorization-policy", **_ANY_IDENTITY})
    clients = _PODINFO_CLIENTS
    add_first = Change(name="policy added", before=plain, after=server_authorization, clients=clients)
    yield add_first
    yield Change(name="policy form changed", before=server_authorization, after=authorization_policy, clients=clients)
    change_clients = Change(
        name="clients of a policy changed", before=authorization_policy, after=with_identities, clients=clients
    )
    yield change_clients
    yield change_clients.reverse("clients of a policy changed back")
    add_second = Change(name="policy with identities added", before=plain, after=authorization_policy, clients=clients)
    yield add_second.reverse("policy with identities removed")
    yield add_second
    yield Change(
        name="policy form changed back", before=authorization_policy, after=server_authorization, clients=clients
    )
    yield add_first.reverse("policy removed")


def _profile_changes() -> Iterator[Change]:
    plain = mesh_config()
    routes, service_profile = (
        mesh_config(podinfo={"profile": {"form": form, "routes": _ROUTES}})
        for form in ("gateway-api", "service-profile")
    )
    clients = _PODINFO_CLIENTS
    add_routes = Change(name="profile as HTTPRoutes added", before=plain, after=routes, clients=clients)
    yield add_routes
    change_form = Change(
        name="profile changed to a ServiceProfile", before=routes, after=service_profile, clients=clients
    )
    yield change_form
    yield change_form.reverse("profile changed to HTTPRoutes")
    yield add_routes.reverse("profile as HTTPRoutes removed")
    add_profile = Change(name="profile as ServiceProfile added", before=plain, after=service_profile, clients=clients)
    yield add_profile
    yield add_profile.reverse("profile as ServiceProfile removed")


def link_changes() -> Iterator[Change]:
    """Yield the changes of links and of the mode of services; they need a lab with one flat network."""
    direct = _flat_config(has_gateways=False, helloworld=_EXPORTED_TO_PODS)
    both_modes = _flat_config(has_gateways=True, helloworld=_EXPORTED_TO_PODS)
    gateway = mesh_config(helloworld=EXPORTED_HELLOWORLD)
    change_link = Change(name="gateway of a link added", before=direct, after=both_modes, clients=HELLOWORLD_CLIENTS)
    yield change_link.reverse("gateway of a link removed")
    yield change_link
    yield Change(
        name="export changed from pods to the gateway", before=both_modes, after=gateway, clients=HELLOWORLD_CLIENTS
    )
    plain, federated, exported = (
        _flat_config(has_gateways=False, podinfo=podinfo) for podinfo in ({}, _FEDERATED, {"exported": ["east"]})
    )
    join = Change(name="service federated", before=plain, after=federated, clients=_LOCAL_PODINFO_CLIENTS)
    yield join
    yield join.reverse("service no longer federated")
    yield Change(
        name="federated service exported instead", before=federated, after=exported, clients=_LOCAL_PODINFO_CLIENTS
    )
    yield Change(
        name="gateway changed from node ports to a load balancer",
        before={**gateway, "clusters": _NODE_PORT_CLUSTERS},
        after=gateway,
        clients=HELLOWORLD_CLIENTS,
    )


def refused_changes() -> Iterator[Change]:
    """Yield the changes that one `up` refuses, because it cannot make them without a loss."""
    gateway = mesh_config(helloworld=EXPORTED_HELLOWORLD)
    yield Change(
        name="gateway changed from a load balancer to node ports",
        before=gateway,
        after={**gateway, "clusters": _NODE_PORT_CLUSTERS},
        clients=HELLOWORLD_CLIENTS,
    )
    yield Change(
        name="export changed from the gateway to pods",
        before=gateway,
        after=_flat_config(has_gateways=True, helloworld=_EXPORTED_TO_PODS),
        clients=HELLOWORLD_CLIENTS,
    )
    yield Change(
        name="exported service federated instead",
        before=_flat_config(has_gateways=False, podinfo={"exported": ["east"]}),
        after=_flat_config(has_gateways=False, podinfo=_FEDERATED),
        clients=_LOCAL_PODINFO_CLIENTS,
    )


def three_cluster_changes() -> Iterator[Change]:
    """Yield the changes that need a third cluster, north."""
    three: Config = {"west": {}, "east": {}, "north": {}}
    versions = {"east": "v2", "north": "v2"}

    def split_with(other: str) -> Config:
        split = {"cluster": "west", "weights": {"west": 50, other: 50}}
        helloworld = {**HELLOWORLD, "versions": versions, "exported": [other], "splits": [split]}
        return {**mesh_config(helloworld=helloworld), "clusters": three}

    move = Change(
        name="export moved to another cluster",
        before=split_with("east"),
        after=split_with("north"),
        clients=(_HELLOWORLD_CLIENT,),
    )
    yield move
    yield Change(
        name="cluster of a split taken out of the mesh",
        before=move.after,
        after=mesh_config(helloworld=_split(west=50, east=50)),
        clients=(_HELLOWORLD_CLIENT,),
    )


def stable_clients(before: Config, after: Config) -> list[TrafficClient]:
    """Return the clients of helloworld and podinfo whose requests must succeed before, during and after a change.

    Args:
        before: the stack file before the change.
        after: the stack file after the change.
    """
    settings = [
        {name: sample for entry in config["workloads"] for name, sample in entry.items()} for config in (before, after)
    ]
    clients: list[TrafficClient] = []
    for name, create in (("helloworld", TrafficClient.of_helloworld), ("podinfo", TrafficClient.of_podinfo)):
        if not all(name in each for each in settings):
            continue
        for cluster in set(before["clusters"]) & set(after["clusters"]):
            if all(_answers(each[name], cluster) for each in settings):
                clients.append(create(cluster, namespace=settings[0][name]["namespace"]))
    return clients


def _answers(sample: Config, cluster: str) -> bool:
    """Return whether a cluster's own service answers any meshed client."""
    weights = [sum(each["weights"].values()) for each in sample.get("splits", ()) if each["cluster"] == cluster]
    return cluster in sample.get("clusters", [cluster]) and 0 not in weights and "policyClients" not in sample


def _flat_config(*, has_gateways: bool, **samples: Config) -> Config:
    """Return a mesh on one flat network."""
    return {
        **mesh_config(**samples),
        "clusters": {name: {"networks": {"flat": "lan"}} for name in ("west", "east")},
        "topology": {"shape": "full-mesh", "gateway": has_gateways},
    }


def _split(*, west: int, east: int) -> Config:
    return {**EXPORTED_HELLOWORLD, "splits": [{"cluster": "west", "weights": {"west": west, "east": east}}]}
