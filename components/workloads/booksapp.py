"""Booksapp: a web application of three services, one of which fails now and then, and traffic to it.

Follows https://linkerd.io/2.14/tasks/books/, https://github.com/BuoyantIO/booksapp and
https://linkerd.io/2.14/tasks/fault-injection/ (names, ports, images, labels).
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.workloads.manifests import SampleObjects, container_spec
from components.workloads.nginx import PORT as NGINX_PORT
from components.workloads.nginx import create_nginx
from components.workloads.sample_namespace import SampleNamespace
from components.workloads.service_profile import create_profile
from components.workloads.traffic_split import Backend, split_requests
from mesh import config
from mesh.config.models.samples import BooksappConfig as BooksappSettings
from mesh.config.models.samples import RouteConfig
from mesh.images import BOOKSAPP_IMAGE, BOOKSAPP_TRAFFIC_IMAGE

# Its services, and the ports that they listen on.
PORTS: Mapping[str, int] = {"webapp": 7000, "authors": 7001, "books": 7002}
ERROR_INJECTOR = "error-injector"
_SITES = {
    "AUTHORS_SITE": f"http://authors:{PORTS['authors']}",
    "BOOKS_SITE": f"http://books:{PORTS['books']}",
}
# What each of them is told beside where its database is.
_EXTRA_ENV: Mapping[str, Mapping[str, str]] = {
    "webapp": _SITES,
    "authors": {"BOOKS_SITE": _SITES["BOOKS_SITE"]},
    "books": {"AUTHORS_SITE": _SITES["AUTHORS_SITE"]},
}

ROUTES = (
    RouteConfig.model_validate({"name": "GET /", "method": "GET", "pathRegex": "/"}),
    *(
        RouteConfig.model_validate(
            {"name": f"{method} /{kind}{shown}", "method": method, "pathRegex": f"/{kind}{regex}"}
        )
        for kind in ("authors", "books")
        for method, shown, regex in (
            ("POST", "", ""),
            ("GET", "/{id}", "/[^/]*"),
            ("POST", "/{id}/delete", "/[^/]*/delete"),
            ("POST", "/{id}/edit", "/[^/]*/edit"),
        )
    ),
)


class Booksapp(pulumi.ComponentResource):
    """Booksapp in one place, with a ServiceProfile and injected faults where wished for.

    Args:
        place: where it goes.
        sample: its settings.
        opts: the usual resource options.
    """

    def __init__(
        self, place: SampleNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        cluster = place.cluster.name
        name = f"{cluster}-{place.name}-booksapp"
        super().__init__("multicluster-mesh:index:Booksapp", name, None, opts)
        wanted = sample.part
        assert isinstance(wanted, BooksappSettings)
        objects = SampleObjects(name, place, sample, self)
        for service in PORTS:
            # Beside faults that are injected, its own would only be in the way.
            fails = service == "authors" and wanted.fault_injection is None
            _service(objects, service, offered=service in wanted.exported_services, fails=fails)
        _traffic(objects)
        if wanted.profile is not None:
            create_profile(objects, place, "webapp", PORTS["webapp"], wanted.profile, ROUTES)
        faults = wanted.fault_injection
        if faults is not None:
            # What is split by a TrafficSplit arrives at the port that it was sent to.
            create_nginx(objects, ERROR_INJECTOR, "return 500;", {"books": PORTS["books"]})
            failing = faults.percent * 10
            split_requests(
                objects,
                place,
                "error-split",
                "error-split",
                form=faults.form,
                service="books",
                port=PORTS["books"],
                found=[
                    Backend(service="books", port=PORTS["books"], weight=1000 - failing),
                    Backend(service=ERROR_INJECTOR, port=NGINX_PORT, weight=failing),
                ],
                thousandths=True,
            )
        self.register_outputs({})


def _labels(app: str) -> dict[str, str]:
    return {"app": app, "project": "booksapp", "app.kubernetes.io/part-of": "booksapp"}


def _service(objects: SampleObjects, service: str, *, offered: bool, fails: bool) -> None:
    told = {"DATABASE_URL": "sqlite3:db/db.sqlite3", **_EXTRA_ENV[service]}
    if fails:
        told["FAILURE_RATE"] = "0.5"
    served = container_spec(
        "service",
        objects.image(service, BOOKSAPP_IMAGE),
        ports={"service": PORTS[service]},
        probe={"httpGet": {"path": "/ping", "port": "service"}},
        memory="128Mi",
        at_most="512Mi",
        more={
            "args": [f"prod:{service}"],
            "env": [{"name": key, "value": value} for key, value in told.items()],
        },
    )
    replicas = 3 if service == "webapp" else 1
    objects.deployment(service, service, [served], labels=_labels(service), replicas=replicas, account=True)
    objects.service(
        f"{service}-service",
        service,
        {"service": (PORTS[service], "service")},
        selector={"app": service},
        labels=_labels(service),
        offered=offered,
    )


def _traffic(objects: SampleObjects) -> None:
    sent = container_spec(
        "traffic",
        objects.image("traffic", BOOKSAPP_TRAFFIC_IMAGE),
        more={"args": ["-initial-delay=30s", f"webapp:{PORTS['webapp']}"]},
    )
    objects.deployment("traffic", "traffic", [sent], labels=_labels("traffic"), account=True)
