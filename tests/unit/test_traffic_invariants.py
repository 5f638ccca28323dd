"""Invariants of changes to a mesh: orders of changes that lose requests are found."""

from __future__ import annotations

import pytest

from mesh.kube.constants import (
    CLUSTER_NAME_LABEL,
    LOCAL_DISCOVERY,
    MIRRORED_SERVICE_LABEL,
    MULTICLUSTER_NAMESPACE,
    REMOTE_DISCOVERY,
)
from tests.helpers.event_log import EventLog
from tests.helpers.event_scripts import (
    ScriptChange,
    ScriptObject,
    endpoints,
    route,
    script_log,
    script_object,
    service,
    weighted_route,
)
from tests.helpers.traffic_invariants import describe_violations, find_violations

SPLIT = weighted_route(podinfo=50, podinfo_east=50)
LOCAL = [service("podinfo"), endpoints("podinfo")]
MIRROR = script_object("Service", "podinfo-east", labels={MIRRORED_SERVICE_LABEL: "true", CLUSTER_NAME_LABEL: "east"})
GATEWAY = [
    service("linkerd-gateway", MULTICLUSTER_NAMESPACE),
    endpoints("linkerd-gateway", namespace=MULTICLUSTER_NAMESPACE),
]
ACCOUNT = "web.test.serviceaccount.identity.linkerd.cluster.local"


def add(*objects: ScriptObject) -> list[ScriptChange]:
    return [("west", "added", each) for each in objects]


def modify(*objects: ScriptObject) -> list[ScriptChange]:
    return [("west", "modified", each) for each in objects]


def delete(*objects: ScriptObject) -> list[ScriptChange]:
    return [("west", "deleted", each) for each in objects]


def sentences(log: EventLog) -> list[str]:
    """Return the violations without their times."""
    return [str(each).partition(" s: ")[2] for each in find_violations(log)]


def in_mesh(west: list[ScriptObject], *changes: ScriptChange) -> EventLog:
    """Return the log of a mesh of west and east."""
    return script_log({"west": west, "east": GATEWAY}, *changes)


def test_route_after_its_mirror_is_accepted() -> None:
    log = in_mesh(LOCAL, *add(MIRROR, endpoints("podinfo-east"), SPLIT))

    assert find_violations(log) == []


def test_route_before_its_mirror_is_found() -> None:
    log = in_mesh(LOCAL, *add(SPLIT, MIRROR, endpoints("podinfo-east")))

    subject = "west: httproutes.gateway.networking.k8s.io podinfo in test: names Service podinfo-east, which"
    assert sentences(log) == [
        f"{subject} does not exist, while podinfo is usable",
        f"{subject} has no ready endpoint, while podinfo is usable",
    ]
    first, second = find_violations(log)
    assert (first.begin_s, first.end_s, second.begin_s, second.end_s) == (1, 2, 2, 3)


def test_route_deleted_after_its_mirror_is_found() -> None:
    log = in_mesh([*LOCAL, MIRROR, endpoints("podinfo-east"), SPLIT], *delete(MIRROR, SPLIT))

    assert [each.end_s for each in find_violations(log)] == [2]


def test_route_to_absent_mirror_alone_is_found() -> None:
    assert len(sentences(in_mesh(LOCAL, *add(weighted_route(podinfo_east=1))))) == 1


def test_absent_backend_without_weight_is_found() -> None:
    assert len(sentences(in_mesh(LOCAL, *add(weighted_route(podinfo=1, podinfo_east=0))))) == 1


def test_unready_backend_without_weight_is_accepted() -> None:
    unready = endpoints("podinfo-east", is_ready=False)

    assert sentences(in_mesh([*LOCAL, MIRROR, unready], *add(weighted_route(podinfo=1, podinfo_east=0)))) == []


def test_route_without_usable_backend_is_accepted() -> None:
    assert sentences(in_mesh([service("podinfo")], *add(SPLIT))) == []


def test_mirror_of_gateway_without_endpoints_is_found() -> None:
    west = [*LOCAL, MIRROR, endpoints("podinfo-east")]

    log = script_log({"west": west, "east": []}, *add(SPLIT))

    assert sentences(log)[0].endswith("which has no ready endpoint, while podinfo is usable")


def test_traffic_split_before_its_mirror_is_found() -> None:
    backends = [{"service": "podinfo", "weight": 1}, {"service": "podinfo-east", "weight": "500m"}]
    split = script_object("TrafficSplit", "podinfo", {"service": "podinfo", "backends": backends})

    assert len(sentences(in_mesh(LOCAL, *add(split, MIRROR, endpoints("podinfo-east"))))) == 2


