"""Configuration of kwok, which simulates kubelets, nodes and load balancers.

https://kwok.sigs.k8s.io/docs/user/stages-configuration/
"""

from pathlib import Path
from typing import Any

import yaml

from hack.lab.allocation import ClusterAllocation
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import write_atomically
from mesh.kube.constants import RUNS_PODS_LABEL, SIMULATED_NODE_ANNOTATION

KUBELET_PORT = 10250
"""The kubelet port of the nodes; the egress proxy forwards it to kwok."""

ADMIN_PORT = 9999
"""The metrics port of a service mirror's pod."""

READY_DELAY_ANNOTATION = "pod-ready.stage.kwok.x-k8s.io/delay"
"""Annotation of a pod with the time until it is ready, such as 2s; without it, a pod is ready at once.

The name is that of kwok's own stages for slow pods.
"""

_API_VERSION = "kwok.x-k8s.io/v1alpha1"


def write_configuration(path: Path, allocation: ClusterAllocation, stages: Path, *, has_pods: bool = True) -> None:
    """Write kwok's configuration: kwok's own stages, the load balancer stage, and the target of port-forwards.

    Without pods, kwok simulates nodes and load balancers only, and the data plane runs the pods.
    """
    documents: list[Any] = []
    for file in sorted(stages.rglob("*.yaml")):
        documents += [
            with_ready_delay(each)
            for each in yaml.safe_load_all(file.read_text())
            if each and each.get("kind") == "Stage"
        ]
    if not has_pods:
        documents = [d for d in documents if d["spec"]["resourceRef"]["kind"] != "Pod"]
        documents.append(_unused_pod_stage())
    if allocation.load_balancer is not LoadBalancerKind.NONE:
        documents.append(load_balancer_stage(allocation))
    documents.append(
        {
            "apiVersion": _API_VERSION,
            "kind": "ClusterPortForward",
            "metadata": {"name": "service-mirror-metrics"},
            "spec": {
                "forwards": [
                    {"ports": [ADMIN_PORT], "target": {"address": "127.0.0.1", "port": allocation.ports.metrics}}
                ]
            },
        }
    )
    write_atomically(path, yaml.safe_dump_all(documents, sort_keys=False))


def with_ready_delay(stage: dict[str, Any]) -> dict[str, Any]:
    """Return a stage; the one that makes pods ready gets the delay of the pod's annotation."""
    if stage["metadata"]["name"] != "pod-ready":
        return stage
    expression = f'.metadata.annotations["{READY_DELAY_ANNOTATION}"]'
    # Without a fixed duration, kwok would ignore the one of the annotation.
    delay = {"durationMilliseconds": 0, "durationFrom": {"expressionFrom": expression}}
    return {**stage, "spec": {**stage["spec"], "delay": delay}}


def load_balancer_stage(allocation: ClusterAllocation) -> dict[str, Any]:
    """Return the stage of a load balancer that gives all LoadBalancer Services one address, like k3s' ServiceLB."""
    if allocation.load_balancer is LoadBalancerKind.HOSTNAME:
        field, value = "hostname", allocation.load_balancer_hostname
    else:
        field, value = "ip", allocation.load_balancer_address
    return {
        "apiVersion": _API_VERSION,
        "kind": "Stage",
        "metadata": {"name": "service-load-balancer"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Service"},
            "selector": {
                "matchExpressions": [
                    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                    {"key": ".spec.type", "operator": "In", "values": ["LoadBalancer"]},
                    # A Service with a class waits for another load balancer.
                    {"key": ".spec.loadBalancerClass", "operator": "DoesNotExist"},
                    {"key": f".status.loadBalancer.ingress.[].{field}", "operator": "NotIn", "values": [value]},
                ]
            },
            "next": {
                "statusTemplate": yaml.safe_dump({"loadBalancer": {"ingress": [{field: value}]}}, sort_keys=False)
            },
        },
    }


def _unused_pod_stage() -> dict[str, Any]:
    """Return a stage for no pod; without any stage of pods, kwok would use its default ones."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "Stage",
        "metadata": {"name": "no-pod"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": [{"key": ".metadata.uid", "operator": "DoesNotExist"}]},
            "next": {"statusTemplate": "phase: Pending"},
        },
    }


def kwok_arguments(
    configuration: Path, kubeconfig: Path, allocation: ClusterAllocation, pki: Path, *, has_pods: bool
) -> list[str]:
    """Return kwok's command-line arguments."""
    # Without pods, the data plane serves the kubelet's API. kwok always has a server, by default on all addresses.
    server_port = allocation.ports.kubelet if has_pods else 0
    return [
        f"--config={configuration}",
        f"--kubeconfig={kubeconfig}",
        f"--manage-nodes-with-annotation-selector={SIMULATED_NODE_ANNOTATION}=fake",
        f"--cidr={allocation.pod_cidr}",
        f"--node-ip={allocation.node_addresses[0]}",
        f"--node-port={KUBELET_PORT}",
        f"--server-address=127.0.0.1:{server_port}",
        f"--tls-cert-file={pki / 'kubelet.crt'}",
        f"--tls-private-key-file={pki / 'kubelet.key'}",
        # kwok renews a lease after a quarter of this time; a long time keeps an idle lab idle.
        "--node-lease-duration-seconds=240",
    ]


def node_manifests(allocation: ClusterAllocation, *, runs_pods: bool = False) -> list[dict[str, Any]]:
    """Return the fake nodes of a cluster, each in its own zone, with addresses and the kubelet's port.

    Args:
        allocation: ports, networks and names of the cluster.
        runs_pods: whether a data plane runs the pods of the nodes.
    """
    labels = {RUNS_PODS_LABEL: "true"} if runs_pods else {}
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {SIMULATED_NODE_ANNOTATION: "fake", "node.alpha.kubernetes.io/ttl": "0"},
                "labels": {
                    "kubernetes.io/arch": "amd64",
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "topology.kubernetes.io/region": "lab",
                    "topology.kubernetes.io/zone": f"lab-{number + 1}",
                    **labels,
                },
            },
            "spec": {
                "podCIDR": allocation.node_pod_cidr(number),
                "podCIDRs": [allocation.node_pod_cidr(number)],
                # Cloud providers set this field; the preflight concludes from it that there is a load balancer.
                **({} if allocation.load_balancer is LoadBalancerKind.NONE else {"providerID": f"lab://{name}"}),
            },
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
            },
        }
        for number, (name, address) in enumerate(zip(allocation.node_names, allocation.node_addresses, strict=True))
    ]
