"""Check of the running Linkerd's domains against the stack file.

Linkerd sets its cluster domain and its trust domain at installation only. Follows
https://linkerd.io/2/tasks/using-custom-domain/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh.kube.errors import to_single_line
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget

_GUIDE = "https://linkerd.io/2/tasks/using-custom-domain/"


def check(target: CheckTarget, values: str) -> Iterator[Finding]:
    """Yield a finding for each domain that differs from that of the running Linkerd.

    Args:
        target: the cluster.
        values: the values in the ConfigMap linkerd-config, as YAML; empty if no Linkerd runs.
    """
    cluster_domain = _read_domain("clusterDomain", values)
    # The chart's default is the cluster domain.
    trust_domain = _read_domain("identityTrustDomain", values) or cluster_domain
    for setting, desired, running, effect in (
        ("trustDomain", target.trust_domain, trust_domain, "the identities of all meshed pods end in it"),
        ("clusterDomain", target.cluster_domain, cluster_domain, "its proxies resolve the names of Services in it"),
    ):
        if desired is not None and running and running != desired:
            label = to_single_line(running, 80)
            yield target.finding(
                f"Linkerd runs there with {label}: {effect}, and Linkerd does not support a change by an upgrade",
                f"set linkerd.{setting}: {label}, or destroy the stack and install Linkerd again ({_GUIDE})",
                value=desired,
                setting=f"linkerd.{setting}",
            )


def _read_domain(key: str, values: str) -> str:
    match = re.search(rf"^{key}:[ \t]*[\"']?([^\"'\s#]+)", values, re.MULTILINE)
    return match[1] if match is not None else ""
