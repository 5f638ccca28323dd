"""Artifacts of the toolchain, with the pinned Go modules and the programs of each."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODULES_FOLDER = Path(__file__).parent

PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
PULUMI_KUBERNETES = "github.com/pulumi/pulumi-kubernetes/provider/v4"
LINKERD = "github.com/linkerd/linkerd2"

# Increase this number when build.py changes, so that installed artifacts are built again.
RECIPE_VERSION = "1"

KUBERNETES_VERSION = {
    f"k8s.io/component-base/version.{name}": value
    for name, value in {"gitVersion": "v1.36.3", "gitMajor": "1", "gitMinor": "36", "gitTreeState": "clean"}.items()
}

# Debug information is not needed, and takes a tenth of the build time.
NO_DEBUG_INFO = "-dwarf=false"


@dataclass(frozen=True, kw_only=True)
class Build:
    """One run of `go build` in one pinned module."""

    module: str  # the folder in hack/toolchain/ with go.mod and go.sum
    programs: Mapping[str, str]  # Go package → the program's file name; empty if only files are copied from modules
    modfile: str = "go.mod"
    variables: Mapping[str, str] = field(default_factory=dict)  # Go string variables that the linker sets
    compiler_flags: Mapping[str, str] = field(default_factory=dict)  # package pattern → flags in addition to QUICK

    @property
    def root(self) -> Path:
        """Return the folder of the Go module."""
        return MODULES_FOLDER / self.module

    def digest(self) -> bytes:
        """Return a digest of the module's files and its build settings."""
        digest = hashlib.sha256()
        own_files = {self.modfile, self.modfile.replace(".mod", ".sum")}
        for path in sorted(self.root.rglob("*")):
            other_release = path.parent == self.root and path.suffix in {".mod", ".sum"} and path.name not in own_files
            if path.is_file() and not other_release:
                digest.update(f"{path.relative_to(self.root)}\0".encode() + path.read_bytes() + b"\0")
        settings = (self.programs, self.variables, self.compiler_flags)
        digest.update(repr([sorted(setting.items()) for setting in settings]).encode())
        return digest.digest()


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One folder of the toolchain, with the programs of its builds."""

    name: str
    builds: tuple[Build, ...]
    minutes: float  # on two cores, with an empty build cache

    @property
    def main(self) -> Build:
        """Return the build that the artifact is named after."""
        return self.builds[0]

    def key(self, go_version: str) -> str:
        """Return twelve hexadecimal digits of a digest of everything that the artifact is built from."""
        digest = hashlib.sha256(repr((RECIPE_VERSION, go_version, platform.machine())).encode())
        for build in self.builds:
            digest.update(build.digest())
        return digest.hexdigest()[:12]


ENGINE = Artifact(
    name="engine",
    builds=(
        Build(
            module="engine",
            programs={
                "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi": "pulumi",
                "./cmd/pulumi-resource-kubernetes": "pulumi-resource-kubernetes",
                "./cmd/pulumi-resource-tls": "pulumi-resource-tls",
            },
            variables={
                f"{PULUMI_SDK}/go/common/version.Version": "v3.218.0",
                f"{PULUMI_KUBERNETES}/pkg/version.Version": "4.25.0",
            },
            # Without optimisation, because these typed copies of every Kubernetes API would take half of the build
            # time. The provider needs them only for a component that this project does not use.
            compiler_flags={"github.com/pulumi/pulumi-kubernetes/sdk/v4/...": "-N -l"},
        ),
        # The language host is older than the engine: later releases are not a separate Go package. The host must be in
        # the engine's folder, because the engine warns of one elsewhere on PATH at each command.
        Build(
            module="language-host",
            programs={f"{PULUMI_SDK}/python/cmd/pulumi-language-python": "pulumi-language-python"},
        ),
    ),
    minutes=5.5,
)
# `make review` renders charts with this Helm, built from the engine's module. So Helm has the version that the
# Kubernetes provider uses.
HELM = Artifact(
    name="helm",
    builds=(
        Build(
            module="engine",
            programs={"helm.sh/helm/v3/cmd/helm": "helm"},
            variables={"helm.sh/helm/v3/internal/version.version": "v3.18.6"},
        ),
    ),
    minutes=1,
)
KUBERNETES = Artifact(
    name="kubernetes",
    builds=(
        Build(
            module="kubernetes",
            programs={
                "go.etcd.io/etcd/server/v3": "etcd",
                "k8s.io/kubernetes/cmd/kube-apiserver": "kube-apiserver",
                "k8s.io/kubernetes/cmd/kube-controller-manager": "kube-controller-manager",
                "k8s.io/kubernetes/cmd/kube-scheduler": "kube-scheduler",
                "sigs.k8s.io/kwok/cmd/kwok": "kwok",
            },
            variables=KUBERNETES_VERSION,
        ),
    ),
    minutes=4,
)
KUBECTL = Artifact(
    name="kubectl",
    builds=(
        Build(
            module="kubernetes",
            programs={"k8s.io/kubernetes/cmd/kubectl": "kubectl"},
            variables=KUBERNETES_VERSION,
        ),
    ),
    minutes=0.5,
)
# Only the lab's data plane (`$LAB_DATAPLANE`) needs it. Its own go.mod, so that a change of it rebuilds nothing else.
KUBE_PROXY = Artifact(
    name="kube-proxy",
    builds=(
        Build(
            module="kubernetes",
            modfile="kube-proxy.mod",
            programs={"k8s.io/kubernetes/cmd/kube-proxy": "kube-proxy"},
            variables=KUBERNETES_VERSION,
        ),
    ),
    minutes=1,
)
# Serves `kubectl exec`, port-forward and logs for the containers of the data plane.
KUBELET = Artifact(
    name="kubelet", builds=(Build(module="kubelet", programs={"./cmd/kubelet": "kubelet"}),), minutes=0.3
)
# Charts other than Linkerd's; nothing is compiled.
CHARTS = Artifact(name="charts", builds=(Build(module="add-ons", programs={}),), minutes=0.1)
# Separate from `charts`, because only stacks with Cilium need these archives.
CILIUM = Artifact(name="cilium", builds=(Build(module="cilium", programs={}),), minutes=0.2)
# A contender of the benchmarks; `make bench` builds it. Its go.mod repeats the replacements in helmfile's own go.mod.
HELMFILE = Artifact(
    name="helmfile",
    builds=(Build(module="helmfile", programs={"github.com/helmfile/helmfile": "helmfile"}),),
    minutes=4,
)
# Checks GitHub workflows; only `make lint` needs and builds it.
ACTIONLINT = Artifact(
    name="actionlint",
    builds=(Build(module="actionlint", programs={"github.com/rhysd/actionlint/cmd/actionlint": "actionlint"}),),
    minutes=0.3,
)


def linkerd_artifact(linkerd_release: str) -> Artifact:
    """Return the artifact of one Linkerd release, such as `2.14.10`: CLI, service mirror and charts."""
    build = Build(
        module="linkerd",
        modfile=f"stable-{linkerd_release}.mod",
        programs={f"{LINKERD}/cli": "linkerd", "./cmd/service-mirror": "service-mirror"},
        variables={f"{LINKERD}/pkg/version.Version": f"stable-{linkerd_release}"},
    )
    return Artifact(name=f"linkerd-{linkerd_release}", builds=(build,), minutes=1.5)


# The release of the lab's stacks, the last stable one.
LAB_LINKERD = linkerd_artifact("2.14.10")

ARTIFACTS: Mapping[str, Artifact] = {
    artifact.name: artifact
    for artifact in (
        ENGINE,
        HELM,
        KUBERNETES,
        KUBECTL,
        KUBE_PROXY,
        KUBELET,
        LAB_LINKERD,
        linkerd_artifact("2.13.5"),
        CHARTS,
        CILIUM,
        HELMFILE,
        ACTIONLINT,
    )
}
