"""Settings of the stack file that apply to the owner of an object, for remedies."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Charts whose images, nodes and tolerations are settings below `linkerd`.
_LINKERD_CHARTS = frozenset(
    {
        "linkerd-crds",
        "linkerd-control-plane",
        "linkerd2-cni",
        "linkerd-multicluster",
        "linkerd-viz",
        "linkerd-jaeger",
        "linkerd-smi",
        "service-mirror",
    }
)
_SHELL_CHARACTER = re.compile(r"[^\w ./:=,@-]")


@dataclass(frozen=True, kw_only=True)
class RemedySettings:
    """Names for messages and remedies: the owner of the objects, and its settings in the stack file."""

    cluster: str  # name in the stack file
    owner: str  # name of the Helm release or the sample
    chart: str = ""  # name of the release's chart; empty: a sample
    context: str = ""  # context in the user's kubeconfig, for commands; empty: none is named

    @property
    def subject(self) -> str:
        """Return cluster and owner for a message."""
        return f"{self.cluster}: {self.owner}"

    def kubectl(self, command: str, namespace: str = "") -> str:
        """Return a kubectl command for the cluster, in which no name can be anything else to a shell."""
        context = f" --context {self.context}" if self.context else ""
        flags = f"{context}{f' -n {namespace}' if namespace else ''}"
        return f"`{_SHELL_CHARACTER.sub('_', f'kubectl{flags} {command}')}`"

    @property
    def is_linkerd(self) -> bool:
        """Return whether the settings below `linkerd` apply."""
        return self.chart in _LINKERD_CHARTS

    def linkerd(self, setting: str) -> str:
        """Return the path of a setting of Linkerd for the cluster."""
        return f"clusters.{self.cluster}.linkerd.{setting}"

    @property
    def values(self) -> str | None:
        """Return the path of the chart's values; None: samples have none."""
        if self.is_linkerd:
            return f"`{self.linkerd(f'values.{self.chart}')}`"
        if self.chart == "metallb":
            return "`extensions.metallb.values`"
        if self.chart == "ingress-nginx":
            return "`extensions.ingressNginx.values`"
        if self.chart == "cilium":
            return f"`clusters.{self.cluster}.cilium.values`"
        return f"the values of the chart `{self.chart}`" if self.chart else None

    def or_in_values(self, remedy: str) -> str:
        """Return a remedy by the chart's values, as the end of another one; empty for a sample."""
        return f", or {remedy} in {self.values}" if self.values else ""


def image_source(settings: RemedySettings, container: str) -> str:
    """Return the settings that determine an image."""
    return (
        "`linkerd.registry` and `linkerd.version`"
        if _is_linkerd_image(settings, container)
        else _image(settings, container)
    )


def registry_source(settings: RemedySettings, container: str) -> str:
    """Return the setting that determines the registry of an image."""
    return "`linkerd.registry`" if _is_linkerd_image(settings, container) else _image(settings, container)


def correct_image(settings: RemedySettings, container: str) -> str:
    """Return the remedy for an image that does not exist."""
    return f"correct {image_source(settings, container)}, or push the image to this registry"


def set_registry_credentials(settings: RemedySettings, container: str) -> str:
    """Return the remedy for a registry that refuses the credentials."""
    return (
        "set `imagePullSecret` or `linkerd.imagePullSecrets` to credentials for this registry; for a wrong name, "
        f"correct {image_source(settings, container)}"
    )


def _is_linkerd_image(settings: RemedySettings, container: str) -> bool:
    """Return whether an image is Linkerd's own; its containers are injected into the pods of samples too."""
    return (settings.is_linkerd and container != "prometheus") or container.startswith("linkerd-")


def _image(settings: RemedySettings, container: str) -> str:
    return (
        f"the image in {settings.values}" if settings.values else f"`workloads[].{settings.owner}.images.{container}`"
    )
