"""Fields that only a former manifest set: the patch that deletes them."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.helm import drift
from mesh.helm.drift.removal import removal_patch, removed_fields, without_lists
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve


def pod(*containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"containers": list(containers), **fields}}


INIT = {"name": "linkerd-init", "image": "init:1"}
WEB = {"name": "web", "image": "web:1"}


@pytest.mark.parametrize(
    ("former", "desired", "patch", "paths"),
    [
        (pod(WEB, affinity={"a": 1}), pod(WEB), {"spec": {"affinity": None}}, ["spec.affinity"]),
        (
            pod(WEB, INIT),
            pod(WEB),
            {"spec": {"containers": [{"name": "linkerd-init", "$patch": "delete"}]}},
            ["spec.containers[linkerd-init]"],
        ),
        (
            pod({**WEB, "env": [{"name": "OLD", "value": "1"}]}),
            pod({**WEB, "env": []}),
            {"spec": {"containers": [{"name": "web", "env": [{"name": "OLD", "$patch": "delete"}]}]}},
            ["spec.containers[web].env[OLD]"],
        ),
        (
            {"metadata": {"name": "one", "labels": {"team": "shop"}}},
            {"metadata": {"name": "one"}},
            {"metadata": {"labels": None}},
            ["metadata.labels"],
        ),
        (
            {"metadata": {"name": "one"}, "stringData": {"old": "1", "new": "2"}},
            {"metadata": {"name": "one"}, "stringData": {"new": "2"}},
            {"data": {"old": None}},
            ["data.old"],
        ),
        # A list without keys is repaired as a whole.
        (pod({**WEB, "args": ["-a", "-b"]}), pod({**WEB, "args": ["-a"]}), {}, []),
        (pod(WEB), pod(WEB, INIT), {}, []),
    ],
)
def test_patch_deletes_what_only_the_former_manifest_set(
    former: dict[str, Any], desired: dict[str, Any], patch: dict[str, Any], paths: list[str]
) -> None:
    live = {**former, "data": {"old": "MQ==", "new": "Mg=="}} if "stringData" in former else former

    assert removal_patch(former, desired, live) == patch
    assert list(removed_fields(patch)) == paths
    assert removal_patch(former, desired, {}) == {}, "a missing object is no concern of this patch"


def test_fields_of_others_stay() -> None:
    live = pod(WEB, {"name": "sidecar"}, nodeSelector={"zone": "a"})

    assert removal_patch(pod(WEB), pod(WEB), live) == {}


def test_merge_patch_deletes_fields_of_custom_resources() -> None:
    patch = {"spec": {"old": None, "ports": [{"name": "a", "$patch": "delete"}]}, "data": {"list": [{}]}}

    assert without_lists(patch) == {"spec": {"old": None}}


def test_changed_object_is_patched_and_reported() -> None:
    path = "/apis/apps/v1/namespaces/linkerd/deployments/web"
    server = FakeApiServer()
    server.objects["/apis/apps/v1"] = {"resources": [{"kind": "Deployment", "name": "deployments", "namespaced": True}]}
    server.objects[path] = pod(WEB, INIT)
    manifest = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {containers: [{name: web}%s]}}"

    with serve(server):
        client = build_kube_client(server.server)
        changed = drift.remove_former_fields(client, "linkerd", manifest % ", {name: linkerd-init}", manifest % "")

    assert [str(each) for each in changed] == ["Deployment web: spec.containers[linkerd-init]"]
    assert f"PATCH {path}" in server.requests
