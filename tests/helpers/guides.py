"""Linkerd as the reference guides install it by hand: with Helm, Linkerd's CLI and kubectl.

Follows https://linkerd.io/2.13/tasks/install-helm/, …/tasks/installing-multicluster/ and …/getting-started/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mesh.addon_chart_versions import INGRESS_NGINX_VERSION, METALLB_VERSION, SMI_VERSION
from mesh.linkerd_releases import find_linkerd_release
from tests.helpers.certificates import DAY, IssuedCertificate
from tests.helpers.stack_under_test import StackUnderTest, run_for_each

_NOW = datetime.now(UTC)
# Versions of the charts that belong to no Linkerd release.
_ADD_ONS = {
    "linkerd-smi": SMI_VERSION,
    "metallb": METALLB_VERSION,
    "ingress-nginx": INGRESS_NGINX_VERSION,
}


class Guide:
    """The reader of a guide: the clusters, the certificates and the commands.

    Args:
        stack: the stack that adopts the clusters later, for its environment.
        folder: folder of the certificates and of Helm's files.
        release: version of Linkerd.
    """

    def __init__(self, stack: StackUnderTest, folder: Path, release: str) -> None:
        self._stack, self._folder, self._release = stack, folder, release
        self._anchor = IssuedCertificate(begin=_NOW - DAY, end=_NOW + 3650 * DAY)
        self._issuer = IssuedCertificate(
            name="identity.linkerd.cluster.local",
            signer=self._anchor,
            begin=_NOW - DAY,
            end=_NOW + 365 * DAY,
            path_length=0,
        )
        (folder / "ca.crt").write_text(self._anchor.pem)
        (folder / "issuer.crt").write_text(self._issuer.pem)
        (folder / "issuer.key").write_text(self._issuer.private_key)
        self.shell(f"helm repo add linkerd {stack.environment['MULTICLUSTER_MESH_CHARTS']}")

    def shell(self, command: str) -> str:
        """Run a command line of a guide, and return its output."""
        homes = {f"HELM_{kind}_HOME": str(self._folder / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA")}
        return self._stack.run(
            "env",
            *(f"{key}={value}" for key, value in homes.items()),
            "bash",
            "-ceuo",
            "pipefail",
            f"cd {self._folder}; {command}",
        ).stdout

    def install(self, context: str, chart: str, options: str = "", *, namespace: str = "", version: str = "") -> None:
        """Install a chart with Helm, in a namespace of the chart's name or another one, which Helm creates."""
        namespace, version = namespace or chart, version or self._version(chart)
        self.shell(
            f"helm install {chart} linkerd/{chart} --version {version} --kube-context {context} "
            f"--namespace {namespace} --create-namespace --wait {options}"
        )

    def install_linkerd(self, context: str, *extensions: str) -> None:
        """Install the control plane, with its issuer as values, and extensions."""
        self.install(context, "linkerd-crds", namespace="linkerd")
        self.install(
            context,
            "linkerd-control-plane",
            "--set-file identityTrustAnchorsPEM=ca.crt --set-file identity.issuer.tls.crtPEM=issuer.crt "
            "--set-file identity.issuer.tls.keyPEM=issuer.key",
            namespace="linkerd",
        )
        run_for_each(lambda extension: self.install(context, f"linkerd-{extension}"), extensions)

    def link(self, source: str, target: str, name: str, options: str = "") -> None:
        """Link a target cluster into a source with Linkerd's CLI."""
        link = f"linkerd --context {target} multicluster link --cluster-name {name} {options}"
        self.shell(f"{link} | kubectl --context {source} apply -f -")

    def apply(self, context: str, objects: Sequence[Mapping[str, Any]]) -> None:
        """Apply objects with kubectl."""
        path = self._folder / f"{context}.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
        self.shell(f"kubectl --context {context} apply -f {path}")

    def trust(self, clusters: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the setting `trust` of a stack that adopts the clusters, and its secrets."""
        issuers = {name: {"certificate": self._issuer.pem} for name in clusters}
        keys = {f"trust.issuers.{name}.key": self._issuer.private_key for name in clusters}
        return {"anchor": {"certificate": self._anchor.pem}, "issuers": issuers}, keys

    def _version(self, chart: str) -> str:
        release = find_linkerd_release(self._release)
        assert release is not None
        versions: dict[str, str | None] = {
            "linkerd-crds": release.crds,
            "linkerd-control-plane": release.control_plane,
            "linkerd-multicluster": release.multicluster,
            "linkerd-viz": release.viz,
            "linkerd-jaeger": release.jaeger,
            **_ADD_ONS,
        }
        version = versions[chart]
        assert version is not None
        return version
