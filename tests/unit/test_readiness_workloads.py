"""Workloads that are not ready because of their controllers, and other kinds of objects."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.readiness.diagnosis import Cause, RemedySettings, format_report, format_short
from tests.helpers.unready_objects import (
    EVENTS,
    NAMESPACE,
    OWNER_UID,
    PODS,
    REPLICA_SETS,
    build_api_server,
    diagnose_on,
    event,
    job,
    pod,
    pod_event,
    replica_set,
    running,
    terminated,
    unscheduled,
    waiting,
    workload,
)

QUOTA = (
    'pods "linkerd-destination-7d9c8f5b6d-abcde" is forbidden: exceeded quota: compute, requested: pods=1, '
    "used: pods=0, limited: pods=0"
)
POD_SECURITY = (
    'pods "linkerd-destination-7d9c8f5b6d-abcde" is forbidden: violates PodSecurity "restricted:latest": unrestricted '
    'capabilities (container "linkerd-init" must not include "NET_ADMIN", "NET_RAW" in securityContext)'
)
WEBHOOK_DOWN = (
    'Internal error occurred: failed calling webhook "linkerd-proxy-injector.linkerd.io": failed to call webhook: Post '
    '"https://linkerd-proxy-injector.linkerd.svc:443/?timeout=10s": no endpoints available for service'
)


def creation_cause(message: str, **status: Any) -> Cause:
    """Return the cause for a Deployment whose ReplicaSet cannot create its pod."""
    events = [event("FailedCreate", f"Error creating: {message}", "replica-set-1", minute=3)]
    api_server = build_api_server(events=events, replica_sets=[replica_set()])
    [diagnosis] = diagnose_on(api_server, workload(updatedReplicas=0, **status))
    [cause] = diagnosis.causes
    assert diagnosis.summary == "1 of 1 pod not created"
    return cause


@pytest.mark.parametrize(
    ("message", "identity", "remedy"),
    [
        (QUOTA, "quota/compute", "`kubectl -n linkerd edit resourcequota compute`"),
        (
            'pods "x" is forbidden: failed quota: compute: must specify limits.cpu for: policy',
            "quota/compute",
            "`clusters.west.linkerd.values.linkerd-control-plane`",
        ),
        (POD_SECURITY, "PodSecurity/restricted:latest", "`clusters.west.linkerd.cni: true`"),
        (
            'pods "x" is forbidden: violates PodSecurity "baseline:v1.30": hostPath volumes (volume "a")',
            "PodSecurity/baseline:v1.30",
            "pod-security.kubernetes.io/enforce=privileged",
        ),
        (
            'admission webhook "validate.kyverno.svc-fail" denied the request: policy require-labels failed',
            "webhook/validate.kyverno.svc-fail",
            "from webhook validate.kyverno.svc-fail, or satisfy it in `clusters.west",
        ),
        (
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'limits' with binding 'b' denied request: no limits",
            "policy/limits",
            "exempt namespace linkerd from the policy",
        ),
        (
            'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
            "LimitRange/maximum cpu usage per Container",
            "-n linkerd get limitrange",
        ),
    ],
)
def test_refusal_by_admission_is_permanent_with_remedy(message: str, identity: str, remedy: str) -> None:
    cause = creation_cause(message)

    assert cause.subject == "ReplicaSet linkerd-destination-7d9c8f5b6d"
    assert cause.reason == "FailedCreate"
    assert cause.permanent == f"Deployment/linkerd/linkerd-destination/FailedCreate/{identity}"
    assert remedy in str(cause.remedy)
    assert cause.attempt


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (WEBHOOK_DOWN, "check the Deployment linkerd-proxy-injector"),
        (
            WEBHOOK_DOWN.replace("linkerd-proxy-injector.linkerd.io", "x.example.com"),
            "repair the Service of webhook x.ex",
        ),
        (
            'pods "x" is forbidden: error looking up service account linkerd/own: serviceaccount "own" not found',
            "the service account own",
        ),
        ('pods "x" is forbidden: no PriorityClass with name high was found', "create the PriorityClass high"),
        ("unable to create new content in namespace linkerd because it is being terminated", "pulumi up --refresh"),
        ("etcdserver: request timed out", "-n linkerd get events"),
    ],
)
def test_refusal_that_may_resolve_itself_is_not_permanent(message: str, remedy: str) -> None:
    cause = creation_cause(message)

    assert cause.permanent is None
    assert remedy in str(cause.remedy)


def test_name_of_pod_is_not_part_of_refusal() -> None:
    assert creation_cause(QUOTA).message == (
        "exceeded quota: compute, requested: pods=1, used: pods=0, limited: pods=0"
    )


@pytest.mark.parametrize("prefix", ["", "(combined from similar events): "])
def test_prefix_of_event_is_not_part_of_refusal(prefix: str) -> None:
    for start in ("Error creating: ", "Create Pod web-0 in StatefulSet web failed error: "):
        events = [event("FailedCreate", f"{prefix}{start}{QUOTA}", OWNER_UID)]
        [diagnosis] = diagnose_on(build_api_server(events=events), workload("StatefulSet"))

        assert diagnosis.causes[0].message.startswith("exceeded quota: compute, requested")


def test_condition_replaces_events_that_cannot_be_read() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    api_server = build_api_server(replica_sets=[replica_set()])
    api_server.statuses[EVENTS] = 403
    [diagnosis] = diagnose_on(api_server, workload(updatedReplicas=0, conditions=[failure]))

    assert diagnosis.causes[0].permanent is not None
    assert diagnosis.causes[1].message == "cannot read events in namespace linkerd (not allowed)"


def test_quota_that_blocks_an_update_is_reported() -> None:
    former = pod(running(ready=True), template_hash="old", conditions=[{"type": "Ready", "status": "True"}])
    events = [event("FailedCreate", f"Error creating: {QUOTA}", "replica-set-2")]
    replica_sets = [replica_set(1, "old"), replica_set(2, "new")]
    api_server = build_api_server([former], events, replica_sets)
    [diagnosis] = diagnose_on(api_server, workload(updatedReplicas=0))

    assert diagnosis.summary == "1 of 1 pod not updated"
    assert diagnosis.causes[0].subject == "ReplicaSet linkerd-destination-new"
    assert diagnosis.causes[0].permanent is not None


def test_only_pods_of_current_revision_are_examined() -> None:
    former = pod(waiting("CrashLoopBackOff"), name="former", template_hash="old")
    current = pod(waiting("ErrImageNeverPull"), name="current", template_hash="new")
    api_server = build_api_server([former, current], [], [replica_set(9, "old"), replica_set(10, "new")])
    [diagnosis] = diagnose_on(api_server, workload(replicas=1))

    assert [each.reason for each in diagnosis.causes] == ["ErrImageNeverPull"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("StatefulSet", f"create Pod web-0 in StatefulSet web failed error: {QUOTA}"),
        ("DaemonSet", f"Error creating: {QUOTA}"),
    ],
)
def test_refusal_of_other_workloads_is_reported(kind: str, message: str) -> None:
    events = [event("FailedCreate", message, OWNER_UID)]
    live = workload(kind, desiredNumberScheduled=1)
    [diagnosis] = diagnose_on(build_api_server(events=events), live)

    assert diagnosis.causes[0].subject == f"{kind} linkerd-destination"
    assert diagnosis.causes[0].permanent is not None


def test_paused_rollout_is_reported() -> None:
    live = workload()
    live["spec"]["paused"] = True
    [diagnosis] = diagnose_on(build_api_server(), live)

    assert diagnosis.causes[0].reason == "Paused"
    assert "`kubectl -n linkerd rollout resume deployment/linkerd-destination`" in str(diagnosis.causes[0].remedy)


def test_change_that_no_controller_handled_is_reported() -> None:
    live = workload(observedGeneration=1)
    live["metadata"]["generation"] = 2
    [diagnosis] = diagnose_on(build_api_server(), live)

    assert "kube-controller-manager" in str(diagnosis.causes[0].remedy)


def test_exceeded_progress_deadline_is_reported() -> None:
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": 'ReplicaSet "linkerd-destination-7d9c8f5b6d" has timed out progressing.',
    }
    ready = pod(running(ready=True), conditions=[{"type": "Ready", "status": "True"}])
    [diagnosis] = diagnose_on(build_api_server([ready]), workload(conditions=[condition]))

    assert diagnosis.causes[0].reason == "ProgressDeadlineExceeded"


def test_terminating_pod_of_former_revision_is_reported() -> None:
    former = pod(running(ready=True), name="former", template_hash="old")
    former["metadata"]["deletionTimestamp"] = "2099-01-01T00:00:00Z"
    current = pod(running(ready=True), name="current", conditions=[{"type": "Ready", "status": "True"}])
    api_server = build_api_server([former, current], replica_sets=[replica_set(1, "old"), replica_set(2)])
    [diagnosis] = diagnose_on(api_server, workload())

    assert format_short(diagnosis) == (
        "Deployment linkerd-destination (the rollout is not complete: Terminating: the pod is being deleted)"
    )


def test_failed_job_is_permanent_with_log_of_its_pod() -> None:
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "message": "Job has reached the specified backoff limit",
    }
    failed = pod({**running(), "state": terminated(1)}, phase="Failed")
    failed["spec"]["restartPolicy"] = "Never"
    log = f"{PODS}/{failed['metadata']['name']}/log"
    [diagnosis] = diagnose_on(
        build_api_server([failed], further={log: b"no route\n"}), job(failed=2, conditions=[condition])
    )

    assert diagnosis.summary == "failed, 2 pods failed"
    assert [each.reason for each in diagnosis.causes] == ["BackoffLimitExceeded", "Error"]
    assert diagnosis.causes[0].permanent == "Job/linkerd/heartbeat/BackoffLimitExceeded"
    assert diagnosis.causes[1].log == ("no route",)


def test_running_job_has_no_remedy() -> None:
    runs = pod(running(ready=True), conditions=[{"type": "Ready", "status": "True"}])
    [diagnosis] = diagnose_on(build_api_server([runs]), job(active=1))

    assert format_short(diagnosis) == "Job heartbeat (not complete: Running: its pod runs)"


def gateway_service(**spec: Any) -> Any:
    metadata = {"name": "linkerd-gateway", "namespace": NAMESPACE, "uid": OWNER_UID}
    return {"kind": "Service", "metadata": metadata, "spec": {"type": "LoadBalancer", **spec}, "status": {}}


@pytest.mark.parametrize(
    ("chart", "remedy"),
    [
        ("linkerd-multicluster", "`clusters.west.gateway.loadBalancer.await: false`"),
        ("cilium", "`clusters.west.cilium.service: NodePort`"),
        ("ingress-nginx", "controller.service.type: NodePort in `extensions.ingressNginx.values`"),
    ],
)
def test_pending_load_balancer_names_the_setting(chart: str, remedy: str) -> None:
    settings = RemedySettings(cluster="west", owner=chart, chart=chart)
    [diagnosis] = diagnose_on(build_api_server(), gateway_service(), settings=settings)

    assert diagnosis.summary == "no address"
    assert remedy in str(diagnosis.causes[0].remedy)


def test_load_balancer_is_reported_with_its_events() -> None:
    events = [
        event("EnsuringLoadBalancer", "Ensuring load balancer", OWNER_UID, kind="Normal", minute=2),
        event("AllocationFailed", 'Failed to allocate IP for "linkerd/linkerd-gateway": no available IPs', OWNER_UID),
    ]
    [diagnosis] = diagnose_on(build_api_server(events=events), gateway_service())

    assert diagnosis.causes[0].reason == "AllocationFailed"
    assert "`extensions.metallb.pools.west`" in str(diagnosis.causes[0].remedy)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({"type": "NamesAccepted", "status": "False", "reason": "PluralConflict", "message": "x"}, "PluralConflict"),
        ({"type": "NonStructuralSchema", "status": "True", "reason": "Violations"}, "NonStructuralSchema"),
        ({"type": "Terminating", "status": "True", "message": "CustomResource deletion is in progress"}, "Terminating"),
        ({"type": "Established", "status": "False", "reason": "NotAccepted"}, "NotAccepted"),
    ],
)
def test_crd_that_is_not_established_is_reported(condition: dict[str, str], reason: str) -> None:
    crd = {"kind": "CustomResourceDefinition", "metadata": {"name": "links", "uid": "1"}}
    [diagnosis] = diagnose_on(build_api_server(), {**crd, "status": {"conditions": [condition]}})

    assert diagnosis.causes[0].reason == reason


def test_unavailable_api_service_is_reported() -> None:
    live = {
        "kind": "APIService",
        "metadata": {"name": "v1alpha1.tap.linkerd.io", "uid": "1"},
        "spec": {"service": {"namespace": "linkerd-viz", "name": "tap"}},
        "status": {
            "conditions": [
                {
                    "type": "Available",
                    "status": "False",
                    "reason": "MissingEndpoints",
                    "message": "no endpoints for tap.",
                }
            ]
        },
    }
    [diagnosis] = diagnose_on(build_api_server(), live)

    assert format_report([diagnosis]) == [
        "APIService v1alpha1.tap.linkerd.io: not available",
        "  APIService v1alpha1.tap.linkerd.io: MissingEndpoints: no endpoints for tap",
        "    remedy: check the pods of its Service: `kubectl -n linkerd-viz get pods,endpointslices`",
    ]


def test_deleted_object_is_reported() -> None:
    live = workload()
    del live["metadata"]["uid"], live["status"]
    [diagnosis] = diagnose_on(build_api_server(), live)

    assert diagnosis.summary == "does not exist"
    assert "pulumi up --refresh" in str(diagnosis.causes[0].remedy)


def test_forbidden_pods_leave_the_status_of_the_workload() -> None:
    api_server = build_api_server()
    api_server.statuses[PODS] = 403
    [diagnosis] = diagnose_on(api_server, workload(replicas=3, readyReplicas=1))

    assert diagnosis.summary == "2 of 3 pods not ready"
    assert diagnosis.causes[0].message == "cannot read pods in namespace linkerd (not allowed)"


def test_lost_cluster_is_asked_once() -> None:
    api_server = build_api_server()
    api_server.statuses[""] = 503
    diagnoses = diagnose_on(api_server, workload(name="one"), workload(name="two"))

    assert len(api_server.requests) == 1
    assert [each.causes[0].reason for each in diagnoses] == ["Incomplete", "Incomplete"]
    assert "503" in diagnoses[0].causes[0].message


def test_pods_that_explain_the_state_need_one_request() -> None:
    api_server = build_api_server([unscheduled("0/1 nodes are available: 1 Insufficient cpu.")])
    diagnose_on(api_server, workload())

    assert api_server.requests == [f"GET {PODS}"]


def test_events_are_read_once_for_all_objects() -> None:
    api_server = build_api_server([pod(waiting("ContainerCreating"))])
    diagnose_on(api_server, workload(name="one"), workload(name="two"))

    assert api_server.requests.count(f"GET {EVENTS}") == 1
    assert not any(REPLICA_SETS in request for request in api_server.requests)


def test_events_of_busy_namespace_are_read_per_object() -> None:
    message = 'MountVolume.SetUp failed for volume "a" : secret "b" not found'
    mount = pod_event("FailedMount", message)
    uid = mount["involvedObject"]["uid"]
    api_server = build_api_server([pod(waiting("ContainerCreating"))])
    api_server.objects[EVENTS] = {"metadata": {"continue": "next"}, "items": []}
    api_server.objects[f"{EVENTS}?fieldSelector=involvedObject.uid%3D{uid}&limit=500"] = {"items": [mount]}
    [diagnosis] = diagnose_on(api_server, workload())

    assert diagnosis.causes[0].message == message


def test_same_remedy_is_printed_once() -> None:
    api_server = build_api_server([unscheduled("0/1 nodes are available: 1 node(s) were unschedulable.")])
    lines = format_report(diagnose_on(api_server, workload(name="one"), workload(name="two")))

    assert lines[2] == "    remedy: wait for a node; or uncordon a node (`kubectl get nodes`, `kubectl uncordon NODE`)"
    assert lines[5] == "    remedy: as above"
