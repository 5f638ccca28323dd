"""Check of the upgrade path from the running Cilium to the version in the stack file.

Cilium tests upgrades and rollbacks between consecutive minor releases only. Follows
https://docs.cilium.io/en/stable/operations/upgrade/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh.helm import release_storage
from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError, to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget, CiliumTarget

NAMESPACE = "kube-system"
DAEMON_SET_PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/cilium"
_SUBJECT = f"the version of the running Cilium (DaemonSet cilium in {NAMESPACE})"
_SETTING = "cilium.version"
_GUIDE = "https://docs.cilium.io/en/stable/operations/upgrade/"
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:-(alpha|beta|pre|rc)\.?(\d{1,6}))?(?![\d.])")
# Sorts after the pre-releases of the same version, which sort by their alphabet.
_RELEASED = "released"


def check(target: CheckTarget, cilium: CiliumTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding if the running version is newer than the desired one, or more than one minor version older."""
    running_version = _read_running_version(cilium, client)
    running_order, desired_order = parse_version(running_version or ""), parse_version(cilium.version)
    if running_order is None or desired_order is None or running_order == desired_order:
        return
    label = to_single_line(running_version, 60)
    (running_major, running_minor), (major, minor) = running_order[:2], desired_order[:2]
    is_consecutive = running_major == major and abs(running_minor - minor) <= 1
    if desired_order > running_order:
        if is_consecutive:
            return
        if running_major == major:
            skipped = ", ".join(f"{major}.{number}" for number in range(running_minor + 1, minor))
            remedy = f"upgrade to the latest patch release of {skipped} first, each by its own `pulumi up` ({_GUIDE})"
        else:
            remedy = f"upgrade through each minor version in between, each by its own `pulumi up` ({_GUIDE})"
        rule = f"{target.path} runs {label}, and Cilium supports upgrades by one minor version at a time"
        yield Finding(path=_SETTING, value=cilium.version, rule=rule, remedy=remedy, severity=Severity.ERROR)
    elif is_consecutive:
        yield Finding(
            path=_SETTING,
            value=cilium.version,
            rule=f"{target.path} runs {label}, which is newer, and this update would take it back",
            remedy=f"choose {label} or a newer version, or follow the notes on rollbacks first ({_GUIDE})",
            severity=Severity.WARNING,
        )
    else:
        yield Finding(
            path=_SETTING,
            value=cilium.version,
            rule=(
                f"{target.path} runs {label}, which is newer, and Cilium supports rollbacks by one minor version at a "
                "time"
            ),
            remedy=f"choose {label} or a newer version, or go back one minor version per `pulumi up` ({_GUIDE})",
            severity=Severity.ERROR,
        )


def parse_version(version: str) -> tuple[int, int, int, str, int] | None:
    """Return the sort key of a version such as `v1.19.0-rc.1`; None if the text is no version."""
    match = _VERSION.match(version)
    if match is None:
        return None
    return int(match[1]), int(match[2]), int(match[3]), match[4] or _RELEASED, int(match[5] or 0)


def _read_running_version(cilium: CiliumTarget, client: KubeClient) -> str | None:
    """Return the version of the agents' image, or of Helm's chart if the image tag is no version; None without Cilium.

    Every user of a preview may read the DaemonSet, but not Helm's Secrets.

    Raises:
        NotReadableError: Cilium is installed, but its version is unknown.
    """
    daemon_set = client.get(DAEMON_SET_PATH, _SUBJECT)
    if daemon_set is None:
        return None
    containers = as_mappings(as_mapping(daemon_set, "spec", "template", "spec").get("containers"))
    image = next((as_text(each.get("image")) for each in containers if each.get("name") == "cilium-agent"), "")
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if parse_version(tag) is not None and not cilium.has_own_image_tag:
        return tag
    revision = release_storage.read_latest_revision(client, NAMESPACE, "cilium")
    version = revision.chart_version if revision is not None else tag
    if parse_version(version) is None:
        raise NotReadableError(f"{_SUBJECT}, whose image has no version")
    return version
