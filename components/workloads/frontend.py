"""Frontend of podinfo: an nginx, and two load generators that give `linkerd viz stat --from` traffic to show.

Follows https://github.com/linkerd/website/tree/main/multicluster (containers `nginx`, `internal` and `external`, ports,
paths, one request per second), but for any number of mirrors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.workloads.manifests import container_spec, environment
from components.workloads.nginx import create_nginx
from components.workloads.sample_component import SampleComponent
from mesh.images import NGINX_IMAGE, SLOW_COOKER_IMAGE
from mesh.mirrors import mirror_name

FRONTEND = "frontend"
NGINX = "nginx"
# Containers that send requests to the cluster's own service, and to the mirrors.
INTERNAL, EXTERNAL = "internal", "external"

# Kubernetes expands no `$(…)` here, and the trap lets the pod stop without delay.
_LOAD_SCRIPT = (
    "trap 'exit 0' TERM; for service in ${{SERVICE}}; do "
    "slow_cooker -qps ${{QPS}} -concurrency ${{CONCURRENCY}} http://${{service}}:{port} & done; wait"
)
_RESOLVER_FILE = "/tmp/resolver.conf"
# nginx resolves a name in a variable at each request, with the name server of the pod. A name without a variable must
# exist before nginx starts, and a mirror does not.
_START_SCRIPT = (
    """awk '$1 == "nameserver" { print "resolver " ($2 ~ /:/ ? "[" $2 "]" : $2) ";"; exit }' /etc/resolv.conf """
    f"""> {_RESOLVER_FILE} && exec nginx -g 'daemon off;'"""
)


def proxy_directives(service: str, port: int, path: str = "") -> str:
    """Return the directives of nginx that forward requests to a service.

    Args:
        service: name of the service, or a variable of nginx.
        port: port of the service.
        path: path of the forwarded requests; empty for that of the request.
    """
    return f"proxy_pass http://{service}:{port}{path};\nproxy_http_version 1.1;"


def mirror_locations(mirrors: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the directives of nginx for `/<cluster>`, which forward requests to the mirror of that cluster's service.

    Args:
        mirrors: full names of the mirrors, by cluster.
        port: port of the mirrors.
    """
    return {
        f"= /{cluster}": f"include {_RESOLVER_FILE};\nset $mirror {name};\n{proxy_directives('$mirror', port, '/')}"
        for cluster, name in mirrors.items()
    }


def load_generator(name: str, image: str, services: list[str], port: int) -> dict[str, Any]:
    """Return a container that sends one request per second to each of some services.

    Args:
        name: name of the container.
        image: image of the container.
        services: names of the services.
        port: port of the services.
    """
    variables = {"QPS": "1", "CONCURRENCY": "1", "SERVICE": " ".join(services)}
    return container_spec(
        name,
        image,
        memory="10Mi",
        extra_fields={
            "command": ["/bin/sh", "-c"],
            "args": [_LOAD_SCRIPT.format(port=port)],
            "env": environment(variables),
        },
    )


def create_frontend(component: SampleComponent, service: str, port: int) -> None:
    """Create the frontend of a service.

    Args:
        component: component of the sample.
        service: service that the frontend forwards requests to.
        port: port of the service.
    """
    mirrors = {cluster: mirror_name(service, cluster) for cluster in component.mirrored_clusters()}
    suffix = f"{component.namespace.name}.svc.{component.cluster.settings.linkerd.cluster_domain}"
    targets = {INTERNAL: [service], EXTERNAL: list(mirrors.values())}
    create_nginx(
        component,
        FRONTEND,
        proxy_directives(service, port),
        extra_locations=mirror_locations({cluster: f"{name}.{suffix}" for cluster, name in mirrors.items()}, port),
        container_name=NGINX,
        image=component.resolve_image(NGINX, component.resolve_image(FRONTEND, NGINX_IMAGE)),
        command=["/bin/sh", "-c", _START_SCRIPT] if mirrors else None,
        extra_containers=[
            load_generator(name, component.resolve_image(name, SLOW_COOKER_IMAGE), services, port)
            for name, services in targets.items()
            if services
        ],
    )