def test_remote_discovery_needs_pods_and_credentials() -> None:
    labels = {REMOTE_DISCOVERY: "east", "multicluster.linkerd.io/remote-service": "podinfo"}
    mirror = script_object("Service", "podinfo-east", labels=labels)
    credentials = script_object(
        "Secret",
        "cluster-credentials-east",
        namespace="linkerd",
        labels={"multicluster.linkerd.io/cluster-name": "east"},
    )
    west = [*LOCAL, mirror]

    assert sentences(script_log({"west": [*west, credentials], "east": LOCAL}, *add(SPLIT))) == []
    assert len(sentences(script_log({"west": [*west, credentials], "east": []}, *add(SPLIT)))) == 1
    assert len(sentences(script_log({"west": west, "east": LOCAL}, *add(SPLIT)))) == 1


def test_federated_service_needs_one_usable_member() -> None:
    federated = script_object("Service", "podinfo-federated", annotations={LOCAL_DISCOVERY: "podinfo"})
    to_federated = weighted_route(podinfo=1, podinfo_federated=1)
    slow = endpoints("podinfo", is_ready=False)

    assert sentences(in_mesh([*LOCAL, federated], *add(to_federated))) == []
    changes = [*modify(slow), *modify(endpoints("podinfo"))]
    assert {each.split(" in ")[0] for each in sentences(in_mesh([*LOCAL, federated], *changes))} == {
        "west: Service podinfo",
        "west: Service podinfo-federated",
    }


def test_global_service_needs_pods_of_one_cluster() -> None:
    def global_service(shared: str = "true") -> ScriptObject:
        annotations = {"service.cilium.io/global": "true", "service.cilium.io/shared": shared}
        return script_object("Service", "podinfo", annotations=annotations)

    pods, other_pods = endpoints("podinfo"), endpoints("podinfo", is_ready=False)
    restart = modify(other_pods, pods)

    shared = {"west": [global_service(), pods], "east": [global_service(), pods]}
    assert sentences(script_log(shared, *restart)) == []
    private = {"west": [global_service(), pods], "east": [global_service("false"), pods]}
    assert [each.split(": ")[0] for each in sentences(script_log(private, *restart))] == ["west"]


def test_service_without_endpoints_meanwhile_is_found() -> None:
    log = in_mesh(LOCAL, *modify(endpoints("podinfo", is_ready=False), endpoints("podinfo")))

    assert sentences(log) == [
        "west: Service podinfo in test: has no ready endpoint, but was usable before and is afterwards"
    ]


def test_service_created_again_is_found() -> None:
    headless = service("nodes")

    log = in_mesh([headless], *delete(headless), *add(headless))

    assert sentences(log) == ["west: Service nodes in test: does not exist, but did before and does afterwards"]


def test_service_deleted_for_good_is_accepted() -> None:
    assert sentences(in_mesh(LOCAL, *delete(*LOCAL))) == []


SERVER = script_object("Server", "web", {"podSelector": {"matchLabels": {"app": "web"}}, "port": "http"})
AUTHORIZATION = script_object(
    "ServerAuthorization",
    "web",
    {"server": {"name": "web"}, "client": {"meshTLS": {"serviceAccounts": [{"name": "web"}]}}},
)
AUTHENTICATION = script_object("MeshTLSAuthentication", "web", {"identities": [ACCOUNT]})
POLICY = script_object(
    "AuthorizationPolicy",
    "web",
    {
        "targetRef": {"kind": "Server", "name": "web"},
        "requiredAuthenticationRefs": [{"kind": "MeshTLSAuthentication", "name": "web"}],
    },
)


def test_server_after_its_authorization_is_accepted() -> None:
    assert sentences(in_mesh([], *add(AUTHORIZATION, SERVER))) == []
    assert sentences(in_mesh([], *add(POLICY, AUTHENTICATION, SERVER))) == []
    assert sentences(in_mesh([SERVER, AUTHORIZATION], *delete(SERVER, AUTHORIZATION))) == []


@pytest.mark.parametrize(
    "changes",
    [
        add(SERVER, AUTHORIZATION),
        add(SERVER, POLICY, AUTHENTICATION),
        add(POLICY, SERVER, AUTHENTICATION),
        add(AUTHENTICATION, SERVER, POLICY),
    ],
)
def test_server_before_its_authorization_is_found(changes: list[ScriptChange]) -> None:
    port = 'Server of port http of {"matchLabels": {"app": "web"}} in test'
    assert sentences(in_mesh([], *changes)) == [f"west: {port}: refuses web.test, admitted before and afterwards"]


