"""Shipped stacks on a mock engine, compared with the guides that they follow."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from mesh.paths import PROJECT_ROOT
from policy import find_violations
from tests.helpers.mock_engine import Recorder, RunProgram, without_secret_marks
from tests.helpers.planned_resources import to_planned_resources
from tests.helpers.stack_configs import shipped_config

EXPORT_LABEL = {"mirror.linkerd.io/exported": "true"}
DASHBOARD_ANNOTATIONS = {
    "nginx.ingress.kubernetes.io/auth-type": "basic",
    "nginx.ingress.kubernetes.io/auth-secret": "web-ingress-auth",
    "nginx.ingress.kubernetes.io/auth-realm": "Authentication Required",
    "nginx.ingress.kubernetes.io/upstream-vhost": "$service_name.$namespace.svc.cluster.local:8084",
    "nginx.ingress.kubernetes.io/configuration-snippet": (
        'proxy_set_header Origin "";\nproxy_hide_header l5d-remote-ip;\nproxy_hide_header l5d-server-id;\n'
    ),
}


def collect_objects(recorder: Recorder, kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind, by cluster, namespace and name, without those only read."""
    providers = {each.name: each.provider.split("::")[-2] for each in recorder.monitor.registrations if each.provider}
    objects = {}
    for name, inputs in recorder.inputs_of(kind).items():
        if name in providers and "metadata" in inputs:
            metadata = inputs["metadata"]
            objects[f"{providers[name]} {metadata['namespace']}/{metadata['name']}"] = without_secret_marks(inputs)
    return objects


def collect_releases(recorder: Recorder, cluster: str) -> dict[str, str | None]:
    """Return the chart versions of a cluster, by Helm release."""
    providers = {each.name: each.provider.split("::")[-2] for each in recorder.monitor.registrations if each.provider}
    releases = {name: each for name, each in recorder.inputs_of("Release").items() if providers[name] == cluster}
    return {each["name"]: each.get("version") for each in releases.values()}


def collect_images(recorder: Recorder) -> dict[str, list[str]]:
    """Return the images of each Deployment."""
    pods = {
        name: inputs["spec"]["template"]["spec"] for name, inputs in collect_objects(recorder, "Deployment").items()
    }
    return {name: [each["image"] for each in pod["containers"]] for name, pod in pods.items()}


def collect_services(recorder: Recorder) -> dict[str, tuple[dict[str, str], dict[str, int]]]:
    """Return the labels, with those of an export, and the ports of each Service."""
    exports = {f"{cluster} {ns}/{name}": labels for (cluster, ns, name), labels in recorder.export_labels().items()}
    return {
        name: (
            {**(inputs["metadata"].get("labels") or {}), **exports.get(name, {})},
            {port["name"]: int(port["port"]) for port in inputs["spec"]["ports"]},
        )
        for name, inputs in collect_objects(recorder, "core/v1:Service").items()
    }


def collect_namespaces(recorder: Recorder) -> set[str]:
    return {inputs["metadata"]["name"] for inputs in recorder.inputs_of("core/v1:Namespace").values()}


CHARTS_2_13 = {"linkerd-crds": "1.6.1", "linkerd-control-plane": "1.12.5", "linkerd-multicluster": "30.7.5"}
CHARTS_2_14 = {"linkerd-crds": "1.8.0", "linkerd-control-plane": "1.16.11", "linkerd-multicluster": "30.11.11"}


def test_openstack_nks_has_charts_of_its_guide(run: RunProgram) -> None:
    recorder = run(shipped_config("openstack-nks"))

    assert collect_releases(recorder, "cluster1") == {
        **CHARTS_2_13,
        "linkerd-viz": "30.8.5",
        "linkerd-smi": "1.0.1",
        "link-cluster2": None,
    }
    assert collect_releases(recorder, "cluster2") == {**CHARTS_2_13, "linkerd-viz": "30.8.5"}


