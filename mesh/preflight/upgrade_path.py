"""Check of the upgrade path from the running Linkerd to the release in the stack file.

Linkerd has no downgrades: an older release cannot read data that a newer one stored. Proxies keep their version until
their pods are re-created, and a control plane supports proxies of the previous version only.
Follows https://linkerd.io/2/tasks/upgrade/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh.kube.errors import to_single_line
from mesh.linkerd_releases import minor_version, release_order
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

_SETTING = "linkerd.version"
# In the values in the ConfigMap linkerd-config, as YAML.
_VERSION = re.compile(r"^linkerdVersion:\s*[\"']?([^\"'\s]+)", re.MULTILINE)


def check(target: CheckTarget, values: str) -> Iterator[Finding]:
    """Yield a finding if the running release is newer than the desired one, or too old for it.

    Args:
        target: the cluster.
        values: the values in the ConfigMap linkerd-config, as YAML; empty if no Linkerd runs.
    """
    desired_version = target.linkerd_tag
    if desired_version is None or release_order(desired_version) is None:
        return
    version = _VERSION.search(values)
    if version is None:
        return
    running_version = version[1]
    running_order, desired_order = release_order(running_version), release_order(desired_version)
    if running_order is None or desired_order is None or running_order == desired_order:
        return
    label = to_single_line(running_version, 60)
    if desired_order < running_order:
        yield Finding(
            path=_SETTING,
            value=desired_version,
            rule=f"{target.path} runs {label}, which is newer, and Linkerd does not support downgrades",
            remedy=f"choose {label} or a newer release, or destroy the stack before a downgrade",
            severity=Severity.ERROR,
        )
        return
    running_minor, desired_minor = minor_version(running_version), minor_version(desired_version)
    if running_minor is not None and desired_minor is not None and desired_minor > running_minor + 1:
        skipped = ", ".join(f"2.{number}" for number in range(running_minor + 1, desired_minor))
        yield Finding(
            path=_SETTING,
            value=desired_version,
            rule=(
                f"{target.path} runs {label}; its meshed pods keep their proxies until they are re-created, and a "
                "control plane supports proxies of the previous version only"
            ),
            remedy=f"upgrade to {skipped} first, or restart all meshed workloads right after (kubectl rollout restart)",
            severity=Severity.WARNING,
        )
