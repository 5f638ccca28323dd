"""The stacks that the project ships, on a recording engine: what the guides that they follow lead their readers to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policy import find_violations
from tests.helpers.mock_engine import Recorder, RunProgram, without_secret_marks
from tests.helpers.planned_resources import to_planned_resources
from tests.helpers.stack_configs import shipped_config

EXPORTED = {"mirror.linkerd.io/exported": "true"}
DASHBOARD = {
    "nginx.ingress.kubernetes.io/auth-type": "basic",
    "nginx.ingress.kubernetes.io/auth-secret": "web-ingress-auth",
    "nginx.ingress.kubernetes.io/auth-realm": "Authentication Required",
    "nginx.ingress.kubernetes.io/upstream-vhost": "$service_name.$namespace.svc.cluster.local:8084",
    "nginx.ingress.kubernetes.io/configuration-snippet": (
        'proxy_set_header Origin "";\nproxy_hide_header l5d-remote-ip;\nproxy_hide_header l5d-server-id;\n'
    ),
}


def objects(recorder: Recorder, kind: str) -> dict[str, dict[str, Any]]:
    """The objects of a kind, by their cluster, namespace and name; reads are left out."""
    providers = {each.name: each.provider.split("::")[-2] for each in recorder.monitor.registrations if each.provider}
    found = {}
    for name, inputs in recorder.inputs_of(kind).items():
        if name in providers and "metadata" in inputs:
            metadata = inputs["metadata"]
            found[f"{providers[name]} {metadata['namespace']}/{metadata['name']}"] = without_secret_marks(inputs)
    return found


def releases(recorder: Recorder, cluster: str) -> dict[str, str | None]:
    """The charts of a cluster with their versions; of its links, the releases."""
    providers = {each.name: each.provider.split("::")[-2] for each in recorder.monitor.registrations if each.provider}
    found = {name: each for name, each in recorder.inputs_of("Release").items() if providers[name] == cluster}
    return {each["name"]: each.get("version") for each in found.values()}


def images(recorder: Recorder) -> dict[str, list[str]]:
    """The images of Deployments."""
    pods = {name: found["spec"]["template"]["spec"] for name, found in objects(recorder, "Deployment").items()}
    return {name: [each["image"] for each in pod["containers"]] for name, pod in pods.items()}


def services(recorder: Recorder) -> dict[str, tuple[dict[str, str], dict[str, int]]]:
    """The labels and ports of Services."""
    return {
        name: (
            found["metadata"].get("labels") or {},
            {port["name"]: int(port["port"]) for port in found["spec"]["ports"]},
        )
        for name, found in objects(recorder, "core/v1:Service").items()
    }


def made_namespaces(recorder: Recorder) -> set[str]:
    return {found["metadata"]["name"] for found in recorder.inputs_of("core/v1:Namespace").values()}


OLD = {"linkerd-crds": "1.6.1", "linkerd-control-plane": "1.12.5", "linkerd-multicluster": "30.7.5"}
NEW = {"linkerd-crds": "1.8.0", "linkerd-control-plane": "1.16.11", "linkerd-multicluster": "30.11.11"}


def test_openstack_nks_has_the_charts_of_its_guide(run: RunProgram) -> None:
    found = run(shipped_config("openstack-nks"))

    assert releases(found, "cluster1") == {
        **OLD,
        "linkerd-viz": "30.8.5",
        "linkerd-smi": "1.0.1",
        "link-cluster2": None,
    }
    assert releases(found, "cluster2") == {**OLD, "linkerd-viz": "30.8.5"}


def test_openstack_nks_runs_the_versions_of_helloworld_and_sleep_where_its_guide_does(run: RunProgram) -> None:
    found = run(shipped_config("openstack-nks"))
    labels = {"app": "helloworld", "service": "helloworld"}

    assert images(found) == {
        "cluster1 default/helloworld-v1": ["docker.io/istio/examples-helloworld-v1:1.0"],
        "cluster1 default/sleep": ["curlimages/curl:8.12.1"],
        "cluster2 default/helloworld-v2": ["docker.io/istio/examples-helloworld-v2:1.0"],
    }
    assert services(found) == {
        "cluster1 default/helloworld": (labels, {"http": 5000}),
        "cluster1 default/sleep": ({"app": "sleep", "service": "sleep"}, {"http": 80}),
        "cluster2 default/helloworld": ({**labels, **EXPORTED}, {"http": 5000}),
    }
    deployments = objects(found, "Deployment")
    second = deployments["cluster2 default/helloworld-v2"]["spec"]["template"]
    assert second["metadata"]["annotations"] == {"linkerd.io/inject": "enabled"}
    assert second["metadata"]["labels"] == {"app": "helloworld", "version": "v2"}
    assert second["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "100m"
    sleep = deployments["cluster1 default/sleep"]["spec"]["template"]["spec"]["containers"][0]
    assert sleep["command"] == ["/bin/sleep", "3650d"]


@pytest.mark.parametrize(("stack", "here", "there"), [("openstack-nks", 1, 2), ("kpaas", 2, 1)])
def test_requests_to_helloworld_are_split_by_halves_in_one_cluster(
    run: RunProgram, stack: str, here: int, there: int
) -> None:
    found = run(shipped_config(stack))

    assert {name: each["spec"] for name, each in objects(found, "v1alpha1:TrafficSplit").items()} == {
        f"cluster{here} default/helloworld": {
            "service": "helloworld",
            "backends": [
                {"service": "helloworld" if name == here else f"helloworld-cluster{there}", "weight": 50}
                for name in (1, 2)
            ],
        }
    }
    assert {each["apiVersion"] for each in found.inputs_of(":TrafficSplit").values()} == {"split.smi-spec.io/v1alpha1"}


@pytest.mark.parametrize("stack", ["openstack-nks", "kpaas"])
def test_the_dashboard_is_behind_basic_auth_as_its_guide_has_it(run: RunProgram, stack: str) -> None:
    found = run(shipped_config(stack))

    ingresses, secrets = objects(found, "Ingress"), objects(found, "core/v1:Secret")
    for cluster in ("cluster1", "cluster2"):
        ingress = ingresses[f"{cluster} linkerd-viz/web-ingress"]
        assert DASHBOARD.items() <= ingress["metadata"]["annotations"].items()
        assert ingress["spec"] == {
            "ingressClassName": "nginx",
            "rules": [
                {
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "web", "port": {"number": 8084}}},
                            }
                        ]
                    }
                }
            ],
        }
        assert secrets[f"{cluster} linkerd-viz/web-ingress-auth"]["stringData"] == {"auth": "admin:hash\n"}
        before = found.dependencies_of("Ingress", f"{cluster}-dashboard-ingress")
        assert {f"Secret {cluster}-dashboard-auth", f"ReleaseDrift {cluster}-viz-drift"} <= before
        assert (f"ReleaseDrift {cluster}-ingress-nginx-drift" in before) == (stack == "kpaas")


def test_what_is_in_no_stack_is_in_no_cluster_either(run: RunProgram) -> None:
    found = run(shipped_config("openstack-nks"))

    assert "default" not in made_namespaces(found), "every cluster has it, and destroy would take it along"
    assert {"ingress-nginx", "metallb-system"}.isdisjoint(made_namespaces(found)), "it is there already"
    assert not found.inputs_of(":IPAddressPool")
    assert list(found.inputs_of(":Link")) == ["link-cluster1-to-cluster2-link"]


def test_kpaas_has_both_directions_and_a_load_balancer_on_both_sides(run: RunProgram) -> None:
    found = run(shipped_config("kpaas"))

    more = {"linkerd-viz": "30.8.5", "linkerd-smi": "1.0.1", "metallb": "0.14.9", "ingress-nginx": "4.11.0"}
    assert releases(found, "cluster1") == {**OLD, **more, "link-cluster2": None}
    assert releases(found, "cluster2") == {**OLD, **more, "link-cluster1": None}
    pools = {name: each["spec"]["addresses"] for name, each in objects(found, ":IPAddressPool").items()}
    assert pools == {
        "cluster1 metallb-system/multicluster-mesh": ["192.0.2.200-192.0.2.209"],
        "cluster2 metallb-system/multicluster-mesh": ["192.0.2.210-192.0.2.219"],
    }
    assert {"cluster1 default/helloworld-v1", "cluster2 default/helloworld-v2", "cluster2 default/sleep"} == set(
        images(found)
    )
    exported = [name for name, (labels, _) in services(found).items() if EXPORTED.items() <= labels.items()]
    assert exported == ["cluster1 default/helloworld"]


def test_east_west_has_every_part_of_the_tour_where_the_tour_has_it(run: RunProgram) -> None:
    found = run(shipped_config("east-west"))

    both = {**NEW, "linkerd-viz": "30.12.11", "metallb": "0.14.9"}
    assert releases(found, "east") == both
    assert releases(found, "west") == {
        **both,
        "linkerd-jaeger": "30.12.11",
        "linkerd-smi": "1.0.1",
        "link-east": None,
    }
    podinfo = {"http": 9898, "grpc": 9999}
    assert {name: ports for name, (_, ports) in services(found).items()} == {
        "east test/podinfo": podinfo,
        "west test/podinfo": podinfo,
        "west test/frontend": {"http": 8080},
        "west booksapp/webapp": {"service": 7000},
        "west booksapp/authors": {"service": 7001},
        "west booksapp/books": {"service": 7002},
        "west booksapp/error-injector": {"http": 8080, "books": 7002},
    }
    booksapp = ["ghcr.io/buoyantio/booksapp:v0.0.5"]
    assert images(found) == {
        "east test/podinfo": ["ghcr.io/stefanprodan/podinfo:6.7.1"],
        "west test/podinfo": ["ghcr.io/stefanprodan/podinfo:6.7.1"],
        "west test/frontend": ["nginx:alpine"],
        "west booksapp/webapp": booksapp,
        "west booksapp/authors": booksapp,
        "west booksapp/books": booksapp,
        "west booksapp/traffic": ["ghcr.io/buoyantio/booksapp-traffic:v0.0.3"],
        "west booksapp/error-injector": ["nginx:alpine"],
    }
    assert set(objects(found, ":ServiceProfile")) == {
        "east test/podinfo.test.svc.cluster.local",
        "west test/podinfo.test.svc.cluster.local",
        "west booksapp/webapp.booksapp.svc.cluster.local",
    }


def test_east_west_splits_podinfo_and_injects_faults_into_books(run: RunProgram) -> None:
    found = run(shipped_config("east-west"))

    splits = {name: each["spec"] for name, each in objects(found, "v1alpha1:TrafficSplit").items()}
    assert splits == {
        "west test/podinfo": {
            "service": "podinfo",
            "backends": [{"service": "podinfo", "weight": 50}, {"service": "podinfo-east", "weight": 50}],
        },
        "west booksapp/error-split": {
            "service": "books",
            "backends": [{"service": "books", "weight": "500m"}, {"service": "error-injector", "weight": "500m"}],
        },
    }
    texts = {name: each["data"]["nginx.conf"] for name, each in objects(found, "ConfigMap").items()}
    assert "return 500;" in texts["west booksapp/error-injector"]
    assert "proxy_pass http://podinfo:9898;" in texts["west test/frontend"]


def test_emojivoto_is_one_cluster_without_what_only_several_need(run: RunProgram) -> None:
    found = run(shipped_config("emojivoto"))

    assert releases(found, "demo") == {
        "linkerd-crds": "1.8.0",
        "linkerd-control-plane": "1.16.11",
        "linkerd-viz": "30.12.11",
    }
    image = "docker.l5d.io/buoyantio/emojivoto-{}:v11"
    assert images(found) == {
        "demo emojivoto/web": [image.format("web")],
        "demo emojivoto/emoji": [image.format("emoji-svc")],
        "demo emojivoto/voting": [image.format("voting-svc")],
        "demo emojivoto/vote-bot": [image.format("web")],
    }
    behind = {"grpc": 8080, "prom": 8801}
    assert {name: ports for name, (_, ports) in services(found).items()} == {
        "demo emojivoto/web-svc": {"http": 80},
        "demo emojivoto/emoji-svc": behind,
        "demo emojivoto/voting-svc": behind,
    }
    assert made_namespaces(found) == {"linkerd", "linkerd-viz", "emojivoto"}


def test_emojivotos_parts_find_one_another(run: RunProgram) -> None:
    found = objects(run(shipped_config("emojivoto")), "Deployment")
    pods = {name.rpartition("/")[2]: each["spec"]["template"] for name, each in found.items()}
    told = {
        name: {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
        for name, pod in pods.items()
    }

    assert told["web"]["EMOJISVC_HOST"] == "emoji-svc.emojivoto:8080"
    assert told["web"]["VOTINGSVC_HOST"] == "voting-svc.emojivoto:8080"
    assert told["vote-bot"] == {"WEB_HOST": "web-svc.emojivoto:80"}
    assert {name: pod["metadata"]["labels"] for name, pod in pods.items()} == {
        "web": {"app": "web-svc", "version": "v11"},
        "emoji": {"app": "emoji-svc", "version": "v11"},
        "voting": {"app": "voting-svc", "version": "v11"},
        "vote-bot": {"app": "vote-bot", "version": "v11"},
    }
    selected = {
        name.rpartition("/")[2]: each["spec"]["selector"]
        for name, each in objects(run(shipped_config("emojivoto")), "core/v1:Service").items()
    }
    assert selected == {name: {"app": name} for name in ("web-svc", "emoji-svc", "voting-svc")}


STACKS = pytest.mark.parametrize("stack", ["openstack-nks", "kpaas", "east-west", "emojivoto", "clustermesh"])


@STACKS
def test_no_sample_may_do_more_than_it_must(run: RunProgram, stack: str) -> None:
    for name, found in objects(run(shipped_config(stack)), "Deployment").items():
        pod = found["spec"]["template"]["spec"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert "serviceAccountName" in pod or pod["automountServiceAccountToken"] is False, name
        for each in pod["containers"]:
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert each["securityContext"]["allowPrivilegeEscalation"] is False, name
            assert each["resources"]["limits"]["memory"], name


@STACKS
def test_every_object_belongs_to_the_stack_that_made_it(run: RunProgram, stack: str) -> None:
    asked = run(shipped_config(stack))

    for kind in ("core/v1:Namespace", "core/v1:Service", "Deployment", "ConfigMap", "Ingress", ":TrafficSplit"):
        for name, found in asked.inputs_of(kind).items():
            if "metadata" in found:
                annotations = found["metadata"]["annotations"]
                assert annotations["pulumi.com/patchFieldManager"] == "multicluster-mesh-test", name


@STACKS
def test_no_password_and_no_key_is_in_a_helm_value(run: RunProgram, stack: str) -> None:
    values = json.dumps([each["values"] for each in run(shipped_config(stack)).inputs_of("Release").values()])

    assert "a-private-key" not in values
    assert "admin:hash" not in values


@pytest.mark.parametrize("stack", ["clustermesh", "dev", "east-west", "emojivoto", "kpaas", "openstack-nks"])
def test_no_policy_has_anything_to_say(run: RunProgram, stack: str) -> None:
    resources = to_planned_resources(run(shipped_config(stack)))

    assert [violation.line() for violation in find_violations(resources)] == []
    assert {"pulumi:providers:kubernetes", "kubernetes:helm.sh/v3:Release"} <= {each.type for each in resources}


def test_a_policy_sees_a_gateway_that_nobody_says_anything_of(run: RunProgram) -> None:
    found = find_violations(
        to_planned_resources(run({"clusters": {"west": {}, "east": {"gateway": {"loadBalancer": False}}}}))
    )

    assert [(each.name, each.rule, each.mandatory) for each in found] == [("west-multicluster", "gateways", False)]


def test_a_policy_sees_a_load_balancer_of_cilium_unless_an_annotation_says_that_it_is_public(run: RunProgram) -> None:
    config = shipped_config("clustermesh") | {"cilium": {"service": "LoadBalancer"}}
    config["clusters"]["cluster1"]["cilium"]["annotations"] = {"multicluster-mesh/exposure": "public"}

    found = find_violations(to_planned_resources(run(config)))

    assert [(each.name, each.path) for each in found] == [
        ("cluster2-clustermesh-apiserver-peers", "spec.loadBalancerSourceRanges")
    ]
