"""A link: the source sees the services that the target exports.

Follows what `linkerd multicluster link` prints (https://linkerd.io/2.14/tasks/multicluster/#linking-the-clusters), of
which Linkerd publishes no chart before 2.18.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

import kubeconfig
from components.cluster import Cluster
from components.helm import release
from components.linkerd import NAMESPACE as LINKERD_NAMESPACE
from components.linkerd import Linkerd
from components.mirrors import Mirrors
from components.multicluster import Multicluster
from topology import Link
from versions import LinkerdRelease

# Relative to the program, so that every checkout and every machine has the same inputs.
MIRROR_CHART = "./charts/service-mirror"
REMOTE_ACCESS = "linkerd-service-mirror-remote-access-default"
EXPORTED = "mirror.linkerd.io/exported"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One cluster with what a link needs of it."""

    cluster: Cluster
    linkerd: Linkerd
    multicluster: Multicluster


def credentials_kubeconfig(
    *, target: str, server: str, certificate_authority: str | None, token: str, user: str = REMOTE_ACCESS
) -> str:
    """The kubeconfig by which a service mirror reads the target's services.

    Args:
        target: the target cluster's name.
        server: the URL of its API server, as the source reaches it.
        certificate_authority: PEM in base64; without one the source's own trust store decides.
        token: of the target's service account.
        user: what to call that account.
    """
    cluster = {"server": server}
    if certificate_authority:
        cluster["certificate-authority-data"] = certificate_authority
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": target, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": target, "context": {"cluster": target, "user": user}}],
        "current-context": target,
    }
    return yaml.safe_dump(content, sort_keys=True)


def gateway_addresses(status: Mapping[str, Any]) -> str:
    """The addresses of a LoadBalancer Service, IPs or host names, with commas between them as a Link has them."""
    ingress = (status.get("load_balancer") or {}).get("ingress") or []
    found = [point.get("ip") or point.get("hostname") for point in ingress]
    return ",".join(address for address in found if address)


def link_spec(
    linkerd: LinkerdRelease,
    *,
    target: str,
    gateway_address: str,
    annotations: Mapping[str, str],
    ports: Mapping[str, int],
) -> dict[str, Any]:
    """The spec of a Link, `multicluster.linkerd.io/v1alpha1`.

    Args:
        linkerd: the release whose Link it is.
        target: the target cluster's name.
        gateway_address: IPs or host names of its gateway.
        annotations: those of its gateway's Service, which say how the gateway identifies itself and is probed.
        ports: that Service's ports by name.
    """
    prefix = "mirror.linkerd.io"
    spec: dict[str, Any] = {
        "targetClusterName": target,
        "targetClusterDomain": "cluster.local",
        "targetClusterLinkerdNamespace": LINKERD_NAMESPACE,
        "clusterCredentialsSecret": f"cluster-credentials-{target}",
        "gatewayAddress": gateway_address,
        "gatewayPort": str(ports["mc-gateway"]),
        "gatewayIdentity": annotations[f"{prefix}/gateway-identity"],
        "probeSpec": {
            "path": annotations[f"{prefix}/probe-path"],
            "port": str(ports["mc-probe"]),
            "period": f"{annotations[f'{prefix}/probe-period']}s",
        },
        "selector": {"matchLabels": {EXPORTED: "true"}},
    }
    if linkerd.remote_discovery:
        spec["remoteDiscoverySelector"] = {"matchLabels": {EXPORTED: "remote-discovery"}}
    return spec


