"""Clusters that were set up by the reference guides' own commands, then adopted by the guide's stack."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from tests.helpers.guides import Guide
from tests.helpers.stack_configs import shipped_config
from tests.helpers.stack_under_test import StackUnderTest, list_all_objects, run_for_each, wait_until

pytestmark = pytest.mark.lab("west", "east", minutes=4)

# Context in this lab of each cluster in the shipped stack files.
CONTEXTS = {"cluster1": "west", "cluster2": "east", "west": "west", "east": "east", "demo": "west"}


def adopting_config(name: str, **extensions: Any) -> dict[str, Any]:
    """Return a shipped configuration for this lab's clusters, with `adopt` and changed extensions."""
    config = copy.deepcopy(shipped_config(name))
    for cluster, settings in config["clusters"].items():
        settings |= {"context": CONTEXTS[cluster], "adopt": True}
    merged = {**config.get("extensions", {}), **extensions}
    return config | {"extensions": {key: value for key, value in merged.items() if value is not None}}


@contextmanager
def adopting_stack(
    lab: StateDir, folder: Path, name: str, config: dict[str, Any]
) -> Iterator[tuple[StackUnderTest, Guide]]:
    """Yield a stack and a guide for its clusters; at exit, require that the clusters are as they were before."""
    stack = StackUnderTest(lab, folder, f"adopt-{name}", config)
    stack.objects_before = {context: list_all_objects(stack, context) for context in stack.contexts.values()}
    guide = Guide(stack, folder, stack.stack.linkerd_version)
    if stack.stack.has_linkerd:
        trust, keys = guide.trust(list(config["clusters"]))
        stack.configure({**config, "trust": trust}, keys)
    try:
        yield stack, guide
        if stack.has_resources:
            stack.destroy()
    except BaseException:
        for context in stack.objects_before:
            delete_new_objects(stack, context)  # other tests use the same clusters
        raise
    for context, objects in stack.objects_before.items():
        wait_until(partial(stack.is_restored, context))
        assert list_all_objects(stack, context).keys() == objects.keys()


def delete_new_objects(stack: StackUnderTest, context: str) -> None:
    """Delete all objects that a cluster did not have before, in an order that cannot hang."""
    keys = list_all_objects(stack, context).keys() - stack.objects_before[context].keys()
    first = ("apiservices", "validatingwebhook", "mutatingwebhook")
    for key in sorted(keys, key=lambda each: not each.startswith(first)):
        kind, namespace, name = key.split("/", 2)
        scope = ("--namespace", namespace) if namespace else ()
        stack.run(
            *("kubectl", "--context", context, "delete", kind, name, *scope, "--ignore-not-found", "--wait=false"),
            check=False,
        )


def assert_adopted(stack: StackUnderTest) -> None:
    stack.up()

    assert [row for row in stack.run_checks() if not row.passed] == []
    for context in stack.contexts.values():
        stack.kubectl(context, "create", "namespace", "guest")
        stack.kubectl(context, "delete", "namespace", "guest", "--timeout=30s")
        secrets = stack.list_objects(context, "secrets", "--all-namespaces")
        assert not any("former-release" in secret["metadata"]["name"] for secret in secrets)
    stack.up("--expect-no-changes")


def helloworld(version: str, *, exported: bool) -> list[dict[str, Any]]:
    """Return the Service and the Deployment of the guides' sample."""
    labels = {"app": "helloworld", "version": version}
    export = {"mirror.linkerd.io/exported": "true"} if exported else {}
    container = {
        "name": "helloworld",
        "image": f"docker.io/istio/examples-helloworld-{version}",
        "resources": {"requests": {"cpu": "100m"}},
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 5000}],
    }
    template = {
        "metadata": {"labels": labels, "annotations": {"linkerd.io/inject": "enabled"}},
        "spec": {"containers": [container]},
    }
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "helloworld", "labels": {"app": "helloworld", "service": "helloworld", **export}},
        "spec": {"ports": [{"port": 5000, "name": "http"}], "selector": {"app": "helloworld"}},
    }
    deployment: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"helloworld-{version}", "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    return [{**each, "metadata": {**each["metadata"], "namespace": "default"}} for each in (service, deployment)]


def test_one_way_mesh_of_openstack_guide_is_adopted(lab: StateDir, tmp_path: Path) -> None:
    config = adopting_config("openstack-nks")
    with adopting_stack(lab, tmp_path, "nks", config) as (stack, guide):
        extensions = {"west": ["viz", "multicluster", "smi"], "east": ["viz", "multicluster"]}
        run_for_each(lambda context: guide.install_linkerd(context, *extensions[context]), extensions)
        guide.link("west", "east", "cluster2")
        guide.apply("west", helloworld("v1", exported=False))
        guide.apply("east", helloworld("v2", exported=True))

        assert_adopted(stack)


