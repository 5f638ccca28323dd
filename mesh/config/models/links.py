"""Models of a link's options."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mesh.config.base_model import StrictModel, Values
from mesh.config.field_types import Duration, LabelKey, LabelPattern, LabelValue
from mesh.kube.constants import EXPORTED_LABEL, FEDERATED_LABEL


class ServiceMirrorConfig(StrictModel):
    """Service mirror: the controller that mirrors the target's services in the source."""

    replicas: Annotated[int, Field(ge=1, le=10)] | None = None
    """Number of pods, of which one is active; omitted: 1, or 3 with `highAvailability`. Needs Linkerd 2.14 or later."""
    log_level: Literal["error", "warn", "info", "debug", "trace"] | None = None
    """Log level; omitted: info."""
    log_format: Literal["plain", "json"] | None = None
    """Log format; omitted: plain."""
    retry_limit: Annotated[int, Field(ge=0, le=100)] | None = None
    """Number of retries of a failed operation; omitted: 3."""
    resources: Values = {}
    """Resources of the container, in the form of Kubernetes: `requests` and `limits`."""
    headless_services: bool = False
    """Whether headless services are mirrored as headless services, with one service per pod."""


class ProbeConfig(StrictModel):
    """Health probe of the target's gateway."""

    failure_threshold: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of consecutive failures after which the gateway counts as unavailable; omitted: 3."""
    timeout: Duration | None = None
    """Timeout of a probe, with its unit; omitted: 30s."""


class SelectorsConfig(StrictModel):
    """Labels of the target's services that the link mirrors. A service must have all of them."""

    gateway: dict[LabelKey, LabelValue] = {EXPORTED_LABEL: "true"}
    """Labels of services that the source reaches through the gateway."""
    remote_discovery: dict[LabelKey, LabelValue] = {EXPORTED_LABEL: "remote-discovery"}
    """Labels of services whose pods the source reaches directly."""
    federated: dict[LabelKey, LabelValue] = {FEDERATED_LABEL: "member"}
    """Labels of services that join a federated service."""


class LinkOptions(StrictModel):
    """Options of a link."""

    gateway: bool | None = None
    """Whether requests pass through the target's gateway. With `false`, pods connect directly on a flat network, from
    Linkerd 2.14; omitted: true, unless both clusters have the same `networks.flat`."""
    service_mirror: ServiceMirrorConfig = ServiceMirrorConfig()
    """Service mirror of the link."""
    probe: ProbeConfig = ProbeConfig()
    """Health probe of the target's gateway. Needs edge-24.9.3 or later."""
    selectors: SelectorsConfig = SelectorsConfig()
    """Labels of the target's services that the link mirrors."""
    excluded_labels: list[LabelPattern] = []
    """Labels that mirrors do not copy: keys, or a prefix such as example.com/*. Needs Linkerd 2.18 or later."""
    excluded_annotations: list[LabelPattern] = []
    """Annotations that mirrors do not copy: keys, or a prefix such as example.com/*. Needs Linkerd 2.18 or later."""
