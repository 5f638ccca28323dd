"""Who may call a sample's port: Linkerd's policy in its older form, a ServerAuthorization, or its newer one.

Follows https://linkerd.io/2.14/reference/authorization-policy/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from components.workloads.manifests import SampleObjects
from components.workloads.sample_namespace import SampleNamespace

PolicyForm = Literal["server-authorization", "authorization-policy"]
Protocol = Literal["HTTP/1", "HTTP/2", "gRPC"]

_GROUP = "policy.linkerd.io"


def server_spec(selector: Mapping[str, str], port: str, protocol: Protocol) -> dict[str, Any]:
    """The spec of a Server.

    Args:
        selector: the labels of its pods.
        port: the name of their port.
        protocol: what is spoken there.
    """
    return {"podSelector": {"matchLabels": dict(selector)}, "port": port, "proxyProtocol": protocol}


def authorization_spec(server: str, accounts: Sequence[str]) -> dict[str, Any]:
    """The spec of a ServerAuthorization.

    Args:
        server: the Server's name.
        accounts: service accounts of the same namespace that may call it; none of them named, every meshed pod.
    """
    clients: dict[str, Any] = {"identities": ["*"]}
    if accounts:
        clients = {"serviceAccounts": [{"name": account} for account in accounts]}
    return {"server": {"name": server}, "client": {"meshTLS": clients}}


def authentication_spec(accounts: Sequence[str]) -> dict[str, Any]:
    """The spec of a MeshTLSAuthentication.

    Args:
        accounts: service accounts of the same namespace; none of them named, every meshed pod.
    """
    if not accounts:
        return {"identities": ["*"]}
    return {"identityRefs": [{"kind": "ServiceAccount", "name": account} for account in accounts]}


def allow_access(
    objects: SampleObjects,
    place: SampleNamespace,
    form: PolicyForm,
    name: str,
    *,
    selector: Mapping[str, str],
    port: str,
    protocol: Protocol,
    accounts: Sequence[str] = (),
) -> None:
    """Let only some meshed pods call a port.

    Args:
        objects: makes the sample's objects.
        place: where they are.
        form: of the policy.
        name: what its objects are called.
        selector: the labels of the pods that are called.
        port: the name of their port.
        protocol: what is spoken there.
        accounts: service accounts of the same namespace that may call; none of them named, every meshed pod.
    """
    # The kinds come with Linkerd's CRDs, and Linkerd's webhook looks at what is made of them.
    before = [place.mesh_cluster.linkerd.control_plane]
    server = server_spec(selector, port, protocol)
    objects.custom(f"{name}-server", f"{_GROUP}/v1beta1", "Server", name, server, before)
    if form == "server-authorization":
        spec = authorization_spec(name, accounts)
        objects.custom(f"{name}-authorization", f"{_GROUP}/v1beta1", "ServerAuthorization", name, spec, before)
        return
    objects.custom(
        f"{name}-authentication",
        f"{_GROUP}/v1alpha1",
        "MeshTLSAuthentication",
        name,
        authentication_spec(accounts),
        before,
    )
    policy = {
        "targetRef": {"group": _GROUP, "kind": "Server", "name": name},
        "requiredAuthenticationRefs": [{"group": _GROUP, "kind": "MeshTLSAuthentication", "name": name}],
    }
    objects.custom(f"{name}-policy", f"{_GROUP}/v1alpha1", "AuthorizationPolicy", name, policy, before)
