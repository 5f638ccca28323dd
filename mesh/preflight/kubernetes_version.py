"""Whether the cluster's Kubernetes is one that the chosen Linkerd, or Cilium, runs on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mesh.kube.errors import to_single_line
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

_VERSION = re.compile(r"\s*v?(\d{1,6})\.(\d{1,6})(?!\d)")


def check(question: CheckTarget, version: dict[str, Any]) -> Iterator[Finding]:
    """Findings on what `/version` says."""
    said = version.get("gitVersion") or f"{version.get('major', '')}.{version.get('minor', '')}"
    running, shown = parse_version(said), to_single_line(said, 60)
    what = "Cilium" if question.linkerd is None else f"Linkerd {question.linkerd}"
    if running is None:
        rule = f"not a version that can be read, so it is not known whether {what} runs there"
        remedy = f"see for yourself that it is Kubernetes {question.minimum} or newer"
        yield question.finding(rule, remedy, value=shown, severity=Severity.WARNING)
        return
    oldest, newest = parse_version(question.minimum), parse_version(question.newest_tried)
    if oldest is not None and running < oldest:
        rule = f"{what} needs Kubernetes {question.minimum} or newer"
        remedy = f"upgrade the cluster, or choose an older {_setting(question)}"
        yield question.finding(rule, remedy, value=shown)
    elif newest is not None and running > newest:
        rule = f"{what} has not been tried with a Kubernetes newer than {question.newest_tried}"
        remedy = f"look for trouble in this cluster first, or choose a newer {_setting(question)}"
        yield question.finding(rule, remedy, value=shown, severity=Severity.WARNING)


def _setting(question: CheckTarget) -> str:
    return "Cilium by cilium.version" if question.linkerd is None else "Linkerd by linkerd.version"


def parse_version(version: object) -> tuple[int, int] | None:
    """Major and minor of versions such as `v1.27.3-gke.100` or `1.36+`."""
    found = _VERSION.match(version) if isinstance(version, str) else None
    return (int(found[1]), int(found[2])) if found else None
