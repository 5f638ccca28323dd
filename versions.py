"""Every chart and image that the program installs, pinned in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LinkerdRelease:
    """A release of Linkerd, and the versions of the charts that belong to it."""

    version: str  # as the stack file has it, such as 2.14.10
    crds: str
    control_plane: str
    multicluster: str
    cni: str
    kubernetes: str  # the oldest Kubernetes that it runs on
    remote_discovery: bool  # its Link has a selector for services that are reached without a gateway
    mirror_lease: bool  # its service mirror elects a leader

    @property
    def tag(self) -> str:
        """The tag of its images, and the version that Linkerd itself reports."""
        return f"stable-{self.version}"


LINKERD: Mapping[str, LinkerdRelease] = {
    release.version: release
    for release in (
        LinkerdRelease(
            version="2.14.10",
            crds="1.8.0",
            control_plane="1.16.11",
            multicluster="30.11.11",
            cni="30.12.2",
            kubernetes="1.21",
            remote_discovery=True,
            mirror_lease=True,
        ),
        LinkerdRelease(
            version="2.13.5",
            crds="1.6.1",
            control_plane="1.12.5",
            multicluster="30.7.5",
            cni="30.8.3",
            kubernetes="1.21",
            remote_discovery=False,
            mirror_lease=False,
        ),
    )
}
DEFAULT_LINKERD = "2.14.10"

# The newest Kubernetes that this program's tests run on.
KUBERNETES_TRIED = "1.36"

# The last stable releases that Linkerd published itself.
LINKERD_CHARTS = "https://helm.linkerd.io/stable"

PODINFO_IMAGE = "ghcr.io/stefanprodan/podinfo:6.7.1"
