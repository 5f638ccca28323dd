"""Gateway API routes of samples for each Linkerd release, and refused combinations."""

from __future__ import annotations

from typing import Any

import pytest

from mesh import config
from tests.helpers.mock_engine import Recorder, RunProgram, mesh_config
from tests.helpers.stack_files import Environment

GROUP = "gateway.networking.k8s.io"
TWO_CLUSTERS = mesh_config("west", "east", links=[("west", "east")])
SPLIT = {"cluster": "west", "weights": {"west": 1, "east": 1}}
BACKUP = {"cluster": "west", "backups": ["east"]}


def run_samples(run: RunProgram, version: str, *workloads: dict[str, Any], **content: Any) -> Recorder:
    return run({**TWO_CLUSTERS, "linkerd": {"version": version}, "workloads": list(workloads), **content})


def route_ports(recorder: Recorder, kind: str) -> dict[str, tuple[str, int]]:
    """Return the API version and port of each route, by resource name."""
    return {
        name: (route["apiVersion"], route["spec"]["parentRefs"][0]["port"])
        for name, route in recorder.inputs_of(f":{kind}").items()
    }


@pytest.mark.parametrize(
    ("version", "http", "grpc"),
    [
        ("2.13.5", "policy.linkerd.io/v1beta2", None),
        ("2.14.10", f"{GROUP}/v1beta1", None),
        ("2.17", f"{GROUP}/v1beta1", f"{GROUP}/v1alpha2"),
        ("2.20", f"{GROUP}/v1", f"{GROUP}/v1"),
    ],
)
def test_splits_use_route_kinds_that_release_supports(
    run: RunProgram, version: str, http: str, grpc: str | None
) -> None:
    recorder = run_samples(run, version, {"podinfo": {"exported": ["east"], "splits": [SPLIT]}})

    assert route_ports(recorder, "HTTPRoute") == {"west-test-podinfo-split": (http, 9898)}
    expected = {} if grpc is None else {"west-test-podinfo-split-grpc": (grpc, 9999)}
    assert route_ports(recorder, "GRPCRoute") == expected
    for route in recorder.inputs_of(":GRPCRoute").values():
        (rule,) = route["spec"]["rules"]
        assert [(each["name"], each["port"]) for each in rule["backendRefs"]] == [
            ("podinfo", 9999),
            ("podinfo-east", 9999),
        ]


def test_traffic_split_needs_no_routes(run: RunProgram) -> None:
    sample = {"podinfo": {"exported": ["east"], "splits": [SPLIT]}}

    recorder = run_samples(run, "2.17", sample, extensions={"smi": ["west"]})

    assert not recorder.inputs_of(":GRPCRoute") and not recorder.inputs_of(":HTTPRoute")


def test_route_keeps_identity_across_api_versions(run: RunProgram) -> None:
    sample = {"podinfo": {"exported": ["east"], "splits": [SPLIT]}}

    old, new = run_samples(run, "2.17", sample), run_samples(run, "2.20", sample)

    for kind, name in ((":HTTPRoute", "west-test-podinfo-split"), (":GRPCRoute", "west-test-podinfo-split-grpc")):
        assert old.registration(kind, name).type in new.registration(kind, name).alias_types
    policy_route = run_samples(run, "2.13.5", sample)
    assert policy_route.registration(":HTTPRoute", "west-test-podinfo-split").alias_types == (), "another kind"


def test_failover_has_routes_and_service_with_failure_accrual(run: RunProgram) -> None:
    recorder = run_samples(
        run,
        "2.20",
        {"podinfo": {"exported": ["east"], "failover": [BACKUP]}},
        {"helloworld": {"exported": ["east"], "failover": [BACKUP]}},
    )

    assert route_ports(recorder, "HTTPRoute").keys() == {
        "west-test-podinfo-failover",
        "west-default-helloworld-failover",
    }
    assert route_ports(recorder, "GRPCRoute") == {"west-test-podinfo-failover-grpc": (f"{GROUP}/v1", 9999)}
    services = {
        name: recorder.inputs_of("core/v1:Service")[name]["metadata"]["annotations"]
        for name in (
            "west-test-podinfo-service",
            "east-test-podinfo-service",
            "west-default-helloworld-service",
            "east-default-helloworld-service",
        )
    }
    accruing = [
        name
        for name, annotations in services.items()
        if annotations.get("balancer.linkerd.io/failure-accrual") == "consecutive"
    ]
    assert accruing == ["west-test-podinfo-service", "west-default-helloworld-service"]
    names = {route["metadata"]["name"] for route in recorder.inputs_of(":HTTPRoute").values()}
    assert names == {"podinfo-failover", "helloworld-failover"}, "a failover may replace a split"