def test_server_deleted_after_its_authentication_is_found() -> None:
    west = [SERVER, POLICY, AUTHENTICATION]

    assert len(sentences(in_mesh(west, *delete(AUTHENTICATION, SERVER, POLICY)))) == 1


def test_changed_form_of_policy_keeps_clients() -> None:
    west = [SERVER, AUTHORIZATION]

    assert sentences(in_mesh(west, *add(AUTHENTICATION, POLICY), *delete(AUTHORIZATION))) == []
    assert len(sentences(in_mesh(west, *delete(AUTHORIZATION), *add(AUTHENTICATION, POLICY)))) == 1


def test_changed_clients_keep_common_ones() -> None:
    def authorize(*identities: str) -> ScriptObject:
        client = {"meshTLS": {"identities": list(identities)}}
        return script_object("ServerAuthorization", "web", {"server": {"name": "web"}, "client": client})

    west = [SERVER, authorize("a", "b")]

    assert sentences(in_mesh(west, *modify(authorize("b", "c")))) == []
    assert sentences(in_mesh(west, *modify(authorize("c"), authorize("*")))) != []
    assert sentences(in_mesh([SERVER, authorize("*")], *modify(authorize(ACCOUNT)))) == []


SPECIFIC = route("info", {"matches": [{"path": {"type": "RegularExpression", "value": "/info"}, "method": "GET"}]})
CATCH_ALL = route("other", {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]})


def test_catch_all_created_first_is_accepted() -> None:
    assert sentences(in_mesh(LOCAL, *add(CATCH_ALL, SPECIFIC), *delete(SPECIFIC, CATCH_ALL))) == []


def test_catch_all_created_last_is_found() -> None:
    log = in_mesh(LOCAL, *add(SPECIFIC, CATCH_ALL), *delete(CATCH_ALL, SPECIFIC))

    assert [(each.begin_s, each.end_s) for each in find_violations(log)] == [(1, 2), (3, 4)]


def test_split_serves_as_catch_all() -> None:
    assert sentences(in_mesh(LOCAL, *add(weighted_route(podinfo=1), SPECIFIC))) == []


LINK = script_object(
    "Link", "east", {"clusterCredentialsSecret": "cluster-credentials-east"}, namespace=MULTICLUSTER_NAMESPACE
)


def credentials(version: str) -> ScriptObject:
    annotations = {"version": version}
    return script_object(
        "Secret", "cluster-credentials-east", namespace=MULTICLUSTER_NAMESPACE, annotations=annotations
    )


def token(generation: str) -> ScriptObject:
    name = f"linkerd-service-mirror-remote-access-west{generation}"
    return script_object("Secret", name, namespace=MULTICLUSTER_NAMESPACE)


def test_link_before_its_credentials_is_found() -> None:
    assert sentences(in_mesh([], *add(credentials("1"), LINK), *delete(LINK, credentials("1")))) == []
    assert sentences(in_mesh([], *add(LINK, credentials("1")))) == [
        "west: Link east in linkerd-multicluster: names Secret cluster-credentials-east, which is missing"
    ]


def test_token_stays_until_new_one_is_used() -> None:
    def mirror_pod(name: str) -> ScriptObject:
        labels = {CLUSTER_NAME_LABEL: "east"}
        return script_object("Pod", name, namespace=MULTICLUSTER_NAMESPACE, labels=labels)

    before = {"west": [LINK, credentials("1"), mirror_pod("old")], "east": [token("")]}
    create: ScriptChange = ("east", "added", token(".2"))
    revoke: ScriptChange = ("east", "deleted", token(""))
    use = [*modify(credentials("2")), *add(mirror_pod("new")), *delete(mirror_pod("old"))]

    assert sentences(script_log(before, create, *use, revoke)) == []
    assert sentences(script_log(before, create, revoke, *use)) == [
        "east: Secret linkerd-service-mirror-remote-access-west in linkerd-multicluster: is deleted, but west still "
        "uses its token"
    ]
    assert sentences(script_log(before, *delete(LINK), revoke)) == []


def test_description_has_changes_of_namespace() -> None:
    log = in_mesh(LOCAL, *add(SPLIT, MIRROR, endpoints("podinfo-east"), service("tea", "kitchen")))

    description = describe_violations(log, find_violations(log))

    assert "       2.000 s  west: services podinfo-east added" in description
    assert "tea" not in description
