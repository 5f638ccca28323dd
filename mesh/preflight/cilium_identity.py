"""Check of the running Cilium's ID, name and cluster limit against the stack file.

All three are part of the identities of every pod, and of the configuration of every peer. Follows
https://docs.cilium.io/en/stable/network/clustermesh/clustermesh/ (cluster name and ID, scaling limitations).
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import KubeClient
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget, CiliumTarget

CONFIG_MAP_PATH = "/api/v1/namespaces/kube-system/configmaps/cilium-config"
_SUBJECT = "id, name and cluster limit of the running Cilium (ConfigMap cilium-config in kube-system)"
_GUIDE = "https://docs.cilium.io/en/stable/network/clustermesh/clustermesh/"
# Cilium's own defaults. Charts before 1.15 have no limit.
_NO_ID, _DEFAULT_NAME, _DEFAULT_LIMIT = "0", "default", "255"


def check(target: CheckTarget, cilium: CiliumTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield findings if the stack file would change the identity of a running Cilium."""
    config_map = client.get(CONFIG_MAP_PATH, _SUBJECT)
    if config_map is None:
        return
    data = as_mapping(config_map, "data")
    running_id = to_single_line(as_text(data.get("cluster-id")) or _NO_ID, 20)
    running_name = to_single_line(as_text(data.get("cluster-name")) or _DEFAULT_NAME, 63)
    limit = to_single_line(as_text(data.get("max-connected-clusters")) or _DEFAULT_LIMIT, 20)
    if running_id == _NO_ID:
        yield target.finding(
            "Cilium runs there without an id, and the running pods have identities without one",
            f"restart all workloads right after `pulumi up` (kubectl rollout restart; {_GUIDE})",
            value=str(cilium.id),
            setting="cilium.id",
            severity=Severity.WARNING,
        )
    elif running_id != str(cilium.id):
        yield target.finding(
            f"Cilium runs there with id {running_id}, which is part of the identity of every pod: after a change, "
            "peers and policies would no longer recognize the running pods",
            f"set id {running_id}; for another one, remove the cluster from `clusters`, run `pulumi up`, add it with "
            f"the new id, and restart all its workloads ({_GUIDE})",
            value=str(cilium.id),
            setting="cilium.id",
        )
    if running_id != _NO_ID and running_name != target.name:
        yield target.finding(
            f"Cilium runs there with the name {running_name}, which is part of the identity of every pod",
            f"name the cluster {running_name} in `clusters`; for another name, remove the cluster, run `pulumi up`, "
            f"add it with the new name, and restart all its workloads ({_GUIDE})",
            value=target.name,
        )
    if limit != str(cilium.max_connected_clusters):
        yield Finding(
            path="cilium.maxConnectedClusters",
            value=str(cilium.max_connected_clusters),
            rule=f"{target.path} runs Cilium with {limit}, and Cilium sets this limit only at its installation",
            remedy=f"set {limit}, or destroy the stack and build a new mesh ({_GUIDE})",
            severity=Severity.ERROR,
        )
