"""The lab's service mirrors: which pods have one, and with which arguments it runs here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hack.lab import __main__ as command
from hack.lab.mirrors import mirror_arguments, parse_mirror_pod

OWN = ["service-mirror", "-log-level=info", "-namespace=linkerd-multicluster"]


def pod(*given: str, image: str = "cr.example.com/controller:edge-26.8.3", **labels: str) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in labels.items()}
    target = {"mirror.linkerd.io/cluster-name": named.pop("target")} if "target" in named else {}
    containers = [{"name": "linkerd-proxy", "image": "proxy:1"}, {"name": "x", "image": image, "args": [*OWN, *given]}]
    return {
        "metadata": {"uid": "1", "namespace": "linkerd-multicluster", "name": "pod", "labels": {**named, **target}},
        "spec": {"serviceAccountName": "controller-east", "containers": containers},
        "status": {"phase": "Running"},
    }


@pytest.mark.parametrize(
    ("found", "target"),
    [
        (pod("east", component="linkerd-service-mirror", target="east"), "east"),
        (pod("-probe-service=probe-east", "east", component="controller", target="east"), "east"),
        (pod("east", component="controller"), "east"),
        (pod("-local-mirror", "-excluded-labels=", component="local-service-mirror"), None),
        (pod("-local-mirror=false", "east", component="controller"), "east"),
    ],
    ids=["of-a-link", "of-the-extension", "without-a-label", "local", "not-local"],
)
def test_a_mirrors_pod_tells_its_target_or_that_it_is_the_local_one(found: dict[str, Any], target: str | None) -> None:
    mirror = parse_mirror_pod(found)

    assert mirror is not None
    assert (mirror.target, mirror.service_account, mirror.release) == (target, "controller-east", "edge-26.8.3")
    assert mirror.arguments[:2] == tuple(OWN[1:])


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
def test_the_release_is_that_of_the_image(tag: str, release: str) -> None:
    mirror = parse_mirror_pod(pod("east", image=f"registry.example.com:5000/linkerd/controller:{tag}"))

    assert mirror is not None
    assert mirror.release == release


def test_other_controllers_have_no_mirror_in_them() -> None:
    other = pod("east", component="controller")
    other["spec"]["containers"][1]["args"] = ["--port=7472"]

    assert parse_mirror_pod(other) is None
    assert parse_mirror_pod({**pod("east"), "status": {"phase": "Pending"}}) is None


def test_a_mirrors_own_arguments_stay_but_for_those_that_the_lab_sets() -> None:
    given = ("-kubeconfig", "/a", "-namespace=mc", "-metrics-addr=:9999", "-probe-service=probe-east", "east")

    found = mirror_arguments(given, kubeconfig_file=Path("/k"), metrics_port=1)

    assert found == [
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
def test_the_status_names_a_mirror_by_its_target(
    target: str | None, program: str | None, state: str, line: str
) -> None:
    mirror = {"target": target, "release": "edge-26.8.3", "program": program, "state": state, "log": "/log"}
    status = {"clusters": {"west": {"state": "ready", "logs": "/logs", "mirrors": [mirror]}}}

    assert f"{line}, log /log" in [said.strip() for said in command._describe(status)]
