"""Charts and CRDs for the lab other than Linkerd's, copied from the Go modules of their projects."""

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

# Cilium's releases since 1.14 without pre-releases: the versions that a stack file can set.
CILIUM_ARCHIVE = re.compile(r"cilium-1\.(1[4-9]|[2-9]\d)\.\d+\.tgz")


def copy_add_ons(sources: Callable[[str], Path], *, own: Path, into: Path) -> None:
    """Write chart archives to `charts/`, and manifests to one folder per project.

    Args:
        sources: returns the source folder of a module.
        own: the folder with this project's replacement of the linkerd-smi chart, which is in no Go module.
        into: the destination folder.
    """
    for chart in (
        sources(METALLB) / "charts/metallb",
        sources(INGRESS_NGINX) / "charts/ingress-nginx",
        own / "linkerd-smi",
    ):
        charts.package_chart(chart, into=into / "charts")
    copy_plain_crds(sources(CERT_MANAGER) / "deploy/crds", into=into / "cert-manager")
    standard = sources(GATEWAY_API) / "config/crd/standard"
    join_manifests(standard, manifest=into / "gateway-api/standard-install.yaml")


def copy_cilium_charts(source: Path, *, into: Path) -> None:
    """Copy the published archives of Cilium's chart."""
    into.mkdir(parents=True, exist_ok=True)
    for archive in sorted(source.glob("cilium-*.tgz")):
        if CILIUM_ARCHIVE.fullmatch(archive.name):
            _link_or_copy(archive, into / archive.name)


def copy_plain_crds(source: Path, *, into: Path) -> None:
    """Copy cert-manager's CRDs for certificates and issuers, without the lines of the chart's templates."""
    into.mkdir(parents=True, exist_ok=True)
    for name in ("certificates", "issuers", "clusterissuers"):
        lines = (source / f"crd-{name}.yaml").read_text().splitlines(keepends=True)
        (into / f"{name}.yaml").write_text("".join(line for line in lines if "{{" not in line))


def join_manifests(source: Path, *, manifest: Path) -> None:
    """Write all manifests of a folder into one file, like the releases of the Gateway API."""
    manifest.parent.mkdir(parents=True, exist_ok=True)
    texts = [path.read_text().strip() for path in sorted(source.glob("*.yaml")) if path.name != "kustomization.yaml"]
    manifest.write_text("".join(f"---\n{text.removeprefix('---').strip()}\n" for text in texts))


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Go's modules are on another file system, or belong to another user.
        shutil.copyfile(source, target)
