"""The part of a stack file that says what a link is like, beside its two ends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mesh.config.base_model import StrictModel, Values
from mesh.config.field_types import Duration, LabelKey, LabelPattern, LabelValue


class ServiceMirrorConfig(StrictModel):
    """The controller that mirrors the target's services in the source."""

    replicas: Annotated[int, Field(ge=1, le=10)] | None = None
    """How many pods it has, of which one is at work; left out, 1, or 3 with `highAvailability` (from 2.14)."""
    log_level: Literal["error", "warn", "info", "debug", "trace"] | None = None
    """How much it logs; left out, info."""
    log_format: Literal["plain", "json"] | None = None
    """How it logs; left out, plain."""
    retry_limit: Annotated[int, Field(ge=0, le=100)] | None = None
    """How often it tries again what failed; left out, 3."""
    resources: Values = {}
    """What its container asks for and may have, as Kubernetes has it: `requests` and `limits`."""
    headless_services: bool = False
    """True: mirror headless services as such, with a service for each of their pods."""


class ProbeConfig(StrictModel):
    """How the source probes the target's gateway."""

    failure_threshold: Annotated[int, Field(ge=1, le=100)] | None = None
    """How many probes in a row must fail before the gateway counts as dead; left out, 3."""
    timeout: Duration | None = None
    """How long a probe waits for its answer; left out, 30s."""


class SelectorsConfig(StrictModel):
    """Which of the target's services are mirrored: by labels that they have, all of them."""

    gateway: dict[LabelKey, LabelValue] = {"mirror.linkerd.io/exported": "true"}
    """Those that are reached through the gateway."""
    remote_discovery: dict[LabelKey, LabelValue] = {"mirror.linkerd.io/exported": "remote-discovery"}
    """Those whose pods are reached themselves."""
    federated: dict[LabelKey, LabelValue] = {"mirror.linkerd.io/federated": "member"}
    """Those that join a federated service."""


class LinkOptions(StrictModel):
    """What a link is like."""

    gateway: bool | None = None
    """False: pods reach the target's pods themselves, on one flat network (from 2.14). Left out, true, unless both
    clusters are on the same one by their `networks.flat`."""
    service_mirror: ServiceMirrorConfig = ServiceMirrorConfig()
    """Its controller in the source."""
    probe: ProbeConfig = ProbeConfig()
    """How the source probes the target's gateway (from edge-24.9.3)."""
    selectors: SelectorsConfig = SelectorsConfig()
    """Which of the target's services it is about."""
    excluded_labels: list[LabelPattern] = []
    """Labels that mirrors don't get: keys, or all with a prefix as in example.com/* (from 2.18)."""
    excluded_annotations: list[LabelPattern] = []
    """Annotations that mirrors don't get, in the same way (from 2.18)."""
