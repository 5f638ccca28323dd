"""Amounts of memory, as Kubernetes writes them.

Follows https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/.
"""

from __future__ import annotations

from collections.abc import Mapping

# Whole numbers with a unit.
MEMORY = r"^[1-9][0-9]*(k|M|G|T|Ki|Mi|Gi|Ti)$"
_MEMORY_UNITS: Mapping[str, int] = {
    **{unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T"), 1)},
    **{unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}


def memory_bytes(quantity: str) -> int:
    """Return an amount of memory, such as 512Mi, in bytes."""
    number = quantity.rstrip("kKMGTi")
    return int(number) * _MEMORY_UNITS[quantity[len(number) :]]