def test_gateway_api_profile_creates_several_routes(run: RunProgram) -> None:
    routes = {"profile": {"form": "gateway-api"}}

    recorder = run_samples(
        run, "2.20", {"booksapp": {"clusters": ["west"], **routes}}, {"podinfo": {"clusters": ["west"], **routes}}
    )

    assert not recorder.inputs_of(":ServiceProfile")
    http = route_ports(recorder, "HTTPRoute")
    assert len([name for name in http if "booksapp" in name]) == 10
    assert http["west-booksapp-booksapp-route-get-authors-id"] == (f"{GROUP}/v1", 7000)
    assert http["west-test-podinfo-route-other"] == (f"{GROUP}/v1", 9898)
    assert "ReleaseDrift west-linkerd-control-plane-drift" in recorder.dependencies_of(
        ":HTTPRoute", "west-test-podinfo-route-other"
    )


@pytest.mark.parametrize(
    ("part", "weights"),
    [
        ({"splits": [SPLIT]}, {"podinfo": "1m", "podinfo-east": "1m"}),
        ({"failover": [BACKUP]}, {"podinfo": "1000000m", "podinfo-east": "1m"}),
        ({"splits": [SPLIT], "failover": [BACKUP]}, {"podinfo": "1000000m", "podinfo-east": "1000000m"}),
    ],
    ids=["split", "failover", "both"],
)
def test_service_profile_has_weights_of_split_without_form(
    run: RunProgram, part: dict[str, Any], weights: dict[str, str]
) -> None:
    recorder = run_samples(run, "2.14.10", {"podinfo": {"exported": ["east"], "profile": True, **part}})

    profile = recorder.inputs_of(":ServiceProfile")["west-test-podinfo-profile"]
    overrides = {each["authority"]: each["weight"] for each in profile["spec"]["dstOverrides"]}
    assert overrides == {f"{name}.test.svc.cluster.local": weight for name, weight in weights.items()}
    assert not recorder.inputs_of(":HTTPRoute")


def test_http_routes_of_profile_have_backends_of_failover(run: RunProgram) -> None:
    sample = {"podinfo": {"exported": ["east"], "failover": [BACKUP], "profile": {"form": "gateway-api"}}}

    recorder = run_samples(run, "2.20", sample)

    routes = {name: route for name, route in recorder.inputs_of(":HTTPRoute").items() if name.startswith("west-")}
    rules = [route["spec"]["rules"][0] for route in routes.values()]
    assert [[each["name"] for each in rule["backendRefs"]] for rule in rules] == [["podinfo", "podinfo-east"]] * 3
    assert list(recorder.inputs_of(":GRPCRoute")) == ["west-test-podinfo-failover-grpc"]


def test_traffic_split_and_failover_are_refused(environment: Environment) -> None:
    part = {"exported": ["east"], "failover": [BACKUP], "splits": [{**SPLIT, "form": "smi"}]}
    errors = config_errors(environment, part, extensions={"smi": True}, linkerd={"version": "2.14.10"})

    assert errors == [
        'workloads[0].podinfo.failover[0].cluster: "west": Linkerd\'s TrafficSplits do not fail over; remove one of '
        "the two"
    ]


