"""Splits, failover and routes of one service, which share the backends of its requests.

Linkerd's proxies ignore the routes of a service that has a ServiceProfile, and a request that matches one route does
not reach another. So one kind of object has the weights:

| | no profile | ServiceProfile | HTTPRoutes of a profile |
| --- | --- | --- | --- |
| split of the SMI | TrafficSplit | TrafficSplit, which the smi extension merges into the profile | refused |
| other split, failover | weighted routes | `dstOverrides` of the ServiceProfile | backends of each HTTPRoute |

Follows https://linkerd.io/2/reference/service-profiles/ and https://linkerd.io/2/reference/httproute/.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.services.backends import find_distribution, request_backends
from components.services.exports import Exports
from components.services.service_profile import create_profile
from components.services.traffic_component import TrafficComponent
from components.services.traffic_split import RoutedPort, split_requests
from mesh import config
from mesh.config.models.services import SplitsConfig
from mesh.service_profiles.routes import ProfileRoute


def create_traffic_rules(
    component: TrafficComponent,
    exports: Exports,
    service: str,
    ports: Sequence[RoutedPort],
    splits: SplitsConfig,
    profile: config.Profile | None = None,
    default_routes: Sequence[ProfileRoute] = (),
) -> None:
    """Create the split, the failover and the routes of a service in the component's cluster.

    Args:
        component: component of the service.
        exports: registry of the Services and their mirrors.
        service: service that clients send requests to; with a failover, it needs `failover_annotations`.
        ports: ports of the service.
        splits: splits and failovers of all clusters.
        profile: settings of the routes; None: no routes.
        default_routes: routes of the sample, used if the profile has none.
    """
    distribution = find_distribution(splits, component.cluster.name)
    backends = request_backends(service, distribution) if distribution is not None else []
    split = distribution.split if distribution is not None else None
    form = split.form or component.cluster.settings.split_form if split is not None else "gateway-api"
    if profile is not None:
        own_backends = backends if form == "gateway-api" else []
        create_profile(component, exports, service, ports, profile, default_routes, own_backends)
    if profile is not None and form == "gateway-api":
        # The routes of a profile are HTTPRoutes, and a ServiceProfile includes all ports.
        ports = [port for port in ports if profile.form == "gateway-api" and port.kind != "HTTPRoute"]
    if distribution is not None and (ports or form == "smi"):
        # The name of a failover differs from a split's, because both exist while one replaces the other.
        name = service if split is not None else f"{service}{component.separator}failover"
        version = split.smi_version if split is not None else "v1alpha1"
        split_requests(
            component,
            exports,
            distribution.role,
            name,
            form=form,
            service=service,
            ports=ports,
            backends=backends,
            version=version,
        )
