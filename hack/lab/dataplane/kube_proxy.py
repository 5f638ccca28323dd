"""kube-proxy of a cluster's nodes.

https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/
"""

import json
from pathlib import Path
from typing import Any

from hack.lab.allocation import ClusterAllocation
from hack.lab.dataplane import namespaces
from hack.lab.restarting_process import Command


def configuration(allocation: ClusterAllocation, kubeconfig: Path) -> dict[str, Any]:
    """Return the configuration of kube-proxy."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": allocation.pod_cidr,
        "hostnameOverride": allocation.node_names[0],
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        # 0: kernel parameters of the whole machine stay as they are.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def command(program: Path, file: Path, log: Path, nodes: Path) -> Command:
    """Return the command of kube-proxy in the namespace of a cluster's nodes."""
    return Command(
        name=program.name,
        argv=(namespaces.find_program("nsenter"), f"--net={nodes}", str(program), f"--config={file}", "--v=1"),
        log=log,
        environment={"PATH": namespaces.SYSTEM_PATH},
    )


def write_configuration(file: Path, allocation: ClusterAllocation, kubeconfig: Path) -> None:
    """Write the configuration file."""
    file.write_text(json.dumps(configuration(allocation, kubeconfig), indent=2) + "\n")
