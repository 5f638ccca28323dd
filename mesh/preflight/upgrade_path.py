"""Whether the Linkerd that runs on a cluster can become the one that the stack file names.

Linkerd is never taken back: what a newer release has stored, an older one doesn't understand. And its proxies stay
what they are until their pods are made anew, while a control plane is promised to serve those of one version before
its own.
Follows https://linkerd.io/2/tasks/upgrade/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh.kube.client import KubeClient
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import mapping, text
from mesh.linkerd_releases import minor_version, release_order
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

PATH = "linkerd.version"
# In the values that linkerd-config keeps, as YAML.
_VERSION = re.compile(r"^linkerdVersion:\s*[\"']?([^\"'\s]+)", re.MULTILINE)


def check(question: CheckTarget, api: KubeClient) -> Iterator[Finding]:
    """Findings on the release that runs there."""
    chosen = question.linkerd_tag
    if chosen is None or release_order(chosen) is None:
        return
    namespace = question.control_plane_namespace
    path = f"/api/v1/namespaces/{namespace}/configmaps/linkerd-config"
    found = api.get(path, f"which Linkerd runs in namespace {namespace}")
    values = _VERSION.search(text(mapping(found, "data").get("values")))
    if values is None:
        return
    running = values[1]
    now, then = release_order(running), release_order(chosen)
    if now is None or then is None or now == then:
        return
    shown = to_single_line(running, 60)
    if then < now:
        yield Finding(
            path=PATH,
            value=chosen,
            rule=f"{question.path} runs {shown}, which is newer, and Linkerd can't be taken back to an older release",
            remedy=f"choose {shown} or a newer one; to go back in any case, destroy the stack first",
            severity=Severity.ERROR,
        )
        return
    before, after = minor_version(running), minor_version(chosen)
    if before is not None and after is not None and after > before + 1:
        between = ", ".join(f"2.{number}" for number in range(before + 1, after))
        yield Finding(
            path=PATH,
            value=chosen,
            rule=(
                f"{question.path} runs {shown}; its meshed pods keep their proxies of it until they are made anew, and "
                "a control plane is promised to serve proxies of one version before its own"
            ),
            remedy=f"go by way of {between}, or restart all meshed workloads right after (kubectl rollout restart)",
            severity=Severity.WARNING,
        )
