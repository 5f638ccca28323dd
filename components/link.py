"""A link: the source sees the services that the target exports.

Follows what `linkerd multicluster link` prints (https://linkerd.io/2.14/tasks/multicluster/#linking-the-clusters), of
which Linkerd publishes no chart before 2.18.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

import settings
from components.cluster import NOT_AWAITED, Cluster
from components.helm import release
from components.linkerd import tolerations
from components.load_balancer import addresses
from components.member import Member
from components.mirrors import Mirrors
from components.multicluster import GATEWAY, Multicluster, multicluster_values
from components.multicluster import NAMESPACE as MULTICLUSTER_NAMESPACE
from components.secrets import pull_secrets
from topology import Link

# Relative to the program, so that every checkout and every machine has the same inputs.
MIRROR_CHART = "./charts/service-mirror"
REMOTE_ACCESS = "linkerd-service-mirror-remote-access-default"
EXPORTED = "mirror.linkerd.io/exported"


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


def link_spec(target: settings.Cluster, *, gateway_address: pulumi.Input[str] | None) -> dict[str, Any]:
    """The spec of a Link, `multicluster.linkerd.io/v1alpha1`.

    Args:
        target: the target cluster.
        gateway_address: IPs or host names of its gateway; None for a link without one.
    """
    spec: dict[str, Any] = {
        "targetClusterName": target.name,
        "targetClusterDomain": target.linkerd.cluster_domain,
        "targetClusterLinkerdNamespace": target.linkerd.namespace,
        "clusterCredentialsSecret": f"cluster-credentials-{target.name}",
    }
    if gateway_address is None:
        # What Linkerd's own command writes where there is nothing to say.
        spec |= {"gatewayAddress": "", "gatewayPort": "0", "gatewayIdentity": "", "selector": {}}
        spec["probeSpec"] = {"path": "", "port": "0", "period": "0s"}
    else:
        port, probe_port = gateway_ports(target)
        probe = _gateway_values(target)["probe"]
        domain = f"identity.{target.linkerd.namespace}.{target.linkerd.trust_domain}"
        spec |= {
            "gatewayAddress": gateway_address,
            "gatewayPort": str(port),
            "gatewayIdentity": f"{GATEWAY}.{MULTICLUSTER_NAMESPACE}.serviceaccount.{domain}",
            "probeSpec": {"path": probe["path"], "port": str(probe_port), "period": f"{probe['seconds']}s"},
            "selector": {"matchLabels": {EXPORTED: "true"}},
        }
    if target.release.remote_discovery:
        spec["remoteDiscoverySelector"] = {"matchLabels": {EXPORTED: "remote-discovery"}}
    return spec


def gateway_ports(target: settings.Cluster) -> tuple[int, int]:
    """The ports at which peers reach a target's gateway, and its probe."""
    values, node = _gateway_values(target), target.gateway.node_port
    port, probe_port = (node.port, node.probe_port) if node else (values["port"], values["probe"]["port"])
    return target.gateway.port or int(port), target.gateway.probe_port or int(probe_port)


def _gateway_values(target: settings.Cluster) -> dict[str, Any]:
    """The chart's values for the gateway, defaults included."""
    defaults = {"port": 4143, "probe": {"path": "/ready", "port": 4191, "seconds": 3}}
    found: dict[str, Any] = settings.merged(defaults, multicluster_values(target)["gateway"])
    return found


