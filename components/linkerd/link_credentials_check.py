"""Trial of a link's credentials, from this machine, before the source receives them.

The source's pods are in another network than this machine, so an address that cannot be reached is only a warning. A
server that answers must present a certificate that the credentials' CA has signed, and must accept the token.
"""

from __future__ import annotations

import json
import ssl
import time

import yaml

from mesh import config

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube.client import KubeClient
from mesh.kube.connection import Access, build_api_client
from mesh.kube.errors import (
    ApiUnreachableError,
    BadCredentialsError,
    CertificateError,
    KubeError,
    NotReadableError,
    TlsError,
    UnauthorizedError,
    credentials_error,
)
from mesh.message_format import format_path
from mesh.topology import Link

REQUEST_TIMEOUT_S = 5.0
# Several API servers behind one address do not learn of a new token and its permissions at the same time.
ACCEPTANCE_TIMEOUT_S = 5.0
_RETRY_INTERVAL_S = 0.5
# The first request of a service mirror.
_SERVICES_PATH = "/api/v1/services?limit=1"


class LinkCredentialsError(Exception):
    """The credentials of a link do not work at the address of the target's API server."""


class _NoApiServerError(KubeError):
    """The server is no Kubernetes API server."""


def check_link_credentials(kubeconfig: str, link: Link, target: config.ClusterSettings) -> str | None:
    """Try a link's credentials once, and return a warning if this machine cannot reach the address.

    Args:
        kubeconfig: the credentials.
        link: the link, for messages.
        target: settings of the target cluster.

    Raises:
        LinkCredentialsError: the server there cannot be verified, or does not accept the credentials.
    """
    path, label = format_path(("clusters", target.name, "apiServer")), f"the credentials of the link {link.name}"
    subject = f"{path}: {json.dumps(target.api_server)}"
    skipped = f"{subject}: {label} were not tried from this machine: {{}}; check that {link.source} reaches this URL"
    try:
        client = _connect(kubeconfig, target)
    except BadCredentialsError as error:  # for example, a proxy that the client does not support
        return skipped.format(error)
    try:
        _list_services(client, time.monotonic() + ACCEPTANCE_TIMEOUT_S)
    except (TlsError, BadCredentialsError, NotReadableError, _NoApiServerError) as error:
        rule, remedy = _describe(error, target.name, path)
        raise LinkCredentialsError(f"{subject}: {label} do not work there: {rule}; {remedy}") from None
    except ApiUnreachableError as error:
        return skipped.format(error)
    return None


def _connect(kubeconfig: str, target: config.ClusterSettings) -> KubeClient:
    """Return a client that verifies the server as Linkerd's controllers do, and sends requests as this machine does."""
    content = yaml.safe_load(kubeconfig)
    (cluster,) = (entry["cluster"] for entry in content["clusters"])
    if target.context.proxy_url:
        cluster["proxy-url"] = target.context.proxy_url
    access = Access(context=target.name, kubeconfig=yaml.safe_dump(content))
    try:
        client = build_api_client(access)
    except Exception as error:  # as of `mesh.kube.client.connect`
        raise credentials_error(error) from None
    # Go accepts a CA that is no root, and is less strict than Python 3.13 with the CA's extensions.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
    if "certificate-authority-data" not in cluster:
        context.load_default_certs()
    client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
    return KubeClient(client, REQUEST_TIMEOUT_S)


def _list_services(client: KubeClient, deadline: float) -> None:
    while True:
        try:
            services = client.get(_SERVICES_PATH, "the list of Services")
        except CertificateError:
            raise
        except (TlsError, UnauthorizedError, NotReadableError):
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_INTERVAL_S)
            continue
        if services is None or services.get("kind") != "ServiceList":
            raise _NoApiServerError("the server is no Kubernetes API server")
        return


def _describe(error: KubeError, target: str, path: str) -> tuple[str, str]:
    """Return rule and remedy for an error."""
    own_url = f"{path} to the URL of the API server itself"
    if isinstance(error, CertificateError) and error.is_name_mismatch:
        return str(error), f"set {path}.tlsServerName to a name in the certificate, or {path}.url to an address in it"
    if isinstance(error, CertificateError):
        return str(error), f"set {path}.certificateAuthority to the CA of this certificate, or {own_url}"
    if isinstance(error, UnauthorizedError):
        rule = f"the server refuses the token of {target}'s service account (HTTP 401)"
        return rule, f"set {own_url}, because a proxy in front of it can require tokens of its own"
    if isinstance(error, NotReadableError):
        return f"the token cannot read {error}", f"set {own_url}"
    return str(error), f"set {own_url}"
