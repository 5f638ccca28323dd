"""What a review finds out of a preview, of clusters and of charts."""

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
from mesh.kube.client import Access
from mesh.kube.errors import NotReadableError
from mesh.pulumi_constants import HELM_RELEASE_TYPE, KUBERNETES_PROVIDER_TYPE, STACK_TYPE, UNKNOWN_VALUE
from policy.planned_resource import SECRET
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


class Charts:
    """In place of Helm: a release has the objects that its values name."""

    def __init__(self) -> None:
        self.offers: dict[str, ApiResources] = {}

    def render(self, wanted: ReleaseSpec, offer: ApiResources, way: Access | None) -> list[dict[str, Any]]:
        self.offers[f"{wanted.name} {wanted.version}"] = offer
        if wanted.chart == "broken":
            raise RenderError("execution error at (broken/templates/a.yaml): no password")
        found: list[dict[str, Any]] = list(wanted.values.get("objects", ()))
        return found + ([crd_manifest("Lid")] if wanted.crds and wanted.values.get("crds") else [])


class Cluster(ClusterSnapshot):
    """In place of a cluster: the records that a test gives it."""

    records: Mapping[str, ReleaseRevision | str] = {}

    def record(self, namespace: str, name: str) -> ReleaseRevision | None:
        found = self.records.get(f"{namespace}/{name}")
        if isinstance(found, str):
            raise NotReadableError(found)
        return found


def seen(**records: ReleaseRevision | str) -> Cluster:
    cluster = Cluster(name="west")
    object.__setattr__(cluster, "records", {key.replace("_", "/"): value for key, value in records.items()})
    return cluster


def record(*objects: Mapping[str, Any], **values: Any) -> ReleaseRevision:
    return ReleaseRevision(manifest=yaml.safe_dump_all(objects), values=values)


def reviewed(
    found: Preview, cluster: ClusterSnapshot | None = None, charts: Charts | None = None
) -> list[ReleaseChange]:
    known = {"west": cluster or seen()}
    looking = release_objects.ReleaseInspector(found, known, charts or Charts())  # type: ignore[arg-type]
    return [changes.compare_release(looking.look(each), ()) for each in release_objects.changed_releases(found)]


def verbs(change: ReleaseChange) -> dict[str, str]:
    return {str(each.identity): each.verb for each in change.objects}


def report(found: Preview, *found_releases: ReleaseChange) -> Report:
    return Report(
        stack="dev",
        clusters={"west": None},
        resources=tuple(changes.compare_resources(found, {}, ())),
        releases=found_releases,
    )


def test_objects_are_added_changed_removed_and_kept() -> None:
    kept = {**crd_manifest("Cup"), "metadata": {"name": "cups", "annotations": {"helm.sh/resource-policy": "keep"}}}
    after = release_inputs(
        "2.0.0", objects=[deployment_manifest(image="example.com/shop:2"), deployment_manifest("till")]
    )
    found = previews.build_preview(preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(), after))

    (change,) = reviewed(found, seen(shops_shop=record(deployment_manifest(), deployment_manifest("bench"), kept)))

    assert verbs(change) == {
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
)
def test_only_another_pod_template_restarts(after: dict[str, Any], restarts: bool) -> None:
    before = deployment_manifest()
    if after["kind"] == "DaemonSet":
        for each in (before, after):
            each["kind"] = "DaemonSet"
            each["spec"]["updateStrategy"] = {"type": "OnDelete"}
    found = previews.build_preview(
        preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(), release_inputs(objects=[after]))
    )

    (change,) = reviewed(found, seen(shops_shop=record(before)))

    assert [each.restarts for each in change.objects] == [restarts]


