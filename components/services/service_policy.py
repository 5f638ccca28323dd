"""Policies of a declared service: a Server per port, and the permissions of its clients.

Follows https://linkerd.io/2/reference/authorization-policy/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.services.authorization_policy import POLICY_GROUP, Protocol, server_spec
from components.services.traffic_component import TrafficComponent
from components.traffic_order import restrict_after
from mesh.config.models.services import PolicyForm, PortProtocol
from mesh.service_policy import ANY_NETWORK, Permission
from mesh.service_ports import ServicePort

_PROTOCOLS: Mapping[PortProtocol, Protocol] = {
    "detect": "unknown",
    "http": "HTTP/1",
    "http2": "HTTP/2",
    "grpc": "gRPC",
    "tcp": "opaque",
}


# Labels by which a ServerAuthorization selects its Server: it cannot refer to a name with a dot, as these Servers have.
SERVICE_LABEL = "multicluster-mesh/service"
PORT_LABEL = "multicluster-mesh/port"


@dataclass(frozen=True, kw_only=True)
class ProtectedPort:
    """A port of pods with a policy."""

    target: int | str  # number or name of the pods' port
    protocol: Protocol

    @property
    def name(self) -> str:
        """Return the port for names of objects, which have only lower-case letters."""
        return str(self.target).lower()


def protected_ports(ports: Sequence[ServicePort]) -> list[ProtectedPort]:
    """Return the ports of the pods, each of them once: Linkerd applies only one Server to a port.

    Args:
        ports: the ports of the service.
    """
    by_target: dict[int | str, Protocol] = {}
    for port in ports:
        by_target.setdefault(port.target, _PROTOCOLS[port.protocol])
    return [ProtectedPort(target=target, protocol=protocol) for target, protocol in by_target.items()]


def server_authorization_spec(server_labels: Mapping[str, str], permission: Permission) -> dict[str, Any]:
    """Return the spec of a ServerAuthorization.

    Args:
        server_labels: labels of the Server.
        permission: the clients.
    """
    client: dict[str, Any] = {}
    if permission.identities:
        client["meshTLS"] = {"identities": list(permission.identities)}
    elif permission.needs_tls:
        client["meshTLS"] = {"unauthenticatedTLS": True}
    else:
        client["unauthenticated"] = True
    # Without networks, Linkerd requires an address in its `clusterNetworks`.
    client["networks"] = [{"cidr": network} for network in permission.networks or ANY_NETWORK]
    return {"server": {"selector": {"matchLabels": dict(server_labels)}}, "client": client}


def create_policies(
    component: TrafficComponent,
    service: str,
    form: PolicyForm,
    ports: Sequence[ProtectedPort],
    selector: Mapping[str, str],
    permissions: Sequence[Permission],
) -> list[pulumi.Resource]:
    """Allow only some clients to call a service, and return the Servers, which are created last.

    Args:
        component: component of the service.
        service: name of the service.
        form: form of the permissions.
        ports: ports of the pods.
        selector: labels of the pods.
        permissions: the clients.
    """
    # The control plane contains the validating webhook, and is installed after the CRDs.
    control_plane = component.namespace.mesh_cluster.linkerd.control_plane
    authentications = {}
    if form == "authorization-policy":
        authentications = {
            permission.name: list(_create_authentications(component, service, permission, control_plane))
            for permission in permissions
        }
    servers: list[pulumi.Resource] = []
    for port in ports:
        server = f"{service}{component.separator}{port.name}"
        labels = {SERVICE_LABEL: service, PORT_LABEL: port.name}
        created: list[pulumi.Resource] = []
        for permission in permissions:
            role = f"policy-{port.name}.{permission.name}"
            name = f"{server}{component.separator}{permission.name}"
            if form == "server-authorization":
                spec, kind, version = server_authorization_spec(labels, permission), "ServerAuthorization", "v1beta1"
                depends_on = [control_plane]
            else:
                references = [reference for reference, _ in authentications[permission.name]]
                spec, kind, version = _policy_spec(server, references), "AuthorizationPolicy", "v1alpha1"
                # Hidden dependency: without its authentication, the policy allows no client.
                depends_on = [control_plane, *(resource for _, resource in authentications[permission.name])]
            created.append(
                component.create_custom_object(role, f"{POLICY_GROUP}/{version}", kind, name, spec, depends_on)
            )
        role = f"server-{port.name}"
        servers.append(
            component.create_custom_object(
                role,
                f"{POLICY_GROUP}/v1beta1",
                "Server",
                server,
                server_spec(selector, port.target, port.protocol),
                [control_plane],
                labels=labels,
                # Linkerd denies all requests to the port of a Server without authorizations.
                opts=restrict_after(component.resource_name(role), created),
            )
        )
    return servers


def _create_authentications(
    component: TrafficComponent,
    service: str,
    permission: Permission,
    control_plane: pulumi.Resource,
) -> Iterator[tuple[dict[str, str], pulumi.Resource]]:
    """Create the authentications that a client needs, and yield the reference and the resource of each."""
    specs: dict[str, dict[str, Any]] = {}
    if permission.identities:
        specs["MeshTLSAuthentication"] = {"identities": list(permission.identities)}
    if permission.networks or not permission.identities:
        networks = permission.networks or ANY_NETWORK
        specs["NetworkAuthentication"] = {"networks": [{"cidr": network} for network in networks]}
    for kind, spec in specs.items():
        role = f"{'identities' if kind == 'MeshTLSAuthentication' else 'networks'}-of-{permission.name}"
        name = f"{service}{component.separator}{permission.name}"
        resource = component.create_custom_object(role, f"{POLICY_GROUP}/v1alpha1", kind, name, spec, [control_plane])
        yield {"group": POLICY_GROUP, "kind": kind, "name": name}, resource


def _policy_spec(server: str, references: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "targetRef": {"group": POLICY_GROUP, "kind": "Server", "name": server},
        "requiredAuthenticationRefs": [dict(each) for each in references],
    }
