"""Samples by the Gateway API: which routes are made for which release of Linkerd, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mesh import config as settings
from tests.helpers.mock_engine import Recorder, RunProgram, mesh_config
from tests.helpers.stack_files import Environment

GROUP = "gateway.networking.k8s.io"
BOTH = mesh_config("west", "east", links=[("west", "east")])
BY_WEIGHT = {"cluster": "west", "weights": {"west": 1, "east": 1}}
BACKUP = {"cluster": "west", "backups": ["east"]}


def recorded(run: RunProgram, version: str, *workloads: dict[str, Any], **config: Any) -> Recorder:
    return run({**BOTH, "linkerd": {"version": version}, "workloads": list(workloads), **config})


def ports(found: Recorder, kind: str) -> dict[str, tuple[str, int]]:
    """The API version and the port of each route, by its resource's name."""
    return {
        name: (route["apiVersion"], route["spec"]["parentRefs"][0]["port"])
        for name, route in found.inputs_of(f":{kind}").items()
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
def test_http_and_grpc_requests_are_shared_out_where_the_release_has_routes_for_them(
    run: RunProgram, version: str, http: str, grpc: str | None
) -> None:
    found = recorded(run, version, {"podinfo": {"exported": ["east"], "splits": [BY_WEIGHT]}})

    assert ports(found, "HTTPRoute") == {"west-test-podinfo-split": (http, 9898)}
    expected = {} if grpc is None else {"west-test-podinfo-split-grpc": (grpc, 9999)}
    assert ports(found, "GRPCRoute") == expected
    for route in found.inputs_of(":GRPCRoute").values():
        (rule,) = route["spec"]["rules"]
        assert [(each["name"], each["port"]) for each in rule["backendRefs"]] == [
            ("podinfo", 9999),
            ("podinfo-east", 9999),
        ]


def test_a_traffic_split_is_for_all_ports(run: RunProgram) -> None:
    wanted = {"podinfo": {"exported": ["east"], "splits": [BY_WEIGHT]}}

    found = recorded(run, "2.17", wanted, extensions={"smi": ["west"]})

    assert not found.inputs_of(":GRPCRoute") and not found.inputs_of(":HTTPRoute")


def test_a_route_is_the_same_object_in_each_api_version(run: RunProgram) -> None:
    wanted = {"podinfo": {"exported": ["east"], "splits": [BY_WEIGHT]}}

    old, new = recorded(run, "2.17", wanted), recorded(run, "2.20", wanted)

    for kind, name in ((":HTTPRoute", "west-test-podinfo-split"), (":GRPCRoute", "west-test-podinfo-split-grpc")):
        assert old.registration(kind, name).type in new.registration(kind, name).alias_types
    own = recorded(run, "2.13.5", wanted)
    assert own.registration(":HTTPRoute", "west-test-podinfo-split").alias_types == (), "a kind of its own"


def test_a_failover_has_routes_and_a_service_that_failures_make_unavailable(run: RunProgram) -> None:
    found = recorded(
        run,
        "2.20",
        {"podinfo": {"exported": ["east"], "failover": [BACKUP]}},
        {"helloworld": {"exported": ["east"], "failover": [BACKUP]}},
    )

    assert ports(found, "HTTPRoute").keys() == {
        "west-test-podinfo-failover",
        "west-default-helloworld-failover",
    }
    assert ports(found, "GRPCRoute") == {"west-test-podinfo-failover-grpc": (f"{GROUP}/v1", 9999)}
    services = {
        name: found.inputs_of("core/v1:Service")[name]["metadata"]["annotations"]
        for name in (
            "west-test-podinfo-service",
            "east-test-podinfo-service",
            "west-default-helloworld-service",
            "east-default-helloworld-service",
        )
    }
    accruing = [
        name for name, said in services.items() if said.get("balancer.linkerd.io/failure-accrual") == "consecutive"
    ]
    assert accruing == ["west-test-podinfo-service", "west-default-helloworld-service"]
    names = {route["metadata"]["name"] for route in found.inputs_of(":HTTPRoute").values()}
    assert names == {"podinfo-failover", "helloworld-failover"}, "not the name of a split, whose place it may take"


def test_a_profile_is_an_object_or_several(run: RunProgram) -> None:
    routes = {"profile": {"form": "gateway-api"}}

    found = recorded(
        run, "2.20", {"booksapp": {"clusters": ["west"], **routes}}, {"podinfo": {"clusters": ["west"], **routes}}
    )

    assert not found.inputs_of(":ServiceProfile")
    http = ports(found, "HTTPRoute")
    assert len([name for name in http if "booksapp" in name]) == 10
    assert http["west-booksapp-booksapp-route-get-authors-id"] == (f"{GROUP}/v1", 7000)
    assert http["west-test-podinfo-route-other"] == (f"{GROUP}/v1", 9898)
    assert "ReleaseDrift west-linkerd-control-plane-drift" in found.dependencies_of(
        ":HTTPRoute", "west-test-podinfo-route-other"
    )


def refused(environment: Environment, part: dict[str, Any], sample: str = "podinfo", **config: Any) -> list[str]:
    whole = {**BOTH, "linkerd": {"version": "2.20"}, "workloads": [{sample: part}], **config}
    with pytest.raises(settings.SettingsError) as raised:
        settings.parse(whole, environment)
    return list(raised.value.errors)


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (
            {"exported": ["east"], "failover": [BACKUP], "splits": [BY_WEIGHT]},
            'failover[0].cluster: "west": its requests are split already; take one of the two out',
        ),
        (
            {"exported": ["east"], "failover": [BACKUP, BACKUP]},
            'failover[1].cluster: "west": its requests are looked after already; take one of the two out',
        ),
        (
            {"failover": [BACKUP]},
            'failover[0].backups[0]: "east": podinfo is not exported there; add it to workloads[0].podinfo.exported',
        ),
        (
            {"exported": ["west"], "failover": [{"cluster": "east", "backups": ["west"]}]},
            'failover[0].backups[0]: "west": east has no link to west, and sees none of its services; add the link, or '
            "take it out",
        ),
        (
            {"failover": [{"cluster": "west", "backups": ["west"]}]},
            'failover[0].backups[0]: "west": it is the cluster itself; name another one',
        ),
        (
            {"failover": [{"cluster": "west", "backups": []}]},
            "failover[0].backups: []: no cluster would answer in its place; name at least one",
        ),
        (
            {"clusters": ["east"], "exported": ["east"], "failover": [BACKUP]},
            'failover[0].cluster: "west": podinfo doesn\'t run there; let it run there, or take the entry out',
        ),
        (
            {"exported": ["east"], "failover": [BACKUP], "profile": True},
            "failover[0]: …: podinfo.profile would make Linkerd overlook the HTTPRoute; take one of the two out",
        ),
        (
            {"exported": ["east"], "failover": [BACKUP], "profile": {"form": "gateway-api"}},
            "failover[0]: …: the HTTPRoutes of podinfo.profile would take requests past it; take one of the two out",
        ),
        (
            {"exported": ["east"], "splits": [BY_WEIGHT], "profile": {"form": "gateway-api"}},
            "splits[0].form: …: the HTTPRoutes of podinfo.profile would take requests past it; choose smi (with "
            "extensions.smi) and profile.form service-profile, or take the profile out",
        ),
    ],
)
def test_what_gets_in_each_others_way_is_refused(environment: Environment, part: dict[str, Any], fault: str) -> None:
    assert refused(environment, part) == [f"workloads[0].podinfo.{fault}"]


