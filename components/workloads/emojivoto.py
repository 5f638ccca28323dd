"""Emojivoto: a web application of three services, and a bot that votes.

Follows https://linkerd.io/2.14/getting-started/#step-5-install-the-demo-app and
https://github.com/BuoyantIO/emojivoto (names, ports, images, labels).
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.workloads.authorization_policy import allow_access
from components.workloads.manifests import SampleObjects, container_spec
from components.workloads.sample_namespace import SampleNamespace
from mesh import config
from mesh.config.models.samples import EmojivotoConfig as EmojivotoSettings
from mesh.images import EMOJIVOTO_IMAGE

_VERSION = "v11"
_GRPC, _PROMETHEUS = 8080, 8801
# Nobody on the images' systems: what runs there is a program of its own.
_USER = 1000


class Emojivoto(pulumi.ComponentResource):
    """Emojivoto in one place; only `web` may call the services behind it, where that is wished for.

    Args:
        place: where it goes.
        sample: its settings.
        opts: the usual resource options.
    """

    def __init__(
        self, place: SampleNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        cluster = place.cluster.name
        name = f"{cluster}-{place.name}-emojivoto"
        super().__init__("multicluster-mesh:index:Emojivoto", name, None, opts)
        wanted = sample.part
        assert isinstance(wanted, EmojivotoSettings)
        objects = SampleObjects(name, place, sample, self)
        for behind in ("emoji", "voting"):
            _behind(objects, behind, offered=f"{behind}-svc" in wanted.exported_services)
            if wanted.policy is not None:
                allow_access(
                    objects,
                    place,
                    wanted.policy,
                    f"{behind}-grpc",
                    selector={"app": f"{behind}-svc"},
                    port="grpc",
                    protocol="gRPC",
                    accounts=["web"],
                )
        _web(objects, place.name, offered="web-svc" in wanted.exported_services)
        _vote_bot(objects, place.name)
        self.register_outputs({})


def _labels(name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "emojivoto",
        "app.kubernetes.io/version": _VERSION,
    }


def _pod_labels(app: str) -> dict[str, str]:
    return {"app": app, "version": _VERSION}


def _environment(found: Mapping[str, str]) -> dict[str, object]:
    return {"env": [{"name": key, "value": value} for key, value in found.items()]}


def _behind(objects: SampleObjects, name: str, *, offered: bool) -> None:
    called = f"{name}-svc"
    served = container_spec(
        called,
        objects.image(called, EMOJIVOTO_IMAGE.format(called)),
        ports={"grpc": _GRPC, "prom": _PROMETHEUS},
        probe={"tcpSocket": {"port": "grpc"}},
        cpu="100m",
        more=_environment({"GRPC_PORT": str(_GRPC), "PROM_PORT": str(_PROMETHEUS)}),
    )
    objects.deployment(
        name, name, [served], labels=_pod_labels(called), object_labels=_labels(name), user=_USER, account=True
    )
    ports: dict[str, tuple[int, int | str]] = {"grpc": (_GRPC, "grpc"), "prom": (_PROMETHEUS, "prom")}
    objects.service(called, called, ports, selector={"app": called}, labels={}, offered=offered)


def _web(objects: SampleObjects, namespace: str, *, offered: bool) -> None:
    told = {
        "WEB_PORT": "8080",
        "EMOJISVC_HOST": f"emoji-svc.{namespace}:{_GRPC}",
        "VOTINGSVC_HOST": f"voting-svc.{namespace}:{_GRPC}",
        "INDEX_BUNDLE": "dist/index_bundle.js",
    }
    served = container_spec(
        "web-svc",
        objects.image("web-svc", EMOJIVOTO_IMAGE.format("web")),
        ports={"http": 8080},
        probe={"tcpSocket": {"port": "http"}},
        cpu="100m",
        more=_environment(told),
    )
    objects.deployment(
        "web", "web", [served], labels=_pod_labels("web-svc"), object_labels=_labels("web"), user=_USER, account=True
    )
    objects.service(
        "web-svc", "web-svc", {"http": (80, "http")}, selector={"app": "web-svc"}, labels={}, offered=offered
    )


def _vote_bot(objects: SampleObjects, namespace: str) -> None:
    bot = container_spec(
        "vote-bot",
        objects.image("vote-bot", EMOJIVOTO_IMAGE.format("web")),
        more={"command": ["emojivoto-vote-bot"], **_environment({"WEB_HOST": f"web-svc.{namespace}:80"})},
    )
    objects.deployment(
        "vote-bot",
        "vote-bot",
        [bot],
        labels=_pod_labels("vote-bot"),
        object_labels=_labels("vote-bot"),
        user=_USER,
    )
