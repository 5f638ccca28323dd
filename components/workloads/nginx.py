"""nginx for samples: unprivileged, with its configuration in a ConfigMap.

Follows https://hub.docker.com/_/nginx (running nginx as a non-root user).
"""

from __future__ import annotations

from collections.abc import Mapping

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
    location / {{
{location}
    }}
  }}
}}
"""


def nginx_configuration(location: str) -> str:
    """Return nginx.conf.

    Args:
        location: directives for all requests, one per line.
    """
    indented = "\n".join(f"      {line}" for line in location.splitlines())
    return _CONFIGURATION.format(port=PORT, location=indented)


def create_nginx(
    component: SampleComponent, name: str, location: str, extra_ports: Mapping[str, int] | None = None
) -> None:
    """Create a Deployment of nginx, its ConfigMap and its Service, all with the same name.

    Args:
        component: component of the sample.
        name: name of the objects.
        location: directives for all requests, one per line.
        extra_ports: further ports of the Service, by name.
    """
    labels = {"app": name}
    component.create_config_map(f"{name}-config", name, {"nginx.conf": nginx_configuration(location)})
    mounts = [
        {"name": "config", "mountPath": "/etc/nginx/nginx.conf", "subPath": "nginx.conf", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    container = container_spec(
        name,
        component.resolve_image(name, NGINX_IMAGE),
        ports={"http": PORT},
        probe={"tcpSocket": {"port": "http"}},
        extra_fields={"volumeMounts": mounts},
    )
    container["securityContext"]["readOnlyRootFilesystem"] = True
    volumes = [{"name": "config", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {}}]
    component.create_deployment(name, name, [container], labels=labels, user=_NGINX_UID, volumes=volumes)
    ports: dict[str, tuple[int, int | str]] = {"http": (PORT, "http")}
    ports |= {key: (port, "http") for key, port in (extra_ports or {}).items()}
    component.create_service(f"{name}-service", name, ports, selector=labels)
