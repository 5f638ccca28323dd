"""Preflight, where clusters answer: what is made of what they say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from preflight import Finding, Flat, Severity, run
from preflight.version import parsed
from tests.preflight_cluster import (
    INJECTOR,
    NODES,
    OWNER,
    REVIEWS,
    SERVICES,
    Cluster,
    client,
    healthy,
    question,
    running,
)

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LINKERD = "/api/v1/namespaces/linkerd"
ANCHOR = "-----BEGIN CERTIFICATE-----\nYW5j\naG9y\n-----END CERTIFICATE-----\n"
OTHER_ANCHOR = ANCHOR.replace("YW5j", "b3Ro")


def ask(cluster: Cluster, **asked: Any) -> list[Finding]:
    with running(cluster):
        return run([question(**asked)], lambda name: client(cluster.server), timeout=2)


def only(cluster: Cluster, **asked: Any) -> Finding:
    [found] = ask(cluster, **asked)
    return found


def foreign(manager: str | None = None, *, helm: bool = True) -> Cluster:
    """A cluster with a Linkerd that somebody else has made."""
    cluster = healthy()
    cluster.namespace("linkerd", manager)
    cluster.objects[f"{LINKERD}/configmaps/linkerd-config"] = {"metadata": {}}
    cluster.objects[f"{LINKERD}/secrets"] = {"items": [{"metadata": {"name": "sh.helm.release.v1.l5d.v1"}}] * helm}
    cluster.objects[f"{LINKERD}/configmaps/linkerd-identity-trust-roots"] = {"data": {"ca-bundle.crt": ANCHOR}}
    return cluster


def load_balancer(*, created: str = "2020-01-01T00:00:00Z", address: str | None = None) -> dict[str, Any]:
    ingress = [] if address is None else [{"ip": address}]
    return {
        "metadata": {"namespace": "web", "name": "front", "creationTimestamp": created},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": ingress}},
    }


def test_a_healthy_cluster_is_left_alone_after_few_requests() -> None:
    cluster = healthy()

    assert ask(cluster) == []
    assert cluster.asked == [
        "GET /version",
        f"POST {REVIEWS}",
        "GET /api/v1/namespaces/linkerd",
        "GET /api/v1/namespaces/linkerd-multicluster",
        "GET /api/v1/namespaces/test",
        f"GET {INJECTOR}",
        f"GET {SERVICES}",
        f"GET {NODES}",
    ]


def test_a_finding_reads_as_the_faults_of_the_settings_do() -> None:
    found = Finding(path="clusters.west", value="7", rule="too odd", remedy="take 8", severity=Severity.ERROR)

    assert str(found) == "clusters.west: 7: too odd; take 8"


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.27.3-gke.100", (1, 27)),
        ("1.36+", (1, 36)),
        ("v1.30.2+k3s1", (1, 30)),
        ("1.28", (1, 28)),
        ("v2", None),
        ("", None),
        (None, None),
        (1.3, None),
    ],
)
def test_versions_are_read_as_their_makers_write_them(version: object, expected: tuple[int, int] | None) -> None:
    assert parsed(version) == expected


def test_a_kubernetes_that_is_too_old_is_an_error() -> None:
    cluster = healthy()
    cluster.objects["/version"] = {"gitVersion": "v1.20.15"}

    found = only(cluster)

    assert found.severity is Severity.ERROR
    assert str(found) == (
        "clusters.west: v1.20.15: Linkerd 2.14.10 needs Kubernetes 1.21 or newer; "
        "upgrade the cluster, or choose an older Linkerd by linkerd.version"
    )


@pytest.mark.parametrize(
    ("version", "rule"),
    [
        ({"major": "1", "minor": "37+"}, "has not been tried with a Kubernetes newer than 1.36"),
        ({"gitVersion": "main\n\x1b[31m" + "x" * 999}, "not a version that can be read"),
        ({}, "not a version that can be read"),
    ],
)
def test_a_kubernetes_that_nobody_knows_is_a_warning(version: dict[str, str], rule: str) -> None:
    cluster = healthy()
    cluster.objects["/version"] = version

    found = only(cluster)

    assert found.severity is Severity.WARNING
    assert rule in found.rule
    assert len(found.value) <= 60 and found.value.isprintable()


def test_missing_rights_are_one_finding_that_names_them_all() -> None:
    cluster = healthy(
        allowed=lambda verb, group, resource: (
            verb != "*" and resource != "secrets" and (verb == "create" or group != "rbac.authorization.k8s.io")
        )
    )

    found = only(cluster)

    assert found.severity is Severity.UPDATE_ERROR
    assert found.rule == (
        "the kubeconfig's user may not create, patch, delete, list, update secrets; "
        "may not patch, delete, escalate clusterroles.rbac.authorization.k8s.io; "
        "may not patch, delete clusterrolebindings.rbac.authorization.k8s.io, roles.rbac.authorization.k8s.io, "
        "rolebindings.rbac.authorization.k8s.io"
    )
    assert "clusters.west.context" in found.remedy
    assert 50 < cluster.asked.count(f"POST {REVIEWS}") < 60


def test_every_needed_right_is_as_good_as_all_rights() -> None:
    assert ask(healthy(allowed=lambda verb, group, resource: verb != "*")) == []


def test_a_user_that_may_not_escalate_is_a_warning_because_it_may_have_the_rights_itself() -> None:
    found = only(healthy(allowed=lambda verb, group, resource: verb not in ("*", "escalate")))

    assert found.severity is Severity.WARNING
    assert "may not escalate clusterroles" in found.rule


def test_what_may_not_be_looked_at_is_one_warning() -> None:
    cluster = foreign()
    forbidden = ("/version", REVIEWS, SERVICES, "/api/v1/namespaces/test", f"{LINKERD}/secrets")
    cluster.statuses = dict.fromkeys(forbidden, 403)

    linkerd, unseen = ask(cluster)

    assert linkerd.rule == "Linkerd is there already and was not made by this stack"
    assert unseen.severity is Severity.WARNING
    assert str(unseen) == (
        "clusters.west: https://west.example.com: could not be looked at: its version (not allowed), "
        "what the kubeconfig's user may do (not allowed), whether namespace test is there already (not allowed), "
        "whether a LoadBalancer Service gets an address (not allowed); "
        "let the user of clusters.west.context read it, or see to it yourself"
    )


def test_namespaces_of_this_stack_are_its_own() -> None:
    cluster = foreign(OWNER, helm=False)
    cluster.namespace("test", OWNER)

    assert ask(cluster) == []


def test_a_namespace_of_somebody_else_is_an_error() -> None:
    cluster = healthy()
    cluster.namespace("test")
    cluster.namespace("linkerd")  # empty

    found = ask(cluster)

    assert [finding.value for finding in found] == ["namespace linkerd", "namespace test"]
    assert str(found[1]) == (
        "clusters.west: namespace test: exists already and was not made by this stack; "
        "`destroy` would delete it with all that is in it; delete it, choose another namespace in the stack file if it "
        "is a workload's, or set clusters.west.adopt: true"
    )
    assert found[1].severity is Severity.ERROR


def test_a_namespace_of_somebody_else_can_be_adopted() -> None:
    cluster = healthy()
    cluster.namespace("test")
    cluster.namespace("linkerd")

    assert ask(cluster, adopt=True) == []


@pytest.mark.parametrize(
    ("manager", "helm", "by", "remedy"),
    [
        (None, True, "Helm", "uninstall it, or set clusters.west.adopt: true to take it over"),
        ("mesh-prod", True, "mesh-prod", "destroy that stack, or set clusters.west.adopt: true to take it over"),
        (None, False, "hand", "remove it (linkerd uninstall | kubectl delete -f -)"),
    ],
)
def test_a_linkerd_of_somebody_else_is_an_error_that_says_whose(
    manager: str | None, helm: bool, by: str, remedy: str
) -> None:
    found = only(foreign(manager, helm=helm))

    assert found.severity is Severity.ERROR
    assert str(found) == (
        "clusters.west: namespace linkerd: Linkerd is there already and was not made by this stack "
        f"(but by {by}); {remedy}"
    )


def test_a_linkerd_by_hand_can_not_be_adopted() -> None:
    found = only(foreign(helm=False), adopt=True, trust_anchor=ANCHOR)

    assert found.severity is Severity.ERROR
    assert found.rule.endswith("(but by hand), and without Helm's records clusters.west.adopt can't take it over")


def test_a_linkerd_by_helm_can_be_adopted_with_its_anchor() -> None:
    anchor = ANCHOR.replace("\n", "\r\n  ")

    assert ask(foreign(), adopt=True, trust_anchor=f"# the anchor\n{anchor}") == []


@pytest.mark.parametrize(
    ("anchor", "value"), [(None, "not set"), (OTHER_ANCHOR, "SHA-256 "), (ANCHOR + OTHER_ANCHOR, "SHA-256 ")]
)
def test_adopting_with_another_anchor_would_cut_proxies_off(anchor: str | None, value: str) -> None:
    found = only(foreign(), adopt=True, trust_anchor=anchor)

    assert (found.path, found.severity) == ("trust.anchor", Severity.ERROR)
    assert found.value.startswith(value)
    assert "clusters.west.adopt" in found.rule and "would be cut off" in found.rule
    assert "trust.issuers" in found.remedy


def test_a_linkerd_whose_anchor_is_not_to_be_found_is_a_warning() -> None:
    cluster = foreign()
    del cluster.objects[f"{LINKERD}/configmaps/linkerd-identity-trust-roots"]

    found = only(cluster, adopt=True, trust_anchor=ANCHOR)

    assert found.severity is Severity.WARNING
    assert "which anchor the Linkerd in namespace linkerd trusts" in found.rule
    assert only(cluster, adopt=True).severity is Severity.ERROR  # one that this stack makes is another in any case


def test_a_linkerd_in_another_namespace_is_an_error() -> None:
    cluster = healthy()
    webhook = {"clientConfig": {"service": {"name": "linkerd-proxy-injector", "namespace": "mesh"}}}
    cluster.objects[INJECTOR] = {"webhooks": [webhook]}

    found = only(cluster, adopt=True)

    assert (found.value, found.severity) == ("namespace mesh", Severity.ERROR)
    assert "two control planes can't share a cluster" in found.rule
    webhook["clientConfig"]["service"]["namespace"] = "linkerd"
    assert ask(cluster) == []


@pytest.mark.parametrize(
    ("seconds", "rule"),
    [
        (-600, "its clock is 10 minutes behind this machine's: for that long proxies refuse certificates made now"),
        (-8 * 3600, "its clock is 8 hours behind"),
        (90, "its clock is "),
    ],
)
def test_a_clock_that_is_wrong_is_a_warning(seconds: float, rule: str) -> None:
    cluster = healthy()
    cluster.date = seconds

    found = only(cluster)

    assert found.severity is Severity.WARNING
    assert found.rule.startswith(rule)


@pytest.mark.parametrize("seconds", [-59, 59, None])
def test_a_clock_that_is_nearly_right_is_left_alone(seconds: float | None) -> None:
    cluster = healthy()
    cluster.date = seconds

    assert ask(cluster) == []


def test_an_address_that_was_given_is_enough_of_a_load_balancer() -> None:
    cluster = healthy()
    cluster.objects[SERVICES] = {"items": [load_balancer(), load_balancer(address="192.0.2.1")]}
    cluster.objects[NODES] = {"items": []}

    assert ask(cluster) == []
    assert f"GET {NODES}" not in cluster.asked


def test_a_service_that_waits_for_an_address_is_a_warning() -> None:
    cluster = healthy()
    cluster.objects[SERVICES] = {"items": [load_balancer(), load_balancer(created="nonsense")]}

    found = only(cluster)

    assert (found.path, found.value) == ("clusters.west.gateway.loadBalancer", "service web/front")
    assert found.severity is Severity.WARNING
    assert "`up` waits five for the gateway's" in found.rule


def test_a_service_that_waits_since_a_moment_says_nothing() -> None:
    cluster = healthy()
    cluster.objects[SERVICES] = {"items": [load_balancer(created="2999-01-01T00:00:00Z")]}

    assert ask(cluster) == []


@pytest.mark.parametrize("provider", [None, "", "kind://docker/kind/kind-control-plane"])
def test_nothing_that_gives_addresses_is_a_warning(provider: str | None) -> None:
    cluster = healthy()
    cluster.objects[NODES] = {"items": [{"spec": {"providerID": provider}}]}

    found = only(cluster)

    assert found.severity is Severity.WARNING
    assert str(found) == (
        "clusters.west.gateway.loadBalancer: true: nothing seen here gives a LoadBalancer Service an address; "
        "`up` waits five minutes for the gateway's; install one, or set clusters.west.gateway.loadBalancer: false "
        "(it can only be a link's source then) or clusters.west.gateway.nodePort"
    )


@pytest.mark.parametrize("pool", ["ipaddresspools.metallb.io", "ciliumloadbalancerippools.cilium.io"])
def test_what_gives_addresses_without_a_cloud_is_known(pool: str) -> None:
    cluster = healthy()
    cluster.objects[NODES] = {"items": [{"spec": {}}]}
    cluster.objects[f"{CRDS}/{pool}"] = {"metadata": {}}

    assert ask(cluster) == []


def test_no_load_balancer_is_looked_for_where_none_is_promised() -> None:
    cluster = healthy()
    cluster.objects[NODES] = {"items": []}

    assert ask(cluster, load_balancer=False) == []
    assert f"GET {SERVICES}" not in cluster.asked


def test_cert_manager_is_an_error_where_it_is_missing() -> None:
    found = only(healthy(), cert_manager=True)

    assert found.severity is Severity.ERROR
    assert found.value == "certificates.cert-manager.io, issuers.cert-manager.io"
    assert found.remedy == "install cert-manager 1.0 or newer there first, or leave trust.certManager out"


def test_cert_manager_is_found_where_it_is_served() -> None:
    cluster = healthy()
    cluster.objects["/apis/cert-manager.io/v1"] = {"resources": [{"name": "certificates"}, {"name": "issuers"}]}

    assert ask(cluster, cert_manager=True) == []


def flat(west: dict[str, Any], east: dict[str, Any], **asked: Any) -> list[Finding]:
    """What is found for a link without a gateway from west to east, whose lists of nodes are given."""
    clusters = {"west": healthy(), "east": healthy()}
    clusters["west"].objects[NODES], clusters["east"].objects[NODES] = west, east
    with running(clusters["west"]), running(clusters["east"]):
        return run(
            [question(name, load_balancer=False, **asked) for name in clusters],
            lambda name: client(clusters[name].server),
            [Flat(source="west", target="east")],
            timeout=2,
        )


def nodes(*cidrs: str, more: bool = False) -> dict[str, Any]:
    items = [
        {"spec": {"podCIDR": cidr, "podCIDRs": [cidr, "fd00::/64" if "." in cidr else "10.0.0.0/8"]}} for cidr in cidrs
    ]
    return {"metadata": {"continue": "token"} if more else {}, "items": items}


def test_pod_networks_that_overlap_are_an_error() -> None:
    [found] = flat(
        {"items": [{"spec": {"podCIDR": "10.42.0.0/24"}}]}, {"items": [{"spec": {"podCIDR": "10.42.0.0/16"}}]}
    )

    assert (found.path, found.value, found.severity) == ("clusters.west", "10.42.0.0/24", Severity.ERROR)
    assert found.rule == (
        "a pod network that overlaps east's pod network 10.42.0.0/16, and the link to it has no gateway"
    )


def test_more_networks_that_overlap_are_counted() -> None:
    [found] = flat(nodes("10.1.0.0/24"), nodes("10.1.0.0/24"))

    assert "10.1.0.0/24 (and 1 more)" in found.rule


def test_networks_of_their_own_are_left_alone() -> None:
    assert (
        flat({"items": [{"spec": {"podCIDR": "10.1.0.0/16"}}]}, {"items": [{"spec": {"podCIDR": "fd00::/64"}}]}) == []
    )


def test_networks_that_are_not_known_are_a_warning_for_each_cluster() -> None:
    found = flat(
        {"items": [{"spec": {}}]}, {"items": [{"spec": {"podCIDR": "10.1.0.0/16"}}], "metadata": {"continue": "x"}}
    )

    assert [(finding.path, finding.severity) for finding in found] == [
        ("clusters.west.networks.pods", Severity.WARNING),
        ("clusters.east.networks.pods", Severity.WARNING),
    ]
    assert found[0].rule.endswith("isn't known: its nodes don't tell theirs")
    assert found[1].rule.endswith("isn't known: it has more than the 1 nodes that were looked at")
    assert found[0].remedy == "list its pods' CIDRs in clusters.west.networks.pods"


def test_declared_networks_are_believed_and_need_no_nodes() -> None:
    clusters = {"west": healthy(), "east": healthy()}
    asked = {
        "west": question(
            "west", pod_networks=("10.1.0.0/16",), service_networks=("10.96.0.0/12",), load_balancer=False
        ),
        "east": question(
            "east", pod_networks=("10.2.0.0/16",), service_networks=("10.100.0.0/16",), load_balancer=False
        ),
    }
    with running(clusters["west"]), running(clusters["east"]):
        [found] = run(
            list(asked.values()), lambda name: client(clusters[name].server), [Flat(source="west", target="east")]
        )

    assert found.value == "10.96.0.0/12"
    assert "a service network that overlaps east's service network 10.100.0.0/16" in found.rule
    assert f"GET {NODES}" not in clusters["west"].asked


def test_a_link_to_a_cluster_that_is_not_asked_is_passed_over() -> None:
    with running(healthy()) as cluster:
        assert run([question()], lambda name: client(cluster.server), [Flat(source="west", target="east")]) == []


KEYS = [
    "items",
    "metadata",
    "spec",
    "status",
    "webhooks",
    "clientConfig",
    "service",
    "namespace",
    "annotations",
    "name",
]
KEYS += ["type", "loadBalancer", "ingress", "ip", "providerID", "podCIDRs", "podCIDR", "creationTimestamp", "data"]
KEYS += ["ca-bundle.crt", "gitVersion", "major", "allowed", "resources", "continue", "pulumi.com/patchFieldManager"]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from(["LoadBalancer", ANCHOR])
)
ODD = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(version=st.dictionaries(st.sampled_from(KEYS), ODD), answer=ODD, adopt=st.booleans())
def test_no_answer_is_too_odd(version: dict[str, Any], answer: Any, adopt: bool) -> None:
    class Odd(dict[str, Any]):
        """The same for every path."""

        def __contains__(self, path: object) -> bool:
            return True

        def __missing__(self, path: str) -> Any:
            return answer

    cluster = Cluster(objects=Odd({"/version": version}))

    with running(cluster):
        found = run(
            [question(adopt=adopt, cert_manager=True)],
            lambda name: client(cluster.server),
            [Flat(source="west", target="west")],
            timeout=2,
        )
    assert all(str(finding).isprintable() for finding in found)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<html>", b"9" * 5000, b"[" * 100_000, b"{}" + b" " * 5_000_000])
def test_no_body_is_too_odd(body: bytes) -> None:
    cluster = healthy()
    for path in (REVIEWS, SERVICES, NODES, INJECTOR, f"{LINKERD}-multicluster"):
        cluster.objects[path] = body

    assert all(finding.severity is not Severity.UPDATE_ERROR for finding in ask(cluster))
