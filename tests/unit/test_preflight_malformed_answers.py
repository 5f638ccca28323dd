"""Preflight checks against unexpected and malformed API answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mesh.preflight import FlatNetworkLink, Severity
from mesh.preflight.declared_target import AllowedAccount, DeclaredTarget, Mirror, NamespaceTarget, ServiceTarget
from mesh.preflight.target import CiliumTarget
from tests.helpers.fake_api_server import (
    ANCHOR,
    INJECTOR,
    LINKERD,
    NODES,
    REVIEWS,
    SERVICES,
    FakeApiServer,
    build_client,
    check_clusters,
    check_target,
    healthy_server,
    run_checks_against,
    serve,
)
from tests.helpers.fuzz_strategies import fuzz_settings

pytestmark = pytest.mark.thorough

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
KEYS += ["cluster-id", "cluster-name", "max-connected-clusters", "values", "template", "containers", "image"]
KEYS += ["labels", "version", "release", "conditions", "message", "deletionTimestamp", "finalizers"]
KEYS += ["ports", "selector", "port", "protocol", "targetPort", "containerPort", "readinessProbe", "grpc"]
KEYS += ["parentRefs", "kind", "managedFields", "manager", "podSelector", "matchLabels", "serviceAccountName"]
KNOWN_TEXTS = ["LoadBalancer", ANCHOR, "Available", "NamespaceContentRemaining", "True", "False"]
KNOWN_TEXTS += ["cilium-agent", "cilium:v1.14.1", "clusterDomain: a.b\n"]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from(KNOWN_TEXTS)
)
ANY_ANSWER = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
)
CILIUM = CiliumTarget(id=1, version="1.17.4", max_connected_clusters=255)
DECLARED = DeclaredTarget(
    services=(
        ServiceTarget(
            namespace="shop",
            name="cart",
            labels={"mirror.linkerd.io/exported": "true"},
            needs_endpoints=True,
            has_policy=True,
            accounts=(AllowedAccount(namespace="shop", name="web", index=0),),
            has_routes=True,
            is_split=True,
            needs_http=True,
        ),
    ),
    namespaces=(NamespaceTarget(name="shop", annotations={"linkerd.io/inject": "enabled"}),),
    mirrors=(Mirror(namespace="shop", name="cart-east", service="shop/cart", target="east"),),
)


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[FakeApiServer]:
    """Yield one API server for all examples: a start takes longer than all checks together."""
    with serve(FakeApiServer()) as cluster:
        yield cluster


@hypothesis_settings(fuzz_settings, max_examples=30)
@given(version=st.dictionaries(st.sampled_from(KEYS), ANY_ANSWER), answer=ANY_ANSWER, adopt=st.booleans())
def test_unexpected_answers_do_not_fail_preflight(
    version: dict[str, Any], answer: Any, adopt: bool, running_cluster: FakeApiServer
) -> None:
    class AnyPath(dict[str, Any]):
        """Objects with the same answer for every path."""

        def __contains__(self, path: object) -> bool:
            return True

        def __missing__(self, path: str) -> Any:
            return answer

    running_cluster.objects = AnyPath({"/version": version})

    findings = check_clusters(
        [
            check_target(
                adopt=adopt,
                needs_cert_manager=True,
                cilium=CILIUM,
                trust_domain="a.b",
                cluster_domain="c.d",
                declared=DECLARED,
            )
        ],
        lambda name: build_client(running_cluster.server),
        [FlatNetworkLink(source="west", target="west")],
        timeout_s=20,
    )

    assert all(str(finding).isprintable() for finding in findings)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"<html>", b"9" * 5000, b"[" * 100_000, b"{}" + b" " * 5_000_000],
    ids=["empty", "not-utf-8", "html", "long-number", "deep-json", "large"],
)
def test_unexpected_bodies_do_not_fail_preflight(body: bytes) -> None:
    cluster = healthy_server()
    for path in (REVIEWS, SERVICES, NODES, INJECTOR, f"{LINKERD}-multicluster"):
        cluster.objects[path] = body

    assert all(finding.severity is not Severity.UPDATE_ERROR for finding in run_checks_against(cluster))