def test_a_split_by_smi_would_hide_the_routes_of_a_profile(environment: Environment) -> None:
    part = {"exported": ["east"], "splits": [BY_WEIGHT], "profile": {"form": "gateway-api"}}

    (found,) = refused(environment, part, extensions={"smi": ["west"]})

    assert found.startswith("workloads[0].podinfo.splits[0].form: …: a TrafficSplit becomes a ServiceProfile")


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        (
            {"form": "gateway-api", "retryBudget": {"retryRatio": 0.1}},
            "retryBudget: …: a ServiceProfile has a budget; of HTTPRoutes, each has a limit of its own; set "
            "retryLimit of the routes in its place, or take it out",
        ),
        (
            {"routes": [{"method": "GET", "pathRegex": "/", "isRetryable": True, "retryLimit": 2}]},
            "routes[0].retryLimit: 2: the routes of a ServiceProfile share one budget; set retryBudget in its place, "
            "or choose the form gateway-api",
        ),
        (
            {"form": "gateway-api", "routes": [{"method": "GET", "pathRegex": "/", "retryLimit": 2}]},
            "routes[0].retryLimit: 2: nothing is sent again unless isRetryable says so; set isRetryable, or take it "
            "out",
        ),
        (
            {"form": "gateway-api", "routes": [{"method": "GET", "pathRegex": "/" * 1025}]},
            "routes[0].pathRegex: …: an HTTPRoute can match no more than 1024 characters; make several routes of it",
        ),
    ],
)
def test_a_profile_says_nothing_that_its_form_does_not_have(
    environment: Environment, profile: dict[str, Any], fault: str
) -> None:
    assert refused(environment, {"profile": profile}, "booksapp") == [f"workloads[0].booksapp.profile.{fault}"]


@pytest.mark.parametrize("version", ["2.13.5", "2.14.10", "2.15", "edge-24.7.4"])
def test_routes_have_neither_retries_nor_timeouts_before_2_16(environment: Environment, version: str) -> None:
    part = {"profile": {"form": "gateway-api"}}

    (found,) = refused(environment, part, "booksapp", linkerd={"version": version})

    assert found == (
        f'workloads[0].booksapp.profile.form: "gateway-api": Linkerd {version} has neither retries nor timeouts for '
        "HTTPRoutes; choose service-profile, or a linkerd.version from 2.16 on"
    )
    for later in ("edge-24.7.5", "2.16"):
        workloads = [{"booksapp": part}]
        settings.parse({**BOTH, "linkerd": {"version": later}, "workloads": workloads}, environment)
