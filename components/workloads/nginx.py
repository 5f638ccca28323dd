"""An nginx as samples use it: as a user that isn't root, with its configuration from a ConfigMap.

Follows https://hub.docker.com/_/nginx (running nginx as a non-root user).
"""

from __future__ import annotations

from collections.abc import Mapping

from components.workloads.manifests import SampleObjects, container_spec
from mesh.images import NGINX_IMAGE

PORT = 8080
# The user of the image.
_USER = 101

# It may write nowhere but below /tmp.
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
    """Its nginx.conf.

    Args:
        location: what it does with every request, a directive per line.
    """
    indented = "\n".join(f"      {line}" for line in location.splitlines())
    return _CONFIGURATION.format(port=PORT, location=indented)


def create_nginx(objects: SampleObjects, name: str, location: str, ports: Mapping[str, int] | None = None) -> None:
    """A Deployment of one nginx with its ConfigMap and its Service, all of one name.

    Args:
        objects: makes the sample's objects.
        name: theirs.
        location: what it does with every request, a directive per line.
        ports: further ports of its Service, by name, all of which lead to it.
    """
    labels = {"app": name}
    objects.config_map(f"{name}-config", name, {"nginx.conf": nginx_configuration(location)})
    mounts = [
        {"name": "config", "mountPath": "/etc/nginx/nginx.conf", "subPath": "nginx.conf", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    served = container_spec(
        name,
        objects.image(name, NGINX_IMAGE),
        ports={"http": PORT},
        probe={"tcpSocket": {"port": "http"}},
        more={"volumeMounts": mounts},
    )
    served["securityContext"]["readOnlyRootFilesystem"] = True
    volumes = [{"name": "config", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {}}]
    objects.deployment(name, name, [served], labels=labels, user=_USER, volumes=volumes)
    served_at: dict[str, tuple[int, int | str]] = {"http": (PORT, "http")}
    served_at |= {key: (port, "http") for key, port in (ports or {}).items()}
    objects.service(f"{name}-service", name, served_at, selector=labels)
