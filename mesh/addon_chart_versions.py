"""Default versions and repositories of charts that are not part of a Linkerd release.

The versions of Linkerd's own charts depend on the Linkerd release: see `mesh.linkerd_releases`.
"""

from __future__ import annotations

from collections.abc import Mapping

# A stack file can set other versions.
SMI_VERSION = "1.0.1"  # linkerd-smi v0.2.1
METALLB_VERSION = "0.14.9"
INGRESS_NGINX_VERSION = "4.11.0"
CILIUM_VERSION = "1.19.0"
# For stacks without Linkerd. A Linkerd release determines the version otherwise.
DEFAULT_GATEWAY_API_VERSION = "1.4.0"

# Defaults: the stack file and $MULTICLUSTER_MESH_CHARTS take precedence.
CHART_REPOSITORY_URLS: Mapping[str, str] = {
    "linkerd-smi": "https://linkerd.github.io/linkerd-smi",
    "cilium": "https://helm.cilium.io",
    "metallb": "https://metallb.github.io/metallb",
    "ingress-nginx": "https://kubernetes.github.io/ingress-nginx",
}
