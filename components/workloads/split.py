"""Requests to a service, split between it and others: as a TrafficSplit of the SMI, or as an HTTPRoute.

Follows https://linkerd.io/2.14/tasks/linkerd-smi/, https://github.com/servicemeshinterface/smi-spec (traffic-split) and
https://linkerd.io/2.14/reference/httproute/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.workloads.objects import Objects
from components.workloads.place import Place
from settings.sample_parts import Form, Split


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Who answers a part of the requests."""

    service: str
    port: int
    weight: int


def backends(service: str, port: int, split: Split) -> list[Backend]:
    """The services that a split of a sample's requests leads to.

    Args:
        service: the sample's, which requests are sent to.
        port: its port.
        split: the setting; other clusters' services are their mirrors.
    """
    return [
        Backend(service=service if name == split.cluster else f"{service}-{name}", port=port, weight=weight)
        for name, weight in split.weights.items()
    ]


def traffic_split_spec(service: str, found: Sequence[Backend], *, thousandths: bool = False) -> dict[str, Any]:
    """The spec of a TrafficSplit.

    Args:
        service: whom requests are sent to.
        found: who answers.
        thousandths: whether to write weights as 500m, which v1alpha1 has.
    """
    return {
        "service": service,
        "backends": [
            {"service": each.service, "weight": f"{each.weight}m" if thousandths else each.weight} for each in found
        ],
    }


def http_route_spec(service: str, port: int, found: Sequence[Backend]) -> dict[str, Any]:
    """The spec of an HTTPRoute.

    Args:
        service: whom requests are sent to.
        port: at which port.
        found: who answers.
    """
    answers = [{"name": each.service, "port": each.port, "weight": each.weight} for each in found]
    return {
        "parentRefs": [{"group": "core", "kind": "Service", "name": service, "port": port}],
        "rules": [{"backendRefs": answers}],
    }


def split_requests(
    objects: Objects,
    place: Place,
    role: str,
    name: str,
    *,
    form: Form | None,
    service: str,
    port: int,
    found: Sequence[Backend],
    version: str = "v1alpha1",
    thousandths: bool = False,
) -> None:
    """Split the requests to a service.

    Args:
        objects: makes the sample's objects.
        place: where they are.
        role: the last part of the resource name.
        name: what it is called.
        form: a TrafficSplit or an HTTPRoute; left out, what the cluster has.
        service: whom requests are sent to.
        port: at which port.
        found: who answers.
        version: of a TrafficSplit's API.
        thousandths: whether weights are thousandths.
    """
    spec: Mapping[str, Any]
    if (form or place.cluster.settings.split_form) == "smi":
        smi = place.member.smi
        assert smi is not None, "settings see to it that the cluster has TrafficSplits"
        spec = traffic_split_spec(service, found, thousandths=thousandths)
        # The kind comes with the extension, which makes a ServiceProfile of it.
        objects.custom(role, f"split.smi-spec.io/{version}", "TrafficSplit", name, spec, [smi.extension])
    else:
        spec = http_route_spec(service, port, found)
        route = place.cluster.settings.release.http_route
        # The kind comes with Linkerd's CRDs, and Linkerd's webhook looks at it.
        objects.custom(role, route, "HTTPRoute", name, spec, [place.member.linkerd.control_plane])