def test_of_a_release_that_goes_all_objects_go_and_of_a_new_one_all_come() -> None:
    objects = [deployment_manifest(), crd_manifest()]
    gone = previews.build_preview(preview_step("delete", HELM_RELEASE_TYPE, "west-shop", release_inputs()))
    new = previews.build_preview(
        preview_step("create", HELM_RELEASE_TYPE, "west-shop", after=release_inputs(objects=objects, crds=True))
    )

    assert set(verbs(reviewed(gone, seen(shops_shop=record(*objects)))[0]).values()) == {"removed"}
    assert verbs(reviewed(new)[0]) == {
        "Deployment shops/shop": "added",
        "CustomResourceDefinition cups.example.com": "added",
        "CustomResourceDefinition lids.example.com": "added",
    }


def test_what_lies_in_a_charts_crds_comes_with_the_first_installation_only() -> None:
    found = previews.build_preview(
        preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(), release_inputs(crds=True))
    )

    assert reviewed(found, seen(shops_shop=record()))[0].objects == ()


def test_without_the_record_the_state_is_rendered_and_that_is_said() -> None:
    before, after = (release_inputs(objects=[deployment_manifest(image=image)]) for image in ("a:1", "a:2"))
    found = previews.build_preview(preview_step("update", HELM_RELEASE_TYPE, "west-shop", before, after))

    (change,) = reviewed(found, seen(shops_shop="Helm's records in namespace shops (not allowed)"))

    assert change.from_state == "can't be seen: Helm's records in namespace shops (not allowed)"
    assert verbs(change) == {"Deployment shops/shop": "changed"}


def test_a_chart_that_can_not_be_rendered_is_told_and_its_values_are_compared() -> None:
    before, after = ({**release_inputs(level=level), "chart": "broken"} for level in (1, 2))
    found = previews.build_preview(preview_step("update", HELM_RELEASE_TYPE, "west-shop", before, after))

    (change,) = reviewed(found)

    assert change.failure == "execution error at (broken/templates/a.yaml): no password"
    assert [field.path for field in change.values] == ["level"]


def test_a_release_is_rendered_with_the_kinds_that_come_before_it_and_no_others() -> None:
    charts = Charts()
    found = previews.build_preview(
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
            needs=[resource_urn("component", "west-linkerd")],
        ),
        preview_step(
            "create",
            "component",
            "west-linkerd",
            after={},
            needs=[resource_urn(HELM_RELEASE_TYPE, "west-crds")],
            cluster=None,
        ),
    )

    reviewed(found, charts=charts)

    assert charts.offers["shop 1.0.0"].api_versions == ["example.com/v1", "example.com/v1/Cup"]


def test_a_secret_that_alone_changes_is_told_without_being_shown() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "a"}, "stringData": SECRET}
    found = previews.build_preview(
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

    (change,) = reviewed(found, seen(shops_shop=record(deployment_manifest(), till="open-sesame-7")))
    (resource,) = changes.compare_resources(found, {}, ())

    assert [line for field in change.values for line in field.lines] == ["! till: [secret] (changed)"]
    told = [line for field in resource.fields for line in field.lines]
    assert told == ['! stringData["tls.key"]: [secret] (changed)']


def test_a_secret_value_is_hidden_in_what_helm_has_written_down() -> None:
    after = release_inputs("2.0.0", objects=[deployment_manifest(image=f"example.com/{SECRET}:2")], till=SECRET)
    found = previews.build_preview(
        preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(till=SECRET), after)
    )
    before = record(deployment_manifest(image="example.com/open-sesame-7:1"), till="open-sesame-7")

    text = json.dumps(json_output.build_data(report(found, *reviewed(found, seen(shops_shop=before)))))

    assert "open-sesame-7" not in text
    assert f"example.com/{SECRET}:1" in text


def test_what_differs_only_in_the_cluster_is_told() -> None:
    same = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"ports": []}}
    found = previews.build_preview(
        preview_step("update", "kubernetes:core/v1:Service", "west-shop", same, same, changed=["spec.type"])
    )

    (resource,) = changes.compare_resources(found, {}, ())

    assert [field.path for field in resource.fields] == ["spec.type"]


