"""nginx for samples: unprivileged, with its configuration in a ConfigMap.

Follows https://hub.docker.com/_/nginx (running nginx as a non-root user).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.workloads.manifests import container_spec
from components.workloads.sample_component import SampleComponent
from mesh.images import NGINX_IMAGE

PORT = 8080
_NGINX_UID = 101

# Only /tmp is writable.
_CONFIGURATION = """\
pid /tmp/nginx.pid;
error_log /dev/stderr;
events {{}}
http {{
  access_log /dev/stdout;
  client_body_temp_path /tmp/client;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {{
    listen {port};
{locations}
  }}
}}
"""


def nginx_configuration(location: str, extra_locations: Mapping[str, str] | None = None) -> str:
    """Return nginx.conf.

    Args:
        location: directives for all requests, one per line.
        extra_locations: directives for some requests instead, by path.
    """
    blocks = []
    for path, directives in {"/": location, **(extra_locations or {})}.items():
        indented = "\n".join(f"      {line}" for line in directives.splitlines())
        blocks.append(f"    location {path} {{\n{indented}\n    }}")
    return _CONFIGURATION.format(port=PORT, locations="\n".join(blocks))


def create_nginx(
    component: SampleComponent,
    name: str,
    location: str,
    extra_ports: Mapping[str, int] | None = None,
    *,
    extra_locations: Mapping[str, str] | None = None,
    container_name: str | None = None,
    image: str | None = None,
    command: Sequence[str] | None = None,
    extra_containers: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Create a Deployment of nginx, its ConfigMap and its Service, all with the same name.

    Args:
        component: component of the sample.
        name: name of the objects.
        location: directives for all requests, one per line.
        extra_ports: further ports of the Service, by name.
        extra_locations: directives for some requests instead, by path.
        container_name: name of the container; None for the name of the objects.
        image: image of the container; None for the one that the stack file sets for the name, or the default.
        command: command that starts nginx; None for that of the image.
        extra_containers: further containers of the pod.
    """
    labels = {"app": name}
    component.create_config_map(f"{name}-config", name, {"nginx.conf": nginx_configuration(location, extra_locations)})
    mounts = [
        {"name": "config", "mountPath": "/etc/nginx/nginx.conf", "subPath": "nginx.conf", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    container = container_spec(
        container_name or name,
        image or component.resolve_image(name, NGINX_IMAGE),
        ports={"http": PORT},
        probe={"tcpSocket": {"port": "http"}},
        extra_fields={"volumeMounts": mounts, **({"command": list(command)} if command else {})},
    )
    container["securityContext"]["readOnlyRootFilesystem"] = True
    volumes = [{"name": "config", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {}}]
    component.create_deployment(
        name, name, [container, *extra_containers], labels=labels, user=_NGINX_UID, volumes=volumes
    )
    ports: dict[str, tuple[int, int | str]] = {"http": (PORT, "http")}
    ports |= {key: (port, "http") for key, port in (extra_ports or {}).items()}
    component.create_service(f"{name}-service", name, ports, selector=labels)