def test_openstack_nks_runs_samples_of_its_guide(run: RunProgram) -> None:
    recorder = run(shipped_config("openstack-nks"))
    labels = {"app": "helloworld", "service": "helloworld"}

    assert collect_images(recorder) == {
        "cluster1 default/helloworld-v1": ["docker.io/istio/examples-helloworld-v1:1.0"],
        "cluster1 default/sleep": ["curlimages/curl:8.12.1"],
        "cluster2 default/helloworld-v2": ["docker.io/istio/examples-helloworld-v2:1.0"],
    }
    assert collect_services(recorder) == {
        "cluster1 default/helloworld": (labels, {"http": 5000}),
        "cluster1 default/sleep": ({"app": "sleep", "service": "sleep"}, {"http": 80}),
        "cluster2 default/helloworld": ({**labels, **EXPORT_LABEL}, {"http": 5000}),
    }
    deployments = collect_objects(recorder, "Deployment")
    second = deployments["cluster2 default/helloworld-v2"]["spec"]["template"]
    assert second["metadata"]["annotations"] == {"linkerd.io/inject": "enabled"}
    assert second["metadata"]["labels"] == {"app": "helloworld", "version": "v2"}
    assert second["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "100m"
    sleep = deployments["cluster1 default/sleep"]["spec"]["template"]["spec"]["containers"][0]
    assert sleep["command"] == ["/bin/sleep", "3650d"]


@pytest.mark.parametrize(("stack", "own", "peer"), [("openstack-nks", 1, 2), ("kpaas", 2, 1)])
def test_helloworld_requests_are_split_evenly_in_one_cluster(run: RunProgram, stack: str, own: int, peer: int) -> None:
    recorder = run(shipped_config(stack))

    assert {name: each["spec"] for name, each in collect_objects(recorder, "v1alpha1:TrafficSplit").items()} == {
        f"cluster{own} default/helloworld": {
            "service": "helloworld",
            "backends": [
                {"service": "helloworld", "weight": 50},
                {"service": f"helloworld-cluster{peer}", "weight": 50},
            ],
        }
    }
    assert {each["apiVersion"] for each in recorder.inputs_of(":TrafficSplit").values()} == {
        "split.smi-spec.io/v1alpha1"
    }


@pytest.mark.parametrize("stack", ["openstack-nks", "kpaas"])
def test_dashboard_ingress_requires_basic_auth(run: RunProgram, stack: str) -> None:
    recorder = run(shipped_config(stack))

    ingresses, secrets = collect_objects(recorder, "Ingress"), collect_objects(recorder, "core/v1:Secret")
    for cluster in ("cluster1", "cluster2"):
        ingress = ingresses[f"{cluster} linkerd-viz/web-ingress"]
        assert DASHBOARD_ANNOTATIONS.items() <= ingress["metadata"]["annotations"].items()
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
        before = recorder.dependencies_of("Ingress", f"{cluster}-dashboard-ingress")
        assert {f"Secret {cluster}-dashboard-auth", f"ReleaseDrift {cluster}-viz-drift"} <= before
        assert not any("ingress-nginx" in each for each in before), "the platform's"


@pytest.mark.parametrize(
    ("stack", "links"),
    [
        ("openstack-nks", ["link-cluster1-to-cluster2-link"]),
        ("kpaas", ["link-cluster1-to-cluster2-link", "link-cluster2-to-cluster1-link"]),
    ],
)
def test_stacks_on_platforms_create_only_own_namespaces_and_links(
    run: RunProgram, stack: str, links: list[str]
) -> None:
    recorder = run(shipped_config(stack))

    assert "default" not in collect_namespaces(recorder), "every cluster has it, and destroy would delete it"
    assert {"ingress-nginx", "metallb-system"}.isdisjoint(collect_namespaces(recorder)), "the clusters have both"
    assert not recorder.inputs_of(":IPAddressPool")
    assert not recorder.inputs_of("IngressClass")
    assert sorted(recorder.inputs_of(":Link")) == links


def test_kpaas_has_both_links_and_two_load_balancers(run: RunProgram) -> None:
    recorder = run(shipped_config("kpaas"))

    add_ons = {"linkerd-viz": "30.8.5", "linkerd-smi": "1.0.1"}
    assert collect_releases(recorder, "cluster1") == {**CHARTS_2_13, **add_ons, "link-cluster2": None}
    assert collect_releases(recorder, "cluster2") == {**CHARTS_2_13, **add_ons, "link-cluster1": None}
    contexts = [each["context"] for each in shipped_config("kpaas")["clusters"].values()]
    assert contexts == ["ctx-1", "ctx-2"]
    gateways = [
        each["values"]["gateway"]
        for name, each in recorder.inputs_of("Release").items()
        if name.endswith("-multicluster")
    ]
    assert [gateway["serviceType"] for gateway in gateways] == ["LoadBalancer"] * 2
    assert {"cluster1 default/helloworld-v1", "cluster2 default/helloworld-v2", "cluster2 default/sleep"} == set(
        collect_images(recorder)
    )
    exported = [
        name for name, (labels, _) in collect_services(recorder).items() if EXPORT_LABEL.items() <= labels.items()
    ]
    assert exported == ["cluster1 default/helloworld"]


def read_kpaas_variant() -> dict[str, Any]:
    """Return the configuration of kpaas with the commented lines of its variant, as a user enables them."""
    text = (PROJECT_ROOT / "Pulumi.kpaas.yaml").read_text()
    text = text.replace("install: false", "install: true")
    text = re.sub(r"^( +)# (?=values: |metallb: |  pools: |    cluster[12]: )", r"\1", text, flags=re.MULTILINE)
    return {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items()}


def test_kpaas_variant_installs_metallb_and_ingress_nginx(run: RunProgram) -> None:
    variant = read_kpaas_variant()
    recorder = run(variant)

    add_ons = {"metallb": "0.14.9", "ingress-nginx": "4.11.0"}
    for cluster in ("cluster1", "cluster2"):
        assert add_ons.items() <= collect_releases(recorder, cluster).items()
        controller = recorder.inputs_of("Release")[f"{cluster}-ingress-nginx"]["values"]["controller"]
        assert controller["service"] == {"type": "NodePort"}
        before = recorder.dependencies_of("Ingress", f"{cluster}-dashboard-ingress")
        assert f"ReleaseDrift {cluster}-ingress-nginx-drift" in before
    pools = {name: each["spec"]["addresses"] for name, each in collect_objects(recorder, ":IPAddressPool").items()}
    assert pools == {
        "cluster1 metallb-system/multicluster-mesh": ["192.0.2.200-192.0.2.209"],
        "cluster2 metallb-system/multicluster-mesh": ["192.0.2.210-192.0.2.219"],
    }
    assert find_violations(to_planned_resources(recorder)) == []
    page = (PROJECT_ROOT / "docs/kpaas.md").read_text()
    documented = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    assert {key: variant["extensions"][key] for key in ("ingressNginx", "metallb")} in documented


def test_east_west_has_components_of_tour(run: RunProgram) -> None:
    recorder = run(shipped_config("east-west"))

    common_charts = {**CHARTS_2_14, "linkerd-viz": "30.12.11", "metallb": "0.14.9"}
    assert collect_releases(recorder, "east") == common_charts
    assert collect_releases(recorder, "west") == {
        **common_charts,
        "linkerd-jaeger": "30.12.11",
        "linkerd-smi": "1.0.1",
        "link-east": None,
    }
    podinfo = {"http": 9898, "grpc": 9999}
    assert {name: ports for name, (_, ports) in collect_services(recorder).items()} == {
        "east test/podinfo": podinfo,
        "west test/podinfo": podinfo,
        "west test/frontend": {"http": 8080},
        "west booksapp/webapp": {"service": 7000},
        "west booksapp/authors": {"service": 7001},
        "west booksapp/books": {"service": 7002},
        "west booksapp/error-injector": {"http": 8080, "books": 7002},
    }
    booksapp = ["ghcr.io/buoyantio/booksapp:v0.0.5"]
    assert collect_images(recorder) == {
        "east test/podinfo": ["ghcr.io/stefanprodan/podinfo:6.7.1"],
        "west test/podinfo": ["ghcr.io/stefanprodan/podinfo:6.7.1"],
        "west test/frontend": ["nginx:alpine", "buoyantio/slow_cooker:1.2.0", "buoyantio/slow_cooker:1.2.0"],
        "west booksapp/webapp": booksapp,
        "west booksapp/authors": booksapp,
        "west booksapp/books": booksapp,
        "west booksapp/traffic": ["ghcr.io/buoyantio/booksapp-traffic:v0.0.3"],
        "west booksapp/error-injector": ["nginx:alpine"],
    }
    assert set(collect_objects(recorder, ":ServiceProfile")) == {
        "east test/podinfo.test.svc.cluster.local",
        "west test/podinfo.test.svc.cluster.local",
        "west booksapp/webapp.booksapp.svc.cluster.local",
    }


def test_east_west_splits_podinfo_and_injects_faults_into_books(run: RunProgram) -> None:
    recorder = run(shipped_config("east-west"))

    splits = {name: each["spec"] for name, each in collect_objects(recorder, "v1alpha1:TrafficSplit").items()}
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
    texts = {name: each["data"]["nginx.conf"] for name, each in collect_objects(recorder, "ConfigMap").items()}
    assert "return 500;" in texts["west booksapp/error-injector"]


def test_east_west_frontend_has_containers_of_linkerds_example(run: RunProgram) -> None:
    recorder = run(shipped_config("east-west"))

    pod = collect_objects(recorder, "Deployment")["west test/frontend"]["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["containers"]] == ["nginx", "internal", "external"]
    variables = [{each["name"]: each["value"] for each in container["env"]} for container in pod["containers"][1:]]
    assert variables == [
        {"QPS": "1", "CONCURRENCY": "1", "SERVICE": service} for service in ("podinfo", "podinfo-east")
    ]
    text = collect_objects(recorder, "ConfigMap")["west test/frontend"]["data"]["nginx.conf"]
    assert "proxy_pass http://podinfo:9898;" in text
    assert "location = /east {" in text
    assert "set $mirror podinfo-east.test.svc.cluster.local;" in text


def test_emojivoto_has_one_cluster_without_multicluster(run: RunProgram) -> None:
    recorder = run(shipped_config("emojivoto"))

    assert collect_releases(recorder, "demo") == {
        "linkerd-crds": "1.8.0",
        "linkerd-control-plane": "1.16.11",
        "linkerd-viz": "30.12.11",
    }
    image = "docker.l5d.io/buoyantio/emojivoto-{}:v11"
    assert collect_images(recorder) == {
        "demo emojivoto/web": [image.format("web")],
        "demo emojivoto/emoji": [image.format("emoji-svc")],
        "demo emojivoto/voting": [image.format("voting-svc")],
        "demo emojivoto/vote-bot": [image.format("web")],
    }
    backend_ports = {"grpc": 8080, "prom": 8801}
    assert {name: ports for name, (_, ports) in collect_services(recorder).items()} == {
        "demo emojivoto/web-svc": {"http": 80},
        "demo emojivoto/emoji-svc": backend_ports,
        "demo emojivoto/voting-svc": backend_ports,
    }
    assert collect_namespaces(recorder) == {"linkerd", "linkerd-viz", "emojivoto"}


def test_emojivoto_services_are_wired_together(run: RunProgram) -> None:
    deployments = collect_objects(run(shipped_config("emojivoto")), "Deployment")
    pods = {name.rpartition("/")[2]: each["spec"]["template"] for name, each in deployments.items()}
    environments = {
        name: {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
        for name, pod in pods.items()
    }

    assert environments["web"]["EMOJISVC_HOST"] == "emoji-svc.emojivoto:8080"
    assert environments["web"]["VOTINGSVC_HOST"] == "voting-svc.emojivoto:8080"
    assert environments["vote-bot"] == {"WEB_HOST": "web-svc.emojivoto:80"}
    assert {name: pod["metadata"]["labels"] for name, pod in pods.items()} == {
        "web": {"app": "web-svc", "version": "v11"},
        "emoji": {"app": "emoji-svc", "version": "v11"},
        "voting": {"app": "voting-svc", "version": "v11"},
        "vote-bot": {"app": "vote-bot", "version": "v11"},
    }
    selected = {
        name.rpartition("/")[2]: each["spec"]["selector"]
        for name, each in collect_objects(run(shipped_config("emojivoto")), "core/v1:Service").items()
    }
    assert selected == {name: {"app": name} for name in ("web-svc", "emoji-svc", "voting-svc")}


STACKS = pytest.mark.parametrize("stack", ["openstack-nks", "kpaas", "east-west", "emojivoto", "clustermesh"])


@STACKS
def test_samples_have_least_privileges(run: RunProgram, stack: str) -> None:
    for name, inputs in collect_objects(run(shipped_config(stack)), "Deployment").items():
        pod = inputs["spec"]["template"]["spec"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert "serviceAccountName" in pod or pod["automountServiceAccountToken"] is False, name
        for each in pod["containers"]:
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert each["securityContext"]["allowPrivilegeEscalation"] is False, name
            assert each["resources"]["limits"]["memory"], name


@STACKS
def test_every_object_has_field_manager_of_stack(run: RunProgram, stack: str) -> None:
    recorder = run(shipped_config(stack))

    for kind in ("core/v1:Namespace", "core/v1:Service", "Deployment", "ConfigMap", "Ingress", ":TrafficSplit"):
        for name, inputs in recorder.inputs_of(kind).items():
            if "metadata" in inputs:
                annotations = inputs["metadata"]["annotations"]
                assert annotations["pulumi.com/patchFieldManager"] == "multicluster-mesh-test", name


@STACKS
def test_helm_values_contain_no_password_or_key(run: RunProgram, stack: str) -> None:
    values = json.dumps([each["values"] for each in run(shipped_config(stack)).inputs_of("Release").values()])

    assert "a-private-key" not in values
    assert "admin:hash" not in values


@pytest.mark.parametrize("stack", ["clustermesh", "dev", "east-west", "emojivoto", "kpaas", "openstack-nks"])
def test_shipped_stacks_violate_no_policy(run: RunProgram, stack: str) -> None:
    resources = to_planned_resources(run(shipped_config(stack)))

    assert [violation.line() for violation in find_violations(resources)] == []
    assert {"pulumi:providers:kubernetes", "kubernetes:helm.sh/v3:Release"} <= {each.type for each in resources}


def test_gateway_without_exposure_setting_violates_policy(run: RunProgram) -> None:
    broken_rules = find_violations(
        to_planned_resources(run({"clusters": {"west": {}, "east": {"gateway": {"loadBalancer": False}}}}))
    )

    assert [(each.name, each.rule, each.is_mandatory) for each in broken_rules] == [
        ("west-multicluster", "gateways", False)
    ]


def test_cilium_load_balancer_without_exposure_annotation_violates_policy(run: RunProgram) -> None:
    config = shipped_config("clustermesh") | {"cilium": {"service": "LoadBalancer"}}
    config["clusters"]["cluster1"]["cilium"]["annotations"] = {"multicluster-mesh/exposure": "public"}

    broken_rules = find_violations(to_planned_resources(run(config)))

    assert [(each.name, each.path) for each in broken_rules] == [
        ("cluster2-clustermesh-apiserver-peers", "spec.loadBalancerSourceRanges")
    ]