def test_three_steps_of_a_replacement_are_one() -> None:
    one, other = deployment_manifest(), deployment_manifest("till")
    kind = "kubernetes:apps/v1:Deployment"
    found = previews.build_preview(
        preview_step("delete-replaced", kind, "west-shop", one),
        preview_step("replace", kind, "west-shop", one, other),
        preview_step("create-replacement", kind, "west-shop", one, other),
    )

    (resource,) = changes.compare_resources(found, {}, ())

    assert resource.operation == "replace"
    assert resource.object is not None
    assert (resource.object.verb, resource.object.restarts) == ("replaced", False)


def test_what_can_not_come_back_is_set_apart() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shops"}}
    tls = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "k"}, "data": {}}
    found = previews.build_preview(
        preview_step("delete", "kubernetes:core/v1:Namespace", "west-shops", namespace),
        preview_step("delete", "kubernetes:core/v1:Secret", "west-tls", tls),
        preview_step("replace", "tls:index/privateKey:PrivateKey", "trust-key", {}, {}, cluster=None),
        preview_step(
            "update", HELM_RELEASE_TYPE, "west-shop", release_inputs(), release_inputs(objects=[deployment_manifest()])
        ),
        preview_step("delete", "kubernetes:apps/v1:Deployment", "west-shop", deployment_manifest()),
    )
    (change,) = reviewed(found, seen(shops_shop=record(deployment_manifest(), crd_manifest())))

    losses = report(found, change).losses

    assert [(loss.cluster, loss.what, loss.operation) for loss in losses] == [
        ("", "trust-key", "replaced"),
        ("west", "CustomResourceDefinition cups.example.com", "deleted"),
        ("west", "Namespace shops", "deleted"),
        ("west", "Secret default/k", "deleted"),
    ]
    assert "### Can't be undone: 4" in markdown.render_review(report(found, change))


def test_certificates_that_end_soon_are_told_with_whether_they_are_renewed() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    ends = {name: (now + timedelta(days=days)).isoformat() for name, days in (("a", 5), ("b", 20), ("c", 90))}
    found = previews.build_preview(
        preview_step("same", STACK_TYPE, "dev", {}, {}, outputs={"certificateExpiry": {"issuers": ends}}, cluster=None),
        preview_step("replace", "tls:index/x:X", "b", {}, {}, outputs={"validityEndTime": ends["b"]}, cluster=None),
    )

    soon = find_expiring_certificates(found, 30, now)

    assert [(each.what, each.renewed) for each in soon] == [("issuers a", False), ("issuers b", True)]


def test_steps_stand_in_the_order_of_their_names_whatever_order_pulumi_took() -> None:
    steps = [
        preview_step("create", "kubernetes:core/v1:Service", f"west-{name}", after={"kind": "Service"})
        for name in "bca"
    ]

    texts = {markdown.render_review(report(previews.build_preview(*order))) for order in (steps, steps[::-1])}

    assert len(texts) == 1


def test_a_resource_belongs_to_the_cluster_of_its_provider() -> None:
    found = previews.build_preview(
        preview_step("create", KUBERNETES_PROVIDER_TYPE, "west", after={}, cluster=None),
        preview_step("create", "kubernetes:core/v1:Service", "x", after={"kind": "Service"}),
        preview_step("create", "tls:index/privateKey:PrivateKey", "key", after={}, cluster=None),
    )

    assert {each.name: each.cluster for each in found.steps} == {"west": "west", "x": "west", "key": None}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "this is not what `pulumi preview --json` prints"),
        ("[]", "this is not what `pulumi preview --json` prints"),
        ('{"steps": [], "diagnostics": [{"severity": "error", "message": "links[0]: wrong\\n"}]}', "links[0]: wrong"),
    ],
)
def test_what_is_no_preview_says_why(text: str, reason: str) -> None:
    with pytest.raises(PreviewFailedError) as failed:
        preview.parse_preview(text)
    assert str(failed.value) == reason