def test_two_way_mesh_of_kpaas_guide_is_adopted(lab: StateDir, tmp_path: Path) -> None:
    config = adopting_config("kpaas")
    with adopting_stack(lab, tmp_path, "kpaas", config) as (stack, guide):

        def follow_guide(context: str) -> None:
            guide.install(context, "metallb", namespace="metallb-system")
            # The lab's pods answer no webhook.
            guide.install(context, "ingress-nginx", "--set controller.admissionWebhooks.enabled=false")
            guide.install_linkerd(context, "viz", "multicluster", "smi")

        run_for_each(follow_guide, ("west", "east"))
        guide.link("west", "east", "cluster2")
        guide.link("east", "west", "cluster1")
        guide.apply("west", helloworld("v1", exported=True))
        guide.apply("east", helloworld("v2", exported=False))

        pools = {"cluster1": ["192.0.2.10-192.0.2.19"], "cluster2": ["192.0.2.20-192.0.2.29"]}
        installing = adopting_config("kpaas", metallb={"pools": pools}, ingressNginx={"install": True})
        stack.configure({**stack.config, "extensions": installing["extensions"]}, stack.secrets)
        output = " ".join(stack.up_expecting_failure().split())
        for cluster in ("cluster1", "cluster2"):
            assert f"remove extensions.metallb.pools.{cluster}" in output
            assert f"clusters.{cluster}: namespace ingress-nginx: ingress-nginx exists" in output
        assert "set extensions.ingressNginx.install: false to use it" in output
        assert "adopt: true" not in output and "delete it" not in output

        stack.configure({**stack.config, "extensions": config["extensions"]}, stack.secrets)
        assert_adopted(stack)
        stack.destroy()
        for context in ("west", "east"):
            for release, namespace in {"metallb": "metallb-system", "ingress-nginx": "ingress-nginx"}.items():
                assert stack.list_objects(context, "deployments", "-n", namespace) != []
                guide.shell(f"helm uninstall {release} --kube-context {context} --namespace {namespace}")
                guide.shell(f"kubectl --context {context} delete namespace {namespace}")


def test_mesh_of_east_west_guide_is_adopted(lab: StateDir, tmp_path: Path) -> None:
    config = adopting_config("east-west", metallb=None)
    config["workloads"] = config["workloads"][:1]  # podinfo
    with adopting_stack(lab, tmp_path, "east-west", config) as (stack, guide):
        extensions = {"west": ["viz", "jaeger", "smi"], "east": ["viz", "multicluster"]}
        run_for_each(lambda context: guide.install_linkerd(context, *extensions[context]), extensions)
        # Values that the stack file does not have: a field, an object and a selector must not remain.
        guide.install("west", "linkerd-multicluster", "--set enablePodAntiAffinity=true")
        guide.link("west", "east", "east", "--selector team=shop")

        assert_adopted(stack)
        gateway = stack.get_object("west", "deployment", "linkerd-gateway", "linkerd-multicluster")
        assert "affinity" not in gateway["spec"]["template"]["spec"]
        assert stack.list_objects("west", "poddisruptionbudgets", "-n", "linkerd-multicluster") == []
        link = stack.get_object("west", "links.multicluster.linkerd.io", "east", "linkerd-multicluster")
        assert link["spec"]["selector"] == {"matchLabels": {"mirror.linkerd.io/exported": "true"}}


def test_mesh_of_emojivoto_guide_is_replaced(lab: StateDir, tmp_path: Path) -> None:
    config = adopting_config("emojivoto")
    with adopting_stack(lab, tmp_path, "emojivoto", config) as (stack, guide):
        issuer = "--identity-trust-anchors-file ca.crt --identity-issuer-certificate-file issuer.crt"
        for command in ("install --crds", f"install {issuer} --identity-issuer-key-file issuer.key", "viz install"):
            guide.shell(f"linkerd --context west {command} | kubectl --context west apply -f -")

        output = " ".join(stack.up_expecting_failure().split())
        remedies = ("linkerd viz uninstall | kubectl delete -f -", "linkerd uninstall | kubectl delete -f -")
        assert all(remedy in output for remedy in remedies)
        assert "install: false" not in output
        for remedy in remedies:
            guide.shell(
                remedy.replace("uninstall", "--context west uninstall").replace("delete", "--context west delete")
            )
        assert_adopted(stack)


def test_clustermesh_of_helm_is_adopted(lab: StateDir, tmp_path: Path) -> None:
    config = adopting_config("clustermesh")
    with adopting_stack(lab, tmp_path, "clustermesh", config) as (stack, guide):
        for number, (name, context) in enumerate(stack.contexts.items(), 1):
            values = {
                "cluster.id": number,
                "cluster.name": name,
                "clustermesh.useAPIServer": "true",
                "clustermesh.apiserver.service.type": "NodePort",
            }
            options = " ".join(f"--set {key}={value}" for key, value in values.items())
            guide.install(context, "cilium", options, namespace="kube-system", version="1.14.1")
        clusters = {name: {**settings, "adopt": False} for name, settings in config["clusters"].items()}
        stack.configure({**config, "clusters": clusters})

        output = " ".join(stack.up_expecting_failure().split())
        assert "before anything was changed" in output
        assert all(f"set clusters.{name}.adopt: true to adopt it" in output for name in clusters)

        stack.configure(config)
        assert_adopted(stack)
