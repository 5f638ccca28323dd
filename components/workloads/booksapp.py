"""Booksapp: a web application of three services, one of which fails at times, and a traffic generator.

Follows https://linkerd.io/2.14/tasks/books/, https://github.com/BuoyantIO/booksapp and
https://linkerd.io/2.14/tasks/fault-injection/ (names, ports, images, labels).
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.services.backends import Backend
from components.services.exports import Exports
from components.services.mesh_namespace import MeshNamespace
from components.services.service_profile import create_profile
from components.services.traffic_split import RoutedPort, split_requests
from components.workloads.manifests import container_spec, environment
from components.workloads.nginx import PORT as NGINX_PORT
from components.workloads.nginx import create_nginx
from components.workloads.sample_component import SampleComponent
from mesh import config
from mesh.config.models.samples import BooksappConfig
from mesh.images import BOOKSAPP_IMAGE, BOOKSAPP_TRAFFIC_IMAGE
from mesh.service_profiles.routes import ProfileRoute

# Services and their ports.
PORTS: Mapping[str, int] = {"webapp": 7000, "authors": 7001, "books": 7002}
ERROR_INJECTOR = "error-injector"
_SITES = {
    "AUTHORS_SITE": f"http://authors:{PORTS['authors']}",
    "BOOKS_SITE": f"http://books:{PORTS['books']}",
}
_EXTRA_ENV: Mapping[str, Mapping[str, str]] = {
    "webapp": _SITES,
    "authors": {"BOOKS_SITE": _SITES["BOOKS_SITE"]},
    "books": {"AUTHORS_SITE": _SITES["AUTHORS_SITE"]},
}

ROUTES = (
    ProfileRoute(name="GET /", method="GET", path_regex="/"),
    *(
        ProfileRoute(name=f"{method} /{kind}{path}", method=method, path_regex=f"/{kind}{regex}")
        for kind in ("authors", "books")
        for method, path, regex in (
            ("POST", "", ""),
            ("GET", "/{id}", "/[^/]*"),
            ("POST", "/{id}/delete", "/[^/]*/delete"),
            ("POST", "/{id}/edit", "/[^/]*/edit"),
        )
    ),
)


class Booksapp(SampleComponent):
    """Booksapp in one namespace, with an optional ServiceProfile and optional fault injection.

    Args:
        namespace: namespace of the sample.
        sample: settings of the sample.
        opts: resource options.
    """

    def __init__(
        self, namespace: MeshNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("multicluster-mesh:index:Booksapp", namespace, sample, opts)
        settings = sample.config
        assert isinstance(settings, BooksappConfig)
        faults = settings.fault_injection
        for service in PORTS:
            # The application's own failures would distort the percentage of injected faults.
            has_failures = service == "authors" and faults is None
            _create_service(self, service, is_exported=service in settings.exported_services, has_failures=has_failures)
        _create_traffic_generator(self)
        if faults is not None:
            # A TrafficSplit keeps the port of the request, so nginx needs the port of `books`, too.
            create_nginx(self, ERROR_INJECTOR, "return 500;", {"books": PORTS["books"]})
        self.register_outputs({})

    def create_traffic_rules(self, exports: Exports) -> None:
        """Create the routes and the split that injects faults."""
        settings = self.sample.config
        assert isinstance(settings, BooksappConfig)
        faults = settings.fault_injection
        if self.sample.profile is not None:
            ports = [RoutedPort(number=PORTS["webapp"])]
            create_profile(self, exports, "webapp", ports, self.sample.profile, ROUTES)
        if faults is not None:
            failing = faults.percent * 10
            split_requests(
                self,
                exports,
                "error-split",
                "error-split",
                form=faults.form,
                service="books",
                ports=[RoutedPort(number=PORTS["books"])],
                backends=[
                    Backend(service="books", port=PORTS["books"], weight=1000 - failing),
                    Backend(service=ERROR_INJECTOR, port=NGINX_PORT, weight=failing),
                ],
                in_thousandths=True,
            )


def _labels(app: str) -> dict[str, str]:
    return {"app": app, "project": "booksapp", "app.kubernetes.io/part-of": "booksapp"}


def _create_service(component: SampleComponent, service: str, *, is_exported: bool, has_failures: bool) -> None:
    variables = {"DATABASE_URL": "sqlite3:db/db.sqlite3", **_EXTRA_ENV[service]}
    if has_failures:
        variables["FAILURE_RATE"] = "0.5"
    container = container_spec(
        "service",
        component.resolve_image(service, BOOKSAPP_IMAGE),
        ports={"service": PORTS[service]},
        probe={"httpGet": {"path": "/ping", "port": "service"}},
        memory="128Mi",
        memory_limit="512Mi",
        extra_fields={"args": [f"prod:{service}"], "env": environment(variables)},
    )
    replicas = 3 if service == "webapp" else 1
    component.create_deployment(
        service, service, [container], labels=_labels(service), replicas=replicas, needs_account=True
    )
    component.create_service(
        f"{service}-service",
        service,
        {"service": (PORTS[service], "service")},
        selector={"app": service},
        labels=_labels(service),
        is_exported=is_exported,
    )


def _create_traffic_generator(component: SampleComponent) -> None:
    container = container_spec(
        "traffic",
        component.resolve_image("traffic", BOOKSAPP_TRAFFIC_IMAGE),
        extra_fields={"args": ["-initial-delay=30s", f"webapp:{PORTS['webapp']}"]},
    )
    component.create_deployment("traffic", "traffic", [container], labels=_labels("traffic"), needs_account=True)
