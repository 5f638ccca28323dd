"""Containers and pod annotations of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh import config


def container_spec(
    name: str,
    image: str,
    *,
    ports: Mapping[str, int] | None = None,
    probe: Mapping[str, Any] | None = None,
    cpu: str = "10m",
    memory: str = "32Mi",
    memory_limit: str = "128Mi",
    extra_fields: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a container with minimal privileges.

    Args:
        name: name of the container.
        image: image of the container.
        ports: container ports, by name.
        probe: readiness probe.
        cpu: requested CPU.
        memory: requested memory.
        memory_limit: limit of the memory.
        extra_fields: further fields of the container.
    """
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if ports:
        container["ports"] = [{"name": port, "containerPort": number} for port, number in ports.items()]
    if probe is not None:
        container["readinessProbe"] = dict(probe)
    return {**container, **(extra_fields or {})}


def environment(variables: Mapping[str, str]) -> list[dict[str, str]]:
    """Return environment variables in the form of a container's `env`."""
    return [{"name": name, "value": value} for name, value in variables.items()]


def pod_annotations(sample: config.Sample) -> dict[str, str]:
    """Return Linkerd's annotations of a pod.

    The annotations override those of the namespace, so samples can share a namespace.
    """
    annotations = {"linkerd.io/inject": "enabled" if sample.config.meshed else "disabled"}
    policy = sample.config.default_inbound_policy
    if policy is not None:
        annotations["config.linkerd.io/default-inbound-policy"] = policy
    return annotations