def config_errors(environment: Environment, part: dict[str, Any], sample: str = "podinfo", **content: Any) -> list[str]:
    stack_content = {**TWO_CLUSTERS, "linkerd": {"version": "2.20"}, "workloads": [{sample: part}], **content}
    with pytest.raises(config.SettingsError) as raised:
        config.parse(stack_content, environment)
    return list(raised.value.errors)


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (
            {"exported": ["east"], "failover": [BACKUP, BACKUP]},
            'failover[1].cluster: "west": another entry covers the requests of this cluster; remove one of the two',
        ),
        (
            {"failover": [BACKUP]},
            'failover[0].backups[0]: "east": the cluster does not export podinfo; '
            "add it to workloads[0].podinfo.exported",
        ),
        (
            {"exported": ["west"], "failover": [{"cluster": "east", "backups": ["west"]}]},
            'failover[0].backups[0]: "west": east has no link to west, so it has no mirrors of its services; '
            "add the link, or remove it",
        ),
        (
            {"failover": [{"cluster": "west", "backups": ["west"]}]},
            'failover[0].backups[0]: "west": a cluster cannot be its own backup; choose another cluster',
        ),
        (
            {"failover": [{"cluster": "west", "backups": []}]},
            "failover[0].backups: []: no cluster would answer instead; add at least one cluster",
        ),
        (
            {"clusters": ["east"], "exported": ["east"], "failover": [BACKUP]},
            'failover[0].cluster: "west": podinfo does not run in this cluster; run it there, or remove the entry',
        ),
    ],
    ids=[
        "two-failovers",
        "backup-not-exported",
        "backup-not-linked",
        "backup-is-cluster",
        "no-backup",
        "sample-not-running",
    ],
)
def test_conflicting_traffic_settings_are_refused(environment: Environment, part: dict[str, Any], error: str) -> None:
    assert config_errors(environment, part) == [f"workloads[0].podinfo.{error}"]


def test_smi_split_with_profile_routes_is_refused(environment: Environment) -> None:
    part = {"exported": ["east"], "splits": [SPLIT], "profile": {"form": "gateway-api"}}

    (message,) = config_errors(environment, part, extensions={"smi": ["west"]})

    assert message.startswith("workloads[0].podinfo.splits[0].form: …: a TrafficSplit becomes a ServiceProfile")


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        (
            {"form": "gateway-api", "retryBudget": {"retryRatio": 0.1}},
            "retryBudget: …: only a ServiceProfile has a budget, while each HTTPRoute has its own limit; set "
            "retryLimit of the routes instead, or remove it",
        ),
        (
            {"routes": [{"method": "GET", "pathRegex": "/", "isRetryable": True, "retryLimit": 2}]},
            "routes[0].retryLimit: 2: the routes of a ServiceProfile share one budget; set retryBudget instead, "
            "or choose the form gateway-api",
        ),
        (
            {"form": "gateway-api", "routes": [{"method": "GET", "pathRegex": "/", "retryLimit": 2}]},
            "routes[0].retryLimit: 2: has no effect without isRetryable; set isRetryable, or remove it",
        ),
        (
            {"form": "gateway-api", "routes": [{"method": "GET", "pathRegex": "/" * 1025}]},
            "routes[0].pathRegex: …: the path of an HTTPRoute has at most 1024 characters; split it into "
            "several routes",
        ),
    ],
    ids=["budget-of-routes", "limit-of-service-profile", "limit-without-retry", "long-path"],
)
def test_profile_settings_of_another_form_are_refused(
    environment: Environment, profile: dict[str, Any], error: str
) -> None:
    assert config_errors(environment, {"profile": profile}, "booksapp") == [f"workloads[0].booksapp.profile.{error}"]


@pytest.mark.parametrize("version", ["2.13.5", "2.14.10", "2.15", "edge-24.7.4"])
def test_profile_routes_require_linkerd_2_16(environment: Environment, version: str) -> None:
    part = {"profile": {"form": "gateway-api"}}

    (message,) = config_errors(environment, part, "booksapp", linkerd={"version": version})

    assert message == (
        f'workloads[0].booksapp.profile.form: "gateway-api": Linkerd {version} has no retries and timeouts for '
        "HTTPRoutes; choose service-profile, or set linkerd.version to 2.16 or later"
    )
    for later in ("edge-24.7.5", "2.16"):
        workloads = [{"booksapp": part}]
        config.parse({**TWO_CLUSTERS, "linkerd": {"version": later}, "workloads": workloads}, environment)
