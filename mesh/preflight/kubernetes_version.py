"""Check of the cluster's Kubernetes version against the range of the chosen Linkerd or Cilium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mesh.kube.errors import to_single_line
from mesh.linkerd_releases import DEFAULT_LINKERD_VERSION, find_version_for_kubernetes, is_maintained
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
        remedy = f"upgrade the cluster, or {_choose_older(target, current)}"
        yield target.finding(rule, remedy, value=value)
    elif newest is not None and current > newest:
        rule = f"{product} has not been tested with a Kubernetes newer than {target.newest_tested_kubernetes}"
        yield target.finding(rule, _choose_newer(target, current), value=value, severity=Severity.WARNING)


def parse_version(version: object) -> tuple[int, int] | None:
    """Return major and minor version of a text such as `v1.27.3-gke.100` or `1.36+`."""
    match = _VERSION.match(version) if isinstance(version, str) else None
    return (int(match[1]), int(match[2])) if match else None


def _choose_older(target: CheckTarget, kubernetes: tuple[int, int]) -> str:
    if target.linkerd is None:
        return "choose an older Cilium by cilium.version"
    version = find_version_for_kubernetes(kubernetes)
    return f'set linkerd.version to "{version}"' if version else "choose an older Linkerd by linkerd.version"


def _choose_newer(target: CheckTarget, kubernetes: tuple[int, int]) -> str:
    test = "test it on this cluster first"
    if target.linkerd is None:
        return f"{test}, or choose a newer Cilium by cilium.version"
    version = find_version_for_kubernetes(kubernetes)
    if version is not None:
        return f'set linkerd.version to "{version}", or {test}'
    if not is_maintained(target.linkerd):
        return f'set linkerd.version to "{DEFAULT_LINKERD_VERSION}", the newest version, and {test}'
    return f"{test}, because no version of Linkerd names this Kubernetes yet"