class ClusterLink(pulumi.ComponentResource):
    """A link from a source to a target.

    Makes, in the target, a token of the account that links use; in the source, the credentials made of it, the service
    mirror, and the Link.

    Args:
        link: its two ends.
        source: the cluster that will see the other's services.
        target: the cluster whose exported services are seen.
        linkerd: the release of Linkerd.
        opts: the usual resource options.
    """

    gateway_address: pulumi.Output[str]
    spec: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        link: Link,
        source: Member,
        target: Member,
        linkerd: LinkerdRelease,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"link-{link.name}"
        super().__init__("multicluster-mesh:index:ClusterLink", name, None, opts)
        here = source.cluster.options(self)
        namespace = source.multicluster.namespace

        credentials = _token(f"{name}-token", link, target, self).apply(
            lambda data: _credentials(
                target.cluster.name, target.cluster.settings.api_server, target.cluster.settings.context, data
            )
        )
        secrets = [
            _credentials_secret(f"{name}-credentials", source.cluster, namespace, link.target, credentials, here),
        ]
        if linkerd.remote_discovery:
            secrets.append(
                _credentials_secret(
                    f"{name}-discovery-credentials",
                    source.cluster,
                    source.linkerd.namespace,
                    link.target,
                    credentials,
                    here,
                    discovery=True,
                )
            )
        mirrors = Mirrors(
            f"{name}-mirrors",
            context=source.cluster.settings.context.name,
            namespace=namespace,
            target=link.target,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.spec = _spec(linkerd, link.target, target.multicluster)
        self.gateway_address = self.spec["gatewayAddress"]
        controller = release(
            f"{name}-controller",
            cluster=source.cluster,
            name=f"link-{link.target}",
            namespace=namespace,
            chart=MIRROR_CHART,
            version=None,
            source=None,
            values=service_mirror_values(
                linkerd,
                target=link.target,
                credentials_checksum=pulumi.Output.unsecret(credentials.apply(_checksum)),
                probe_port=self.spec["probeSpec"]["port"].apply(int),
            ),
            # The controller ends when it finds no credentials; its pod must be injected; its mirrors outlive it.
            opts=pulumi.ResourceOptions.merge(
                here, pulumi.ResourceOptions(depends_on=[*secrets, source.linkerd.control_plane, mirrors])
            ),
        )
        kubernetes.apiextensions.CustomResource(
            f"{name}-link",
            api_version="multicluster.linkerd.io/v1alpha1",
            kind="Link",
            metadata=source.cluster.metadata(link.target, namespace=namespace),
            spec=self.spec,
            # Its kind comes with the extension. It goes before the controller, which then lets its mirrors be.
            opts=pulumi.ResourceOptions.merge(
                here, pulumi.ResourceOptions(depends_on=[source.multicluster.extension, controller])
            ),
        )
        self.register_outputs({"gatewayAddress": self.gateway_address})


def service_mirror_values(
    linkerd: LinkerdRelease,
    *,
    target: str,
    credentials_checksum: pulumi.Input[str],
    probe_port: pulumi.Input[int],
) -> dict[str, Any]:
    """The values of our service-mirror chart."""
    return {
        "target": target,
        "tag": linkerd.tag,
        "leaderElection": linkerd.mirror_lease,
        "credentialsChecksum": credentials_checksum,
        "probePort": probe_port,
    }


def _token(name: str, link: Link, target: Member, parent: pulumi.Resource) -> pulumi.Output[Mapping[str, str]]:
    """A token of the target's account for links, for this source alone: to revoke it, delete its Secret."""
    secret = kubernetes.core.v1.Secret(
        name,
        metadata=target.cluster.metadata(
            f"linkerd-service-mirror-remote-access-{link.source}",
            namespace=target.multicluster.namespace,
            annotations={"kubernetes.io/service-account.name": REMOTE_ACCESS},
        ),
        type="kubernetes.io/service-account-token",
        # The account comes with the extension; without it Kubernetes deletes the Secret at once.
        opts=pulumi.ResourceOptions.merge(
            target.cluster.options(parent), pulumi.ResourceOptions(depends_on=[target.multicluster.extension])
        ),
    )
    return pulumi.Output.secret(secret.data)


def _credentials(target: str, server: str, context: kubeconfig.Context, data: Mapping[str, str]) -> str:
    # What the kubeconfig verifies the API server by; where it verifies nothing, what the cluster itself names.
    authority = context.certificate_authority if context.verified else data["ca.crt"]
    token = base64.b64decode(data["token"]).decode()
    return credentials_kubeconfig(target=target, server=server, certificate_authority=authority, token=token)


def _credentials_secret(
    name: str,
    cluster: Cluster,
    namespace: pulumi.Input[str],
    target: str,
    credentials: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
    *,
    discovery: bool = False,
) -> kubernetes.core.v1.Secret:
    """The credentials for the service mirror or, with `discovery`, for the control plane's own look into the target."""
    labels, annotations = {}, {}
    if discovery:
        labels = {"multicluster.linkerd.io/cluster-name": target}
        annotations = {
            "multicluster.linkerd.io/trust-domain": "cluster.local",
            "multicluster.linkerd.io/cluster-domain": "cluster.local",
        }
    return kubernetes.core.v1.Secret(
        name,
        metadata=cluster.metadata(
            f"cluster-credentials-{target}", namespace=namespace, labels=labels, annotations=annotations
        ),
        type="mirror.linkerd.io/remote-kubeconfig",
        string_data={"kubeconfig": credentials},
        opts=opts,
    )


def _spec(linkerd: LinkerdRelease, target: str, multicluster: Multicluster) -> pulumi.Output[dict[str, Any]]:
    gateway = multicluster.gateway
    assert gateway is not None, f"{target} is a link's target, so its gateway has been read"
    return pulumi.Output.all(gateway.status, gateway.metadata, gateway.spec).apply(
        lambda parts: link_spec(
            linkerd,
            target=target,
            gateway_address=gateway_addresses(parts[0]),
            annotations=parts[1]["annotations"],
            ports={port["name"]: port["port"] for port in parts[2]["ports"]},
        )
    )


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
