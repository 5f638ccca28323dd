"""Addresses in the status of a LoadBalancer Service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def load_balancer_addresses(status: Mapping[str, Any]) -> list[str]:
    """Return the IPs or host names of a LoadBalancer Service.

    Args:
        status: status of the Service.
    """
    ingress = (status.get("loadBalancer") or {}).get("ingress") or []
    addresses = [entry.get("ip") or entry.get("hostname") for entry in ingress]
    return [address for address in addresses if address]
