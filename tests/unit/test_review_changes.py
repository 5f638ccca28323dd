"""Changes that a review derives from a preview, clusters and charts."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from mesh.helm import release_storage
from mesh.helm.release_storage import ReleaseRevision
from mesh.kube.connection import Access
from mesh.kube.errors import NotReadableError
from mesh.pulumi_constants import (
    HELM_RELEASE_TYPE,
    KUBERNETES_PROVIDER_TYPE,
    OBJECT_METADATA_TYPE,
    SERVICE_EXPORT_TYPE,
    STACK_TYPE,
    UNKNOWN_VALUE,
)
from mesh.redaction import SECRET
from review import changes, json_output, markdown, preview, release_objects
from review.captured_inputs import CapturedInputs
from review.changes import ReleaseChange
from review.cluster_snapshot import ClusterSnapshot
from review.discovery import ApiResources
from review.helm_template import ReleaseSpec, RenderError
from review.preview import Preview, PreviewFailedError
from review.report import Report, check_policies, find_expiring_certificates
from tests.helpers import previews
from tests.helpers.previews import crd_manifest, deployment_manifest, preview_step, release_inputs, resource_urn


class FakeRenderer:
    """Renderer in place of Helm: the values of a release contain its objects."""

    def __init__(self) -> None:
        self.api_resources: dict[str, ApiResources] = {}

    def render(self, spec: ReleaseSpec, api_resources: ApiResources, access: Access | None) -> list[dict[str, Any]]:
        self.api_resources[f"{spec.name} {spec.version}"] = api_resources
        if spec.chart == "broken":
            raise RenderError("execution error at (broken/templates/a.yaml): no password")
        rendered: list[dict[str, Any]] = list(spec.values.get("objects", ()))
        return rendered + ([crd_manifest("Lid")] if spec.has_crds and spec.values.get("crds") else [])


class FakeSnapshot(ClusterSnapshot):
    """Cluster snapshot with the release revisions of a test."""

    revisions: Mapping[str, ReleaseRevision | str] = {}

    def read_revision(self, namespace: str, name: str) -> ReleaseRevision | None:
        latest_revision = self.revisions.get(f"{namespace}/{name}")
        if isinstance(latest_revision, str):
            raise NotReadableError(latest_revision)
        return latest_revision


def cluster_with(**revisions: ReleaseRevision | str) -> FakeSnapshot:
    cluster = FakeSnapshot(name="west")
    object.__setattr__(cluster, "revisions", {key.replace("_", "/"): value for key, value in revisions.items()})
    return cluster


def release_revision(*objects: Mapping[str, Any], **values: Any) -> ReleaseRevision:
    return ReleaseRevision(manifest=yaml.safe_dump_all(objects), values=values)


def review_releases(
    plan: Preview, cluster: ClusterSnapshot | None = None, charts: FakeRenderer | None = None
) -> list[ReleaseChange]:
    clusters = {"west": cluster or cluster_with()}
    inspector = release_objects.ReleaseInspector(plan, clusters, charts or FakeRenderer())  # type: ignore[arg-type]
    return [
        changes.compare_release(inspector.inspect(each), ()) for each in release_objects.find_changed_releases(plan)
    ]


def change_verbs(change: ReleaseChange) -> dict[str, str]:
    return {str(each.identity): each.verb for each in change.objects}


def build_report(plan: Preview, *release_changes: ReleaseChange) -> Report:
    return Report(
        stack="dev",
        clusters={"west": None},
        resources=tuple(changes.compare_resources(plan, {}, ())),
        releases=release_changes,
    )


def test_objects_are_added_changed_removed_and_kept() -> None:
    retained_crd = {
        **crd_manifest("Cup"),
        "metadata": {"name": "cups", "annotations": {"helm.sh/resource-policy": "keep"}},
    }
    after = release_inputs(
        "2.0.0", objects=[deployment_manifest(image="example.com/shop:2"), deployment_manifest("till")]
    )
    plan = previews.build_preview(preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(), after))

    (change,) = review_releases(
        plan,
        cluster_with(shops_shop=release_revision(deployment_manifest(), deployment_manifest("bench"), retained_crd)),
    )

    assert change_verbs(change) == {
        "Deployment shops/shop": "changed",
        "Deployment shops/till": "added",
        "Deployment shops/bench": "removed",
        "CustomResourceDefinition cups": "kept",
    }
    assert change.charts == ("shop 1.0.0", "shop 2.0.0")


@pytest.mark.parametrize(
    ("after", "restarts"),
    [
        (deployment_manifest(replicas=3), False),
        (deployment_manifest(image="example.com/shop:2"), True),
        ({**deployment_manifest(image="x:2"), "kind": "DaemonSet"}, False),
    ],
    ids=["replicas", "image", "daemonset-on-delete"],
)
def test_only_pod_template_change_restarts_workload(after: dict[str, Any], restarts: bool) -> None:
    before = deployment_manifest()
    if after["kind"] == "DaemonSet":
        for each in (before, after):
            each["kind"] = "DaemonSet"
            each["spec"]["updateStrategy"] = {"type": "OnDelete"}
    plan = previews.build_preview(
        preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(), release_inputs(objects=[after]))
    )

    (change,) = review_releases(plan, cluster_with(shops_shop=release_revision(before)))

    assert [each.restarts for each in change.objects] == [restarts]


def test_deleted_release_removes_and_new_release_adds_objects() -> None:
    objects = [deployment_manifest(), crd_manifest()]
    deletion = previews.build_preview(preview_step("delete", HELM_RELEASE_TYPE, "west-shop", release_inputs()))
    creation = previews.build_preview(
        preview_step("create", HELM_RELEASE_TYPE, "west-shop", after=release_inputs(objects=objects, crds=True))
    )

    assert set(
        change_verbs(review_releases(deletion, cluster_with(shops_shop=release_revision(*objects)))[0]).values()
    ) == {"removed"}
    assert change_verbs(review_releases(creation)[0]) == {
        "Deployment shops/shop": "added",
        "CustomResourceDefinition cups.example.com": "added",
        "CustomResourceDefinition lids.example.com": "added",
    }


def test_crds_folder_is_installed_only_on_first_installation() -> None:
    plan = previews.build_preview(
        preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(), release_inputs(crds=True))
    )

    assert review_releases(plan, cluster_with(shops_shop=release_revision()))[0].objects == ()


def test_unreadable_revision_falls_back_to_rendered_state() -> None:
    before, after = (release_inputs(objects=[deployment_manifest(image=image)]) for image in ("a:1", "a:2"))
    plan = previews.build_preview(preview_step("update", HELM_RELEASE_TYPE, "west-shop", before, after))

    (change,) = review_releases(plan, cluster_with(shops_shop="Helm's revisions in namespace shops (not allowed)"))

    assert change.from_state == "not readable: Helm's revisions in namespace shops (not allowed)"
    assert change_verbs(change) == {"Deployment shops/shop": "changed"}


def test_unrenderable_chart_is_reported_with_value_changes() -> None:
    before, after = ({**release_inputs(level=level), "chart": "broken"} for level in (1, 2))
    plan = previews.build_preview(preview_step("update", HELM_RELEASE_TYPE, "west-shop", before, after))

    (change,) = review_releases(plan)

    assert change.failure == "execution error at (broken/templates/a.yaml): no password"
    assert [field.path for field in change.values] == ["level"]


def test_release_is_rendered_with_kinds_of_its_dependencies() -> None:
    charts = FakeRenderer()
    plan = previews.build_preview(
        preview_step(
            "create",
            HELM_RELEASE_TYPE,
            "west-crds",
            after={**release_inputs(objects=[crd_manifest("Cup")]), "name": "crds"},
        ),
        preview_step(
            "create",
            HELM_RELEASE_TYPE,
            "west-late",
            after={**release_inputs(objects=[crd_manifest("Late")]), "name": "late"},
        ),
        preview_step(
            "create",
            HELM_RELEASE_TYPE,
            "west-shop",
            after=release_inputs(),
            dependencies=[resource_urn("component", "west-linkerd")],
        ),
        preview_step(
            "create",
            "component",
            "west-linkerd",
            after={},
            dependencies=[resource_urn(HELM_RELEASE_TYPE, "west-crds")],
            cluster=None,
        ),
    )

    review_releases(plan, charts=charts)

    assert charts.api_resources["shop 1.0.0"].api_versions == ["example.com/v1", "example.com/v1/Cup"]


def test_changed_secret_is_reported_without_value() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "a"}, "stringData": SECRET}
    plan = previews.build_preview(
        preview_step(
            "update",
            HELM_RELEASE_TYPE,
            "west-shop",
            release_inputs(till=SECRET),
            release_inputs(till=SECRET),
            changed=["values.till"],
        ),
        preview_step(
            "update", "kubernetes:core/v1:Secret", "west-key", secret, secret, changed=['stringData["tls.key"]']
        ),
    )

    (change,) = review_releases(
        plan, cluster_with(shops_shop=release_revision(deployment_manifest(), till="open-sesame-7"))
    )
    (resource,) = changes.compare_resources(plan, {}, ())

    assert [line for field in change.values for line in field.lines] == ["! till: [secret] (changed)"]
    lines = [line for field in resource.fields for line in field.lines]
    assert lines == ['! stringData["tls.key"]: [secret] (changed)']


def test_secret_value_is_redacted_in_helm_manifest() -> None:
    after = release_inputs("2.0.0", objects=[deployment_manifest(image=f"example.com/{SECRET}:2")], till=SECRET)
    plan = previews.build_preview(
        preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(till=SECRET), after)
    )
    before = release_revision(deployment_manifest(image="example.com/open-sesame-7:1"), till="open-sesame-7")

    text = json.dumps(
        json_output.build_data(build_report(plan, *review_releases(plan, cluster_with(shops_shop=before))))
    )

    assert "open-sesame-7" not in text
    assert f"example.com/{SECRET}:1" in text


def test_difference_only_in_cluster_is_reported() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"ports": []}}
    plan = previews.build_preview(
        preview_step("update", "kubernetes:core/v1:Service", "west-shop", service, service, changed=["spec.type"])
    )

    (resource,) = changes.compare_resources(plan, {}, ())

    assert [field.path for field in resource.fields] == ["spec.type"]


def test_replacement_steps_are_one_change() -> None:
    one, other = deployment_manifest(), deployment_manifest("till")
    kind = "kubernetes:apps/v1:Deployment"
    plan = previews.build_preview(
        preview_step("delete-replaced", kind, "west-shop", one),
        preview_step("replace", kind, "west-shop", one, other),
        preview_step("create-replacement", kind, "west-shop", one, other),
    )

    (resource,) = changes.compare_resources(plan, {}, ())

    assert resource.operation == "replace"
    assert resource.object is not None
    assert (resource.object.verb, resource.object.restarts) == ("replaced", False)


def test_irreversible_losses_are_listed_separately() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shops"}}
    tls = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "k"}, "data": {}}
    plan = previews.build_preview(
        preview_step("delete", "kubernetes:core/v1:Namespace", "west-shops", namespace),
        preview_step("delete", "kubernetes:core/v1:Secret", "west-tls", tls),
        preview_step("replace", "tls:index/privateKey:PrivateKey", "trust-key", {}, {}, cluster=None),
        preview_step(
            "update", HELM_RELEASE_TYPE, "west-shop", release_inputs(), release_inputs(objects=[deployment_manifest()])
        ),
        preview_step("delete", "kubernetes:apps/v1:Deployment", "west-shop", deployment_manifest()),
    )
    (change,) = review_releases(plan, cluster_with(shops_shop=release_revision(deployment_manifest(), crd_manifest())))

    losses = build_report(plan, change).losses

    assert [(loss.cluster, loss.what, loss.operation) for loss in losses] == [
        ("", "trust-key", "replaced"),
        ("west", "CustomResourceDefinition cups.example.com", "deleted"),
        ("west", "Namespace shops", "deleted"),
        ("west", "Secret default/k", "deleted"),
    ]
    assert "### Can't be undone: 4" in markdown.render_review(build_report(plan, change))


def test_expiring_certificates_are_listed_with_renewal() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    expiry_times = {name: (now + timedelta(days=days)).isoformat() for name, days in (("a", 5), ("b", 20), ("c", 90))}
    plan = previews.build_preview(
        preview_step(
            "same", STACK_TYPE, "dev", {}, {}, outputs={"certificateExpiry": {"issuers": expiry_times}}, cluster=None
        ),
        preview_step(
            "replace", "tls:index/x:X", "b", {}, {}, outputs={"validityEndTime": expiry_times["b"]}, cluster=None
        ),
    )

    expiring = find_expiring_certificates(plan, 30, now)

    assert [(each.name, each.renewed) for each in expiring] == [("issuers a", False), ("issuers b", True)]


def test_steps_are_sorted_by_name() -> None:
    steps = [
        preview_step("create", "kubernetes:core/v1:Service", f"west-{name}", after={"kind": "Service"})
        for name in "bca"
    ]

    texts = {markdown.render_review(build_report(previews.build_preview(*order))) for order in (steps, steps[::-1])}

    assert len(texts) == 1


@pytest.mark.parametrize(
    ("operation", "lines"),
    [
        ("create", ['+ metadata.labels["mirror.linkerd.io/exported"]: true']),
        ("delete", ['- metadata.labels["mirror.linkerd.io/exported"]: true']),
    ],
)
def test_export_is_label_of_its_service(operation: str, lines: list[str]) -> None:
    export = {
        **{"cluster": "east", "namespace": "test", "service": "podinfo", "kubeconfig": "secret"},
        **{"label": "mirror.linkerd.io/exported", "value": "true"},
    }
    before, after = (None, export) if operation == "create" else (export, None)
    name = "east-test-podinfo-service-exported"
    plan = previews.build_preview(preview_step(operation, SERVICE_EXPORT_TYPE, name, before, after, cluster=None))

    [change] = changes.compare_resources(plan, {}, ())

    assert (change.cluster, change.operation) == ("east", operation)
    assert str(change.object and change.object.identity) == "Service test/podinfo"
    assert [line for field in change.fields for line in field.lines] == lines


def test_annotations_are_change_of_their_namespace() -> None:
    before = {
        **{"cluster": "east", "kind": "Namespace", "namespace": "", "name": "shop", "kubeconfig": "secret"},
        "annotations": {"linkerd.io/inject": "enabled"},
    }
    after = {**before, "annotations": {"linkerd.io/inject": "disabled"}}
    plan = previews.build_preview(
        preview_step("update", OBJECT_METADATA_TYPE, "east-shop-annotations", before, after, cluster=None)
    )

    [change] = changes.compare_resources(plan, {}, ())

    assert (change.cluster, str(change.object and change.object.identity)) == ("east", "Namespace shop")
    [field] = change.fields
    key = 'metadata.annotations["linkerd.io/inject"]'
    assert field.lines == [f"- {key}: enabled", f"+ {key}: disabled"]


def test_label_of_deleted_service_is_no_change_of_its_own() -> None:
    metadata = {"name": "podinfo", "namespace": "test"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    export = {
        **{"cluster": "west", "namespace": "test", "service": "podinfo"},
        **{"label": "mirror.linkerd.io/exported", "value": "true"},
    }
    plan = previews.build_preview(
        preview_step("delete", "kubernetes:core/v1:Service", "west-test-podinfo-service", service),
        preview_step("delete", SERVICE_EXPORT_TYPE, "west-test-podinfo-service-exported", export, cluster=None),
    )

    report = changes.compare_resources(plan, {}, ())

    assert [each.object.verb if each.object else None for each in report] == ["removed", None]


def test_resource_belongs_to_cluster_of_its_provider() -> None:
    plan = previews.build_preview(
        preview_step("create", KUBERNETES_PROVIDER_TYPE, "west", after={}, cluster=None),
        preview_step("create", "kubernetes:core/v1:Service", "x", after={"kind": "Service"}),
        preview_step("create", "tls:index/privateKey:PrivateKey", "key", after={}, cluster=None),
    )

    assert {each.name: each.cluster for each in plan.steps} == {"west": "west", "x": "west", "key": None}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "this is not the output of `pulumi preview --json`"),
        ("[]", "this is not the output of `pulumi preview --json`"),
        ('{"steps": [], "diagnostics": [{"severity": "error", "message": "links[0]: wrong\\n"}]}', "links[0]: wrong"),
    ],
)
def test_invalid_preview_output_is_reported_with_reason(text: str, reason: str) -> None:
    with pytest.raises(PreviewFailedError) as failed:
        preview.parse_preview(text)
    assert str(failed.value) == reason


def test_latest_deployed_revision_is_read() -> None:
    def secret(revision: int) -> dict[str, Any]:
        content = {"manifest": f"n: {revision}", "version": revision, "chart": {"metadata": {"version": "1"}}}
        packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode()))).decode()
        return {"metadata": {"labels": {"version": str(revision)}}, "data": {"release": packed}}

    class Api:
        def get(self, path: str, _subject: str) -> dict[str, Any]:
            selector = unquote(path.partition("?labelSelector=")[2])
            assert selector == "owner=helm,name=shop,status in (deployed,uninstalling)"
            return {"items": [secret(9), secret(10)]}

    latest = release_storage.read_latest_revision(Api(), "shops", "shop")  # type: ignore[arg-type]

    assert latest is not None
    assert (latest.manifest, latest.values) == ("n: 10", {})


def test_unknown_values_are_shown_as_known_after_update() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": UNKNOWN_VALUE}
    inputs = {"values": {"ca": UNKNOWN_VALUE, "size": 3}, "repositoryOpts": {"password": secret}}
    line = {"method": "/pulumirpc.ResourceMonitor/RegisterResource", "request": {"object": inputs}}
    captured = CapturedInputs()
    captured.add_log_line(json.dumps({**line, "response": {"urn": resource_urn(HELM_RELEASE_TYPE, "west-shop")}}))
    # The provider omits unknown values from its outputs.
    steps = [
        preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(ca="old", size=1), release_inputs(size=3))
    ]
    plan = preview.parse_preview(json.dumps({"steps": steps}), captured)

    class HashingRenderer(FakeRenderer):
        def render(self, spec: ReleaseSpec, api_resources: ApiResources, access: Access | None) -> list[dict[str, Any]]:
            text = str(spec.values["ca"])
            digest = hashlib.sha256(text.encode()).hexdigest()
            data = {"ca": text, "sum": digest, "all": f"size: {spec.values['size']}\nca: {digest}\n"}
            return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": data}]

    before = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"all": "size: 1\n"}}
    (change,) = review_releases(plan, cluster_with(shops_shop=release_revision(before)), HashingRenderer())

    assert [line for field in change.values for line in field.lines] == [
        "- ca: old",
        "+ ca: (known only after the update)",
        "- size: 1",
        "+ size: 3",
    ]
    lines_by_path = {field.path: field.lines for field in change.objects[0].fields}
    assert lines_by_path["data.ca"] == ["+ data.ca: (known only after the update)"]
    assert lines_by_path["data.sum"] == ["+ data.sum: (known only after the update)"]
    assert "+(known only after the update)" in lines_by_path["data.all"]
    assert "+size: 3" in lines_by_path["data.all"]


def test_grpc_log_is_read_from_pipe_and_deleted(tmp_path: Path) -> None:
    captured = CapturedInputs()
    entry = {
        "method": "/pulumirpc.ResourceMonitor/RegisterResource",
        "request": {"object": {"spec": UNKNOWN_VALUE, "size": "x" * 100_000}},
        "response": {"urn": "urn"},
    }

    with captured.capture(tmp_path) as variables:
        pipe = Path(variables["PULUMI_DEBUG_GRPC"])
        assert pipe.is_fifo()
        for _ in range(3):
            with pipe.open("a") as log:
                log.write(json.dumps(entry) + "\n")

    assert list(tmp_path.iterdir()) == []
    assert captured.add_unknowns("urn", {"size": 1}) == {"size": 1, "spec": UNKNOWN_VALUE}


def test_policies_check_changed_and_count_unchanged_resources() -> None:
    kind = "kubernetes:apps/v1:Deployment"
    plan = previews.build_preview(
        preview_step("create", kind, "west-new", after=deployment_manifest(image="example.com/new:latest")),
        preview_step("same", kind, "west-old", deployment_manifest(image="old"), deployment_manifest(image="old")),
        preview_step("delete", kind, "west-gone", deployment_manifest(image="gone")),
    )

    violations, unchanged_count = check_policies(plan)

    assert [each.mandatory for each in violations] == [True]
    assert "west-new" in violations[0].text
    assert unchanged_count == 1
