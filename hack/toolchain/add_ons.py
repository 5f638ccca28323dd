"""Takes from the modules of others what the lab offers beside Linkerd: charts, and CRDs that aren't had as charts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from hack.toolchain import charts

CERT_MANAGER = "github.com/cert-manager/cert-manager"
GATEWAY_API = "sigs.k8s.io/gateway-api"
METALLB = "go.universe.tf/metallb"
INGRESS_NGINX = "k8s.io/ingress-nginx"
CILIUM = "github.com/cilium/charts"

# Cilium's releases from 1.14 on, none of those before a release: what is served is what a stack may name.
CILIUM_ARCHIVE = re.compile(r"cilium-1\.(1[4-9]|[2-9]\d)\.\d+\.tgz")


def take(sources: Callable[[str], Path], *, own: Path, into: Path) -> None:
    """Lay out archives in `charts/`, and manifests in a folder for each project.

    Args:
        sources: where the sources of a module are.
        own: the folder with the chart of ours that stands in for one that no module has.
        into: where everything goes.
    """
    for chart in (
        sources(METALLB) / "charts/metallb",
        sources(INGRESS_NGINX) / "charts/ingress-nginx",
        own / "linkerd-smi",
    ):
        charts.archive(chart, into=into / "charts")
    plain_crds(sources(CERT_MANAGER) / "deploy/crds", into=into / "cert-manager")
    standard = sources(GATEWAY_API) / "config/crd/standard"
    joined(standard, manifest=into / "gateway-api/standard-install.yaml")


def take_cilium(source: Path, *, into: Path) -> None:
    """Lay out the archives of Cilium's chart as they were published."""
    into.mkdir(parents=True, exist_ok=True)
    for archive in sorted(source.glob("cilium-*.tgz")):
        if CILIUM_ARCHIVE.fullmatch(archive.name):
            _link(archive, into / archive.name)


def plain_crds(source: Path, *, into: Path) -> None:
    """Copy the CRDs by which issuers are had from cert-manager, without the chart's own labels and conditions."""
    into.mkdir(parents=True, exist_ok=True)
    for name in ("certificates", "issuers", "clusterissuers"):
        lines = (source / f"crd-{name}.yaml").read_text().splitlines(keepends=True)
        (into / f"{name}.yaml").write_text("".join(line for line in lines if "{{" not in line))


def joined(source: Path, *, manifest: Path) -> None:
    """Write all manifests of a folder as one, as the release of the Gateway API's CRDs does."""
    manifest.parent.mkdir(parents=True, exist_ok=True)
    texts = [path.read_text().strip() for path in sorted(source.glob("*.yaml")) if path.name != "kustomization.yaml"]
    manifest.write_text("".join(f"---\n{text.removeprefix('---').strip()}\n" for text in texts))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Go's modules are on another file system, or another user's.
        shutil.copyfile(source, target)
