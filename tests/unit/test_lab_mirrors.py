"""Service mirrors of the lab: their pods, and the arguments of their local processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hack.lab import __main__ as command
from hack.lab.mirrors import mirror_arguments, parse_mirror_pod

CONTAINER_ARGS = ["service-mirror", "-log-level=info", "-namespace=linkerd-multicluster"]


def pod(*extra_args: str, image: str = "cr.example.com/controller:edge-26.8.3", **labels: str) -> dict[str, Any]:
    other_labels = {key.replace("_", "-"): value for key, value in labels.items()}
    target = {"mirror.linkerd.io/cluster-name": other_labels.pop("target")} if "target" in other_labels else {}
    containers = [
        {"name": "linkerd-proxy", "image": "proxy:1"},
        {"name": "x", "image": image, "args": [*CONTAINER_ARGS, *extra_args]},
    ]
    return {
        "metadata": {
            "uid": "1",
            "namespace": "linkerd-multicluster",
            "name": "pod",
            "labels": {**other_labels, **target},
        },
        "spec": {"serviceAccountName": "controller-east", "containers": containers},
        "status": {"phase": "Running"},
    }


@pytest.mark.parametrize(
    ("mirror_pod", "target"),
    [
        (pod("east", component="linkerd-service-mirror", target="east"), "east"),
        (pod("-probe-service=probe-east", "east", component="controller", target="east"), "east"),
        (pod("east", component="controller"), "east"),
        (pod("-local-mirror", "-excluded-labels=", component="local-service-mirror"), None),
        (pod("-local-mirror=false", "east", component="controller"), "east"),
    ],
    ids=["link-chart", "extension-chart", "no-target-label", "local", "local-mirror-false"],
)
def test_mirror_pod_has_target_or_is_local(mirror_pod: dict[str, Any], target: str | None) -> None:
    mirror = parse_mirror_pod(mirror_pod)

    assert mirror is not None
    assert (mirror.target, mirror.service_account, mirror.release) == (target, "controller-east", "edge-26.8.3")
    assert mirror.arguments[:2] == tuple(CONTAINER_ARGS[1:])


@pytest.mark.parametrize(
    ("tag", "release"),
    [
        ("stable-2.14.10", "2.14.10"),
        ("v2.14.10", "2.14.10"),
        ("edge-24.11.8", "edge-24.11.8"),
        ("edge-26.8.3", "edge-26.8.3"),
        ("edge-26.8.3@sha256:0123", "edge-26.8.3"),
    ],
)
def test_mirror_release_comes_from_image_tag(tag: str, release: str) -> None:
    mirror = parse_mirror_pod(pod("east", image=f"registry.example.com:5000/linkerd/controller:{tag}"))

    assert mirror is not None
    assert mirror.release == release


def test_other_controllers_are_not_mirrors() -> None:
    other = pod("east", component="controller")
    other["spec"]["containers"][1]["args"] = ["--port=7472"]

    assert parse_mirror_pod(other) is None
    assert parse_mirror_pod({**pod("east"), "status": {"phase": "Pending"}}) is None


def test_mirror_arguments_stay_except_those_of_lab() -> None:
    own_args = ("-kubeconfig", "/a", "-namespace=mc", "-metrics-addr=:9999", "-probe-service=probe-east", "east")

    lab_args = mirror_arguments(own_args, kubeconfig_file=Path("/k"), metrics_port=1)

    assert lab_args == [
        "-kubeconfig=/k",
        "-metrics-addr=127.0.0.1:1",
        "-namespace=mc",
        "-probe-service=probe-east",
        "east",
    ]


@pytest.mark.parametrize(
    ("target", "program", "state", "line"),
    [
        ("east", "edge-26.8.3", "running", "mirror of east: running"),
        (None, "edge-26.8.3", "restarting", "local mirror: restarting"),
        ("east", "edge-26.9.1", "running", "mirror of east: running (edge-26.9.1 in place of edge-26.8.3)"),
        (None, None, "no program", "local mirror: no program"),
    ],
)
def test_status_names_mirror_by_target(target: str | None, program: str | None, state: str, line: str) -> None:
    mirror = {"target": target, "release": "edge-26.8.3", "program": program, "state": state, "log": "/log"}
    status = {"clusters": {"west": {"state": "ready", "logs": "/logs", "mirrors": [mirror]}}}

    assert f"{line}, log /log" in [text.strip() for text in command._describe(status)]
