"""Authorization of clients at a port: a ServerAuthorization or the newer AuthorizationPolicy.

Follows https://linkerd.io/2.14/reference/authorization-policy/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pulumi

from components.services.traffic_component import TrafficComponent
from components.traffic_order import restrict_after
from mesh.config.models.samples import PolicyClientsConfig
from mesh.config.models.services import PolicyForm

Protocol = Literal["unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque"]

POLICY_GROUP = "policy.linkerd.io"


def server_spec(selector: Mapping[str, str], port: int | str, protocol: Protocol) -> dict[str, Any]:
    """Return the spec of a Server.

    Args:
        selector: labels of the pods.
        port: number or name of the pods' port.
        protocol: protocol of the port.
    """
    return {"podSelector": {"matchLabels": dict(selector)}, "port": port, "proxyProtocol": protocol}


def authorization_spec(
    server: str, accounts: Sequence[str], clients: PolicyClientsConfig | None = None
) -> dict[str, Any]:
    """Return the spec of a ServerAuthorization.

    Args:
        server: name of the Server.
        accounts: service accounts of the same namespace to authorize; empty for all meshed pods.
        clients: the user's clients, which replace the accounts; None for the accounts.
    """
    mesh_tls: dict[str, Any] = {"identities": ["*"]}
    if clients is not None and clients.unauthenticated_tls:
        mesh_tls = {"unauthenticatedTLS": True}
    elif clients is not None and clients.identities:
        mesh_tls = {"identities": list(clients.identities)}
    elif accounts:
        mesh_tls = {"serviceAccounts": [{"name": account} for account in accounts]}
    return {"server": {"name": server}, "client": {"meshTLS": mesh_tls}}


def authentication_spec(accounts: Sequence[str], clients: PolicyClientsConfig | None = None) -> dict[str, Any]:
    """Return the spec of a MeshTLSAuthentication.

    Args:
        accounts: service accounts of the same namespace; empty for all meshed pods.
        clients: the user's clients, which replace the accounts; None for the accounts.
    """
    if clients is not None and clients.identities:
        return {"identities": list(clients.identities)}
    if not accounts:
        return {"identities": ["*"]}
    return {"identityRefs": [{"kind": "ServiceAccount", "name": account} for account in accounts]}


def allow_access(
    component: TrafficComponent,
    form: PolicyForm,
    name: str,
    *,
    selector: Mapping[str, str],
    port: str,
    protocol: Protocol,
    accounts: Sequence[str] = (),
    clients: PolicyClientsConfig | None = None,
) -> pulumi.Resource:
    """Authorize only some clients at a port, and return the Server, which is created last.

    Args:
        component: component of the service.
        form: form of the policy.
        name: name of the policy's objects.
        selector: labels of the server's pods.
        port: name of the pods' port.
        protocol: protocol of the port.
        accounts: service accounts of the same namespace to authorize; empty for all meshed pods.
        clients: the user's clients, which replace the accounts; None for the accounts.
    """
    # The control plane contains the validating webhook, and is installed after the CRDs.
    depends_on = [component.namespace.mesh_cluster.linkerd.control_plane]
    permissions = _create_permissions(component, form, name, accounts, clients, depends_on)
    # Linkerd denies all requests to the port of a Server without authorizations.
    return component.create_custom_object(
        f"{name}-server",
        f"{POLICY_GROUP}/v1beta1",
        "Server",
        name,
        server_spec(selector, port, protocol),
        depends_on,
        opts=restrict_after(component.resource_name(f"{name}-server"), permissions),
    )


def _create_permissions(
    component: TrafficComponent,
    form: PolicyForm,
    name: str,
    accounts: Sequence[str],
    clients: PolicyClientsConfig | None,
    depends_on: Sequence[pulumi.Resource],
) -> list[pulumi.Resource]:
    if form == "server-authorization":
        authorization = component.create_custom_object(
            f"{name}-authorization",
            f"{POLICY_GROUP}/v1beta1",
            "ServerAuthorization",
            name,
            authorization_spec(name, accounts, clients),
            depends_on,
        )
        return [authorization]
    authentication = component.create_custom_object(
        f"{name}-authentication",
        f"{POLICY_GROUP}/v1alpha1",
        "MeshTLSAuthentication",
        name,
        authentication_spec(accounts, clients),
        depends_on,
    )
    spec = {
        "targetRef": {"group": POLICY_GROUP, "kind": "Server", "name": name},
        "requiredAuthenticationRefs": [{"group": POLICY_GROUP, "kind": "MeshTLSAuthentication", "name": name}],
    }
    policy = component.create_custom_object(
        f"{name}-policy",
        f"{POLICY_GROUP}/v1alpha1",
        "AuthorizationPolicy",
        name,
        spec,
        # Hidden dependency: without the authentication, the policy allows no client.
        [*depends_on, authentication],
    )
    return [policy]
