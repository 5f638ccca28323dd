"""Policy rule that images are pinned."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from policy.images import check_image_name
from tests.helpers.planned_resources import broken_rules, check_resources, planned_release, planned_resource

DIGEST = "sha256:73e4d532ea62d7505c5865b517d3704966ffe916609bedc22af6833dc9969bcd"


@pytest.mark.parametrize(
    "image",
    [
        "nginx:1.27",
        "nginx:alpine",
        "host:5000/x:1",
        "host:5000/team/x:v1.2.3-latest",
        f"nginx@{DIGEST}",
        f"host:5000/x@{DIGEST}",
        f"nginx:latest@{DIGEST}",
    ],
)
def test_image_with_tag_or_digest_is_pinned(image: str) -> None:
    assert check_image_name(image) is None


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nginx", "nginx: no tag, which means latest"),
        ("host:5000/x", "host:5000/x: no tag, which means latest"),
        ("nginx:", "nginx:: no tag, which means latest"),
        ("", "…: no tag, which means latest"),
        ("nginx:latest", "nginx:latest: latest changes over time"),
        ("host:5000/x:latest", "host:5000/x:latest: latest changes over time"),
        ("nginx@sha256:beef", "nginx: invalid digest"),
        ("nginx@", "nginx: invalid digest"),
        ("A Password\n\x1b[31m", "…: no tag, which means latest"),
    ],
)
def test_image_without_fixed_version_is_not_pinned(image: str, message: str) -> None:
    assert check_image_name(image) == message


POD = {
    "initContainers": [{"name": "a", "image": "busybox"}],
    "containers": [{"name": "b", "image": "nginx:1.27"}, {"name": "c", "image": "host:5000/x"}, {"name": "d"}],
    "ephemeralContainers": [{"name": "e", "image": "debug:latest"}],
}
UNPINNED_PATHS = ("containers[1].image", "ephemeralContainers[0].image", "initContainers[0].image")


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("core/v1:Pod", "spec"),
        ("apps/v1:Deployment", "spec.template.spec"),
        ("apps/v1:DaemonSet", "spec.template.spec"),
        ("apps/v1:StatefulSet", "spec.template.spec"),
        ("apps/v1:DeploymentPatch", "spec.template.spec"),
        ("batch/v1:Job", "spec.template.spec"),
        ("batch/v1:CronJob", "spec.jobTemplate.spec.template.spec"),
    ],
)
def test_all_containers_of_all_workload_kinds_are_checked(kind: str, path: str) -> None:
    properties: dict[str, Any] = POD
    for key in reversed(path.split(".")):
        properties = {key: properties}

    assert broken_rules(planned_resource(f"kubernetes:{kind}", **properties)) == [
        ("images", f"{path}.{each}") for each in UNPINNED_PATHS
    ]


def test_lookalikes_of_pods_are_not_checked() -> None:
    assert broken_rules(planned_resource("kubernetes:example.com/v1:Pod", spec=POD)) == []
    assert broken_rules(planned_resource("kubernetes:core/v1:Pod", spec=UNKNOWN_VALUE)) == []
    assert (
        broken_rules(
            planned_resource("kubernetes:core/v1:Pod", spec={"containers": [{"image": UNKNOWN_VALUE}, SECRET, None]})
        )
        == []
    )


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"image": "nginx"}, "values.image"),
        ({"gateway": {"pauseImage": "host:5000/pause"}}, "values.gateway.pauseImage"),
        ({"extra": [[{"image": "nginx:latest"}]]}, "values.extra[0][0].image"),
        ({"image": "nginx", "tag": "latest"}, "values.tag"),
        ({"image": {"repository": "nginx", "tag": "latest"}}, "values.image.tag"),
        ({"debugContainer": {"image": {"name": "host:5000/x:latest"}}}, "values.debugContainer.image"),
    ],
)
def test_unpinned_image_in_helm_values_is_reported(values: dict[str, Any], path: str) -> None:
    assert broken_rules(planned_release(values)) == [("images", path)]


@pytest.mark.parametrize(
    "values",
    [
        {"image": "host:5000/controller", "tag": "stable-2.14.10"},
        {"image": {"name": "host:5000/proxy"}},
        {"image": {"repository": "nginx", "tag": "1.27"}, "imagePullPolicy": "Always"},
        {"image": {"version": "stable-2.14.10"}, "images": ["nginx"]},
        {"gateway": {"pauseImage": "host:5000/pause:3.2"}},
        {"image": f"nginx@{DIGEST}", "otherImage": UNKNOWN_VALUE},
    ],
    ids=["separate-tag", "default-tag", "repository-and-tag", "version", "pause-image", "digest-or-unknown"],
)
def test_image_with_separate_or_default_tag_is_pinned(values: dict[str, Any]) -> None:
    assert broken_rules(planned_release(values)) == []


def test_repository_chart_without_version_is_reported() -> None:
    repository = {"repo": "https://charts.example.com"}

    assert broken_rules(planned_release({}, chart="x", repositoryOpts=repository, version="1.0.0")) == []
    assert broken_rules(planned_release({}, chart="x", repositoryOpts=repository, version="")) == [
        ("images", "version")
    ]
    assert broken_rules(planned_release({}, chart="oci://charts.example.com/x")) == [("images", "version")]
    assert broken_rules(planned_release({}, chart="/charts/x-1.0.0.tgz")) == []


def test_name_with_control_characters_is_escaped() -> None:
    deployment = planned_resource(
        "kubernetes:core/v1:Pod", name="a::b\n\x1b[31m", spec={"containers": [{"image": "nginx"}]}
    )

    (violation,) = check_resources(deployment)

    assert violation.name == "a::b\n\x1b[31m"
    assert violation.line().startswith("mandatory: a::b\\u000a\\u001b[31m (kubernetes:core/v1:Pod): images: spec.")
