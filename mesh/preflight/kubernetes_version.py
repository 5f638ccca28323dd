"""Check of the cluster's Kubernetes version against the range of the chosen Linkerd or Cilium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mesh.kube.errors import to_single_line
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

_VERSION = re.compile(r"\s*v?(\d{1,6})\.(\d{1,6})(?!\d)")


def check(target: CheckTarget, version: dict[str, Any]) -> Iterator[Finding]:
    """Yield a finding if the content of `/version` is too old, too new or unreadable."""
    label = version.get("gitVersion") or f"{version.get('major', '')}.{version.get('minor', '')}"
    current, value = parse_version(label), to_single_line(label, 60)
    product = "Cilium" if target.linkerd is None else f"Linkerd {target.linkerd}"
    if current is None:
        rule = f"not a readable version, so support by {product} is unknown"
        remedy = f"make sure that it is Kubernetes {target.minimum_kubernetes} or newer"
        yield target.finding(rule, remedy, value=value, severity=Severity.WARNING)
        return
    minimum, newest = parse_version(target.minimum_kubernetes), parse_version(target.newest_tested_kubernetes)
    if minimum is not None and current < minimum:
        rule = f"{product} needs Kubernetes {target.minimum_kubernetes} or newer"
        remedy = f"upgrade the cluster, or choose an older {_version_setting(target)}"
        yield target.finding(rule, remedy, value=value)
    elif newest is not None and current > newest:
        rule = f"{product} has not been tested with a Kubernetes newer than {target.newest_tested_kubernetes}"
        remedy = f"test it on this cluster first, or choose a newer {_version_setting(target)}"
        yield target.finding(rule, remedy, value=value, severity=Severity.WARNING)


def parse_version(version: object) -> tuple[int, int] | None:
    """Return major and minor version of a text such as `v1.27.3-gke.100` or `1.36+`."""
    match = _VERSION.match(version) if isinstance(version, str) else None
    return (int(match[1]), int(match[2])) if match else None


def _version_setting(target: CheckTarget) -> str:
    return "Cilium by cilium.version" if target.linkerd is None else "Linkerd by linkerd.version"
