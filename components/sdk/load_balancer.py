"""What a load balancer has given a Service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def load_balancer_addresses(status: Mapping[str, Any]) -> list[str]:
    """The addresses of a LoadBalancer Service, IPs or host names.

    Args:
        status: the Service's, as Pulumi has it.
    """
    ingress = (status.get("loadBalancer") or {}).get("ingress") or []
    found = [point.get("ip") or point.get("hostname") for point in ingress]
    return [address for address in found if address]