def test_the_newest_record_that_was_deployed_is_read() -> None:
    def secret(revision: int) -> dict[str, Any]:
        content = {"manifest": f"n: {revision}", "version": revision, "chart": {"metadata": {"version": "1"}}}
        packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode()))).decode()
        return {"metadata": {"labels": {"version": str(revision)}}, "data": {"release": packed}}

    class Api:
        def get(self, path: str, what: str) -> dict[str, Any]:
            selector = unquote(path.partition("?labelSelector=")[2])
            assert selector == "owner=helm,name=shop,status in (deployed,uninstalling)"
            return {"items": [secret(9), secret(10)]}

    found = release_storage.read_latest_revision(Api(), "shops", "shop")  # type: ignore[arg-type]

    assert found is not None
    assert (found.manifest, found.values) == ("n: 10", {})


def test_what_nobody_knows_yet_is_neither_shown_as_gone_nor_guessed() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": UNKNOWN_VALUE}
    asked = {"values": {"ca": UNKNOWN_VALUE, "size": 3}, "repositoryOpts": {"password": secret}}
    line = {"method": "/pulumirpc.ResourceMonitor/RegisterResource", "request": {"object": asked}}
    registered = CapturedInputs()
    registered.take(json.dumps({**line, "response": {"urn": resource_urn(HELM_RELEASE_TYPE, "west-shop")}}))
    # As the provider leaves it: without what it doesn't know.
    steps = [
        preview_step("update", HELM_RELEASE_TYPE, "west-shop", release_inputs(ca="old", size=1), release_inputs(size=3))
    ]
    found = preview.parse_preview(json.dumps({"steps": steps}), registered)

    class Hashing(Charts):
        def render(self, wanted: ReleaseSpec, offer: ApiResources, way: Access | None) -> list[dict[str, Any]]:
            text = str(wanted.values["ca"])
            digest = hashlib.sha256(text.encode()).hexdigest()
            data = {"ca": text, "sum": digest, "all": f"size: {wanted.values['size']}\nca: {digest}\n"}
            return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": data}]

    before = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"all": "size: 1\n"}}
    (change,) = reviewed(found, seen(shops_shop=record(before)), Hashing())

    assert [line for field in change.values for line in field.lines] == [
        "- ca: old",
        "+ ca: (known only after the update)",
        "- size: 1",
        "+ size: 3",
    ]
    told = {field.path: field.lines for field in change.objects[0].fields}
    assert told["data.ca"] == ["+ data.ca: (known only after the update)"]
    assert told["data.sum"] == ["+ data.sum: (known only after the update)"]
    assert "+(known only after the update)" in told["data.all"]
    assert "+size: 3" in told["data.all"]


def test_pulumis_log_goes_through_a_pipe_and_is_gone_afterwards(tmp_path: Path) -> None:
    registered = CapturedInputs()
    entry = {
        "method": "/pulumirpc.ResourceMonitor/RegisterResource",
        "request": {"object": {"spec": UNKNOWN_VALUE, "size": "x" * 100_000}},
        "response": {"urn": "urn"},
    }

    with registered.listening(tmp_path) as variables:
        pipe = Path(variables["PULUMI_DEBUG_GRPC"])
        assert pipe.is_fifo()
        for _ in range(3):
            with pipe.open("a") as log:
                log.write(json.dumps(entry) + "\n")

    assert list(tmp_path.iterdir()) == []
    assert registered.completed("urn", {"size": 1}) == {"size": 1, "spec": UNKNOWN_VALUE}


def test_policies_judge_what_changes_and_count_the_rest() -> None:
    kind = "kubernetes:apps/v1:Deployment"
    found = previews.build_preview(
        preview_step("create", kind, "west-new", after=deployment_manifest(image="example.com/new:latest")),
        preview_step("same", kind, "west-old", deployment_manifest(image="old"), deployment_manifest(image="old")),
        preview_step("delete", kind, "west-gone", deployment_manifest(image="gone")),
    )

    new, older = check_policies(found)

    assert [each.mandatory for each in new] == [True]
    assert "west-new" in new[0].text
    assert older == 1