def service_mirror_values(
    source: settings.Cluster,
    target: settings.Cluster,
    *,
    credentials_checksum: pulumi.Input[str],
    gateway: bool = True,
    pull: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """The values of our service-mirror chart.

    Args:
        source: where it goes.
        target: whose services it mirrors.
        credentials_checksum: changes with the credentials.
        gateway: whether the target is reached through its gateway.
        pull: references to credentials for images.
    """
    linkerd = source.linkerd
    values: dict[str, Any] = {
        "target": target.name,
        "tag": source.release.tag,
        "leaderElection": source.release.mirror_lease,
        "credentialsChecksum": credentials_checksum,
        "probePort": gateway_ports(target)[1] if gateway else 0,
        "nodeSelector": linkerd.node_selector,
        "tolerations": tolerations(source),
    }
    if linkerd.registry is not None:
        values["image"] = f"{linkerd.registry}/controller"
    if pull:
        values["imagePullSecrets"] = pull
    if linkerd.high_availability and source.release.mirror_lease:
        # Without a leader, three would get in each other's way.
        values |= {"replicas": 3, "enablePodAntiAffinity": True}
    return settings.merged(values, source.values("service-mirror"))


class ClusterLink(pulumi.ComponentResource):
    """A link from a source to a target.

    Makes, in the target, a token of the account that links use; in the source, the credentials made of it, the service
    mirror, and the Link.

    Args:
        link: its two ends.
        source: the cluster that will see the other's services.
        target: the cluster whose exported services are seen.
        opts: the usual resource options.
    """

    spec: dict[str, Any]

    def __init__(
        self,
        link: Link,
        source: Member,
        target: Member,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"link-{link.name}"
        super().__init__("multicluster-mesh:index:ClusterLink", name, None, opts)
        here = source.cluster.options(self)
        namespace = _multicluster(source).namespace

        credentials = _token(f"{name}-token", link, target, self).apply(
            lambda data: _credentials(target.cluster.settings, data)
        )
        secrets = [
            _credentials_secret(f"{name}-credentials", source.cluster, namespace, link.target, credentials, here),
        ]
        if source.cluster.settings.release.remote_discovery:
            secrets.append(
                _credentials_secret(
                    f"{name}-discovery-credentials",
                    source.cluster,
                    source.linkerd.namespace,
                    link.target,
                    credentials,
                    here,
                    discovery=target.cluster.settings,
                )
            )
        mirrors = Mirrors(
            f"{name}-mirrors",
            cluster=source.cluster,
            namespace=namespace,
            target=link.target,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.spec = _spec(link, target)
        controller = release(
            f"{name}-controller",
            cluster=source.cluster,
            name=f"link-{link.target}",
            namespace=namespace,
            chart=MIRROR_CHART,
            version=None,
            source=None,
            values=service_mirror_values(
                source.cluster.settings,
                target.cluster.settings,
                credentials_checksum=pulumi.Output.unsecret(credentials.apply(_checksum)),
                gateway=link.gateway,
                pull=pull_secrets(source.cluster),
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
            metadata=source.cluster.metadata(link.target, namespace=namespace, annotations=NOT_AWAITED),
            spec=self.spec,
            # Its kind comes with the extension. It goes before the controller, which then lets its mirrors be.
            opts=pulumi.ResourceOptions.merge(
                here, pulumi.ResourceOptions(depends_on=[_multicluster(source).extension, controller])
            ),
        )
        self.register_outputs({"spec": self.spec})


def _multicluster(member: Member) -> Multicluster:
    assert member.multicluster is not None, "a mesh with links has several clusters, and all of them the extension"
    return member.multicluster


def _token(name: str, link: Link, target: Member, parent: pulumi.Resource) -> pulumi.Output[Mapping[str, str]]:
    """A token of the target's account for links, for this source alone: to revoke it, delete its Secret."""
    secret = kubernetes.core.v1.Secret(
        name,
        metadata=target.cluster.metadata(
            f"linkerd-service-mirror-remote-access-{link.source}",
            namespace=_multicluster(target).namespace,
            annotations={"kubernetes.io/service-account.name": REMOTE_ACCESS},
        ),
        type="kubernetes.io/service-account-token",
        # The account comes with the extension; without it Kubernetes deletes the Secret at once.
        opts=pulumi.ResourceOptions.merge(
            target.cluster.options(parent), pulumi.ResourceOptions(depends_on=[_multicluster(target).extension])
        ),
    )
    return pulumi.Output.secret(secret.data)


def _credentials(target: settings.Cluster, data: Mapping[str, str]) -> str:
    # What the kubeconfig verifies the API server by; where it verifies nothing, what the cluster itself names.
    authority = target.context.certificate_authority if target.context.verified else data["ca.crt"]
    token = base64.b64decode(data["token"]).decode()
    return credentials_kubeconfig(
        target=target.name, server=target.api_server, certificate_authority=authority, token=token
    )


def _credentials_secret(
    name: str,
    cluster: Cluster,
    namespace: pulumi.Input[str],
    target: str,
    credentials: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
    *,
    discovery: settings.Cluster | None = None,
) -> kubernetes.core.v1.Secret:
    """The credentials for the service mirror or, for `discovery`, for the control plane's own look into the target."""
    labels, annotations = {}, {}
    if discovery is not None:
        labels = {"multicluster.linkerd.io/cluster-name": target}
        annotations = {
            "multicluster.linkerd.io/trust-domain": discovery.linkerd.trust_domain,
            "multicluster.linkerd.io/cluster-domain": discovery.linkerd.cluster_domain,
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


def _spec(link: Link, target: Member) -> dict[str, Any]:
    wanted = target.cluster.settings
    if not link.gateway:
        return link_spec(wanted, gateway_address=None)
    if wanted.gateway.addresses:
        return link_spec(wanted, gateway_address=",".join(wanted.gateway.addresses))
    gateway = _multicluster(target).gateway
    assert gateway is not None, f"{link.target} is a link's target, so its gateway has been read"
    # An output inside of plain values: a preview that can't know the address yet still shows the rest.
    address = pulumi.Output.all(gateway.status).apply(lambda found: ",".join(addresses(found[0])))
    return link_spec(wanted, gateway_address=address)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
