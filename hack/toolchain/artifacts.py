"""The parts of the toolchain: which pinned Go modules each is built from, and which programs come out."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODULES = Path(__file__).parent

PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
PULUMI_KUBERNETES = "github.com/pulumi/pulumi-kubernetes/provider/v4"
LINKERD = "github.com/linkerd/linkerd2"

# What the recipes in build.py do beside `go build`; raise it when they change, so that installed parts are made anew.
RECIPE = "1"

KUBERNETES_VERSION = {
    f"k8s.io/component-base/version.{name}": value
    for name, value in {"gitVersion": "v1.36.3", "gitMajor": "1", "gitMinor": "36", "gitTreeState": "clean"}.items()
}

# Debug information is of no use here and costs a tenth of the time.
QUICK = "-dwarf=false"


@dataclass(frozen=True, kw_only=True)
class Build:
    """One run of `go build`, in one pinned module."""

    module: str  # the folder in toolchain/ that holds its go.mod and go.sum
    programs: Mapping[str, str]  # Go package → the program's file name; none where only files are taken from modules
    modfile: str = "go.mod"
    variables: Mapping[str, str] = field(default_factory=dict)  # Go string variables that the linker sets
    compiler_flags: Mapping[str, str] = field(default_factory=dict)  # package pattern → flags, beside QUICK

    @property
    def root(self) -> Path:
        """The folder of the Go module."""
        return MODULES / self.module

    def digest(self) -> bytes:
        """Changes whenever the module's own files or the way it is built do."""
        digest = hashlib.sha256()
        ours = {self.modfile, self.modfile.replace(".mod", ".sum")}
        for path in sorted(self.root.rglob("*")):
            other_release = path.parent == self.root and path.suffix in {".mod", ".sum"} and path.name not in ours
            if path.is_file() and not other_release:
                digest.update(f"{path.relative_to(self.root)}\0".encode() + path.read_bytes() + b"\0")
        settings = (self.programs, self.variables, self.compiler_flags)
        digest.update(repr([sorted(setting.items()) for setting in settings]).encode())
        return digest.digest()


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One folder of the toolchain, with the programs that its builds make."""

    name: str
    builds: tuple[Build, ...]
    minutes: float  # on two cores, with nothing compiled before

    @property
    def main(self) -> Build:
        """The build after which the part is named."""
        return self.builds[0]

    def key(self, go_version: str) -> str:
        """Twelve hexadecimal digits that change whenever anything that the part is built from does."""
        digest = hashlib.sha256(repr((RECIPE, go_version, platform.machine())).encode())
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
            # Typed copies of every Kubernetes API, which the provider needs for a component that we don't use: half
            # of the whole build when they are optimised.
            compiler_flags={"github.com/pulumi/pulumi-kubernetes/sdk/v4/...": "-N -l"},
        ),
        # Of an older release than the engine: the last one that is a Go package of its own. It must be in the
        # engine's own folder: from elsewhere on PATH, the engine warns of it at each command.
        Build(
            module="language-host",
            programs={f"{PULUMI_SDK}/python/cmd/pulumi-language-python": "pulumi-language-python"},
        ),
    ),
    minutes=5.5,
)
# Renders charts for `make review`: of the engine's module, so that it is the very Helm that the provider installs with.
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
# What the lab offers beside Linkerd: nothing is compiled.
CHARTS = Artifact(name="charts", builds=(Build(module="add-ons", programs={}),), minutes=0.1)
# Of no use to a stack without Cilium, and so not of the parts that `make up` builds for all.
CILIUM = Artifact(name="cilium", builds=(Build(module="cilium", programs={}),), minutes=0.2)
# One of the ways that figures compare; `make bench` builds it. Its go.mod repeats the replacements of helmfile's own.
HELMFILE = Artifact(
    name="helmfile",
    builds=(Build(module="helmfile", programs={"github.com/helmfile/helmfile": "helmfile"}),),
    minutes=4,
)
# Judges workflows for `make lint`, which builds it; nothing else needs it.
ACTIONLINT = Artifact(
    name="actionlint",
    builds=(Build(module="actionlint", programs={"github.com/rhysd/actionlint/cmd/actionlint": "actionlint"}),),
    minutes=0.3,
)


def linkerd(release: str) -> Artifact:
    """The CLI, the service mirror and the charts of one Linkerd release, for example `2.14.10`."""
    build = Build(
        module="linkerd",
        modfile=f"stable-{release}.mod",
        programs={f"{LINKERD}/cli": "linkerd", "./cmd/service-mirror": "service-mirror"},
        variables={f"{LINKERD}/pkg/version.Version": f"stable-{release}"},
    )
    return Artifact(name=f"linkerd-{release}", builds=(build,), minutes=1.5)


ARTIFACTS: Mapping[str, Artifact] = {
    part.name: part
    for part in (
        ENGINE,
        HELM,
        KUBERNETES,
        KUBECTL,
        linkerd("2.14.10"),
        linkerd("2.13.5"),
        CHARTS,
        CILIUM,
        HELMFILE,
        ACTIONLINT,
    )
}
