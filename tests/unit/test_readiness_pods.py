"""Pods that are not ready, and the cause that a diagnosis names."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.readiness.diagnosis import Cause, format_report, format_short
from tests.helpers.unready_objects import (
    CLAIMS,
    NAMESPACE,
    PODS,
    build_api_server,
    crashing,
    diagnose_on,
    diagnose_pod,
    pod,
    pod_event,
    running,
    terminated,
    unscheduled,
    waiting,
    workload,
)

POD = "linkerd-destination-7d9c8f5b6d-x2x4z"
LOG = f"{PODS}/{POD}/log"
NODE = "/api/v1/nodes/node-1"


def only_cause(live_pod: Any, *events: Any) -> Cause:
    [cause] = diagnose_pod(live_pod, *events).causes
    return cause


def test_crash_is_reported_with_exit_code_and_log() -> None:
    log = 'starting\n\x1b[31mlevel=fatal\x1b[0m msg="no route" password=open-sesame\n'
    api_server = build_api_server([pod(crashing(1))], further={LOG: log.encode()})
    [diagnosis] = diagnose_on(api_server, workload())

    assert format_report([diagnosis]) == [
        "Deployment linkerd-destination in namespace linkerd: 1 of 1 pod not ready",
        f"  Pod {POD}, container policy: CrashLoopBackOff: exit code 1; restarted 3 times",
        f"    remedy: fix the error in the log: `kubectl -n linkerd logs {POD} -c policy --previous`",
        "    | starting",
        '    | level=fatal msg="no route" password=[secret]',
    ]


def test_log_is_read_on_request_only() -> None:
    api_server = build_api_server([pod(crashing(1))], further={LOG: b"text"})
    [diagnosis] = diagnose_on(api_server, workload(), with_logs=False)

    assert diagnosis.causes[0].log == ()
    assert not any(LOG in request for request in api_server.requests)


def test_log_that_cannot_be_read_is_reported() -> None:
    api_server = build_api_server([pod(crashing(1))])
    api_server.statuses[LOG] = 403
    [diagnosis] = diagnose_on(api_server, workload())

    assert diagnosis.causes[0].reason == "CrashLoopBackOff"
    assert diagnosis.causes[0].log == ("(the log cannot be read: not allowed)",)


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        (crashing(137, "OOMKilled"), "exit code 137, SIGKILL, OOMKilled; restarted 3 times", "raise the memory limit"),
        (crashing(139), "exit code 139, SIGSEGV; restarted 3 times", "-n linkerd logs"),
        (crashing(0, "Completed"), "exit code 0; restarted 3 times", "-n linkerd logs"),
        (
            crashing(128, "StartError", message="exec: no such file"),
            "exit code 128, StartError; restarted 3 times: exec: no such file",
            "-n linkerd logs",
        ),
    ],
)
def test_end_of_container_is_explained(status: dict[str, Any], message: str, remedy: str) -> None:
    cause = only_cause(pod(status))

    assert cause.message == message
    assert remedy in str(cause.remedy)


def test_container_that_runs_again_shows_its_last_end() -> None:
    cause = only_cause(pod(running(restartCount=2, lastState=terminated(2))))

    assert (cause.reason, cause.message) == ("Error", "exit code 2; restarted 2 times")


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        (
            b"iptables v1.8.8 (legacy): can't initialize iptables table `nat': Permission denied",
            "proxyInit.iptablesMode",
        ),
        (b"operation not permitted", "NET_ADMIN"),
    ],
)
def test_failing_linkerd_init_has_its_remedy(log: bytes, remedy: str) -> None:
    live_pod = pod(waiting("PodInitializing"), init=[crashing(1, name="linkerd-init")])
    [diagnosis] = diagnose_on(build_api_server([live_pod], further={LOG: log}), workload())

    [cause] = diagnosis.causes
    assert cause.subject == f"Pod {POD}, init container linkerd-init"
    assert remedy in str(cause.remedy)
    assert "`clusters.west.linkerd.cni: true`" in str(cause.remedy)


def test_only_first_unfinished_init_container_is_reported() -> None:
    done = {"name": "linkerd-init", "state": terminated(0, "Completed")}
    blocked = waiting("CreateContainerConfigError", 'secret "own" not found', "setup")
    cause = only_cause(pod(waiting("PodInitializing"), init=[done, blocked, waiting("PodInitializing", name="last")]))

    assert cause.subject == f"Pod {POD}, init container setup"


def test_sidecar_that_is_not_ready_is_reported() -> None:
    sidecar = running("linkerd-proxy", isSidecar=True, started=False)
    probe = "Startup probe failed: HTTP probe failed with statuscode: 503"
    event = pod_event("Unhealthy", probe)
    event["involvedObject"]["fieldPath"] = "spec.initContainers{linkerd-proxy}"
    cause = only_cause(pod(waiting("PodInitializing"), init=[sidecar]), event)

    assert (cause.reason, cause.message) == ("Unhealthy", probe)
    assert "linkerd-identity" in str(cause.remedy)


def test_failing_probe_is_reported_with_its_message() -> None:
    probe = 'Readiness probe failed: Get "http://10.42.0.7:9990/ready": dial tcp 10.42.0.7:9990: connection refused'
    events = [
        pod_event("Unhealthy", "Liveness probe failed: old", "policy", minute=1),
        pod_event("Unhealthy", probe, "policy", minute=2),
        pod_event("Unhealthy", "Readiness probe failed: other", "proxy", minute=3),
    ]
    cause = only_cause(pod(running()), *events)

    assert (cause.reason, cause.message) == ("Unhealthy", probe)
    assert cause.permanent is None


def test_container_without_probe_event_is_reported() -> None:
    assert only_cause(pod(running())).reason == "ContainersNotReady"


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ('secret "linkerd-identity-issuer" not found', "create Secret linkerd-identity-issuer in namespace linkerd"),
        ('configmap "linkerd-config" not found', "create ConfigMap linkerd-config in namespace linkerd"),
        ("couldn't find key tls.crt in Secret linkerd/issuer", "add the key tls.crt to Secret issuer"),
        ("container has runAsNonRoot and image will run as root (pod: x, container: y)", "not root"),
    ],
)
def test_wrong_configuration_of_container_is_reported(message: str, remedy: str) -> None:
    cause = only_cause(pod(waiting("CreateContainerConfigError", message)))

    assert (cause.reason, cause.message) == ("CreateContainerConfigError", message)
    assert remedy in str(cause.remedy)


def test_volume_that_cannot_be_mounted_is_reported() -> None:
    message = 'MountVolume.SetUp failed for volume "identity" : secret "linkerd-identity-issuer" not found'
    vague = "Unable to attach or mount volumes: unmounted volumes=[identity], unattached volumes=[]: timed out"
    events = [pod_event("FailedMount", message, minute=1), pod_event("FailedMount", vague, minute=2)]
    cause = only_cause(pod(waiting("ContainerCreating")), *events)

    assert (cause.reason, cause.message) == ("FailedMount", message)
    assert "create Secret linkerd-identity-issuer" in str(cause.remedy)


def test_network_plugin_that_fails_is_reported() -> None:
    message = 'Failed to create pod sandbox: plugin type="linkerd-cni" failed (add): unauthorized'
    cause = only_cause(pod(waiting("ContainerCreating")), pod_event("FailedCreatePodSandBox", message))

    assert "CNI" in str(cause.remedy)


def test_starting_containers_are_one_cause_without_remedy() -> None:
    names = ("linkerd-proxy", "destination", "sp-validator", "policy")
    diagnosis = diagnose_pod(pod(*(waiting("ContainerCreating", name=name) for name in names)))

    assert format_short(diagnosis) == (
        "Deployment linkerd-destination (1 of 1 pod not ready: containers linkerd-proxy, destination, sp-validator and "
        "1 more: ContainerCreating)"
    )
    assert diagnosis.causes[0].remedy is None


def test_single_starting_container_has_its_name() -> None:
    diagnosis = diagnose_pod(pod(running("linkerd-proxy", ready=True), waiting("ContainerCreating")))

    assert format_short(diagnosis) == (
        "Deployment linkerd-destination (1 of 1 pod not ready: container policy: ContainerCreating)"
    )


@pytest.mark.parametrize(
    ("message", "remedies"),
    [
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 "
            "Insufficient memory. preemption: 0/3 nodes are available: 3 No preemption victims found.",
            ["`clusters.west.linkerd.tolerations`", "`clusters.west.linkerd.values.linkerd-control-plane`"],
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            ["`clusters.west.linkerd.nodeSelector`"],
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
            ["`clusters.west.linkerd.highAvailability: false`"],
        ),
        ("0/1 nodes are available: 1 node(s) were unschedulable.", ["kubectl uncordon"]),
        ("no nodes available to schedule pods", ["add a node"]),
        ("0/2 nodes are available: something new", ["kubectl describe nodes"]),
    ],
)
def test_pod_without_node_has_the_remedies_of_its_reasons(message: str, remedies: list[str]) -> None:
    cause = only_cause(unscheduled(message))

    assert (cause.reason, cause.message) == ("Unschedulable", message.partition(" preemption: ")[0])
    assert cause.permanent is None
    assert all(each in str(cause.remedy) for each in remedies)


@pytest.mark.parametrize(
    "suffix",
    [
        " preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        " no new claims to deallocate, preemption: 0/3 nodes are available: 3 No preemption victims found.",
        " not found",
    ],
)
def test_result_of_preemption_is_not_quoted(suffix: str) -> None:
    message = '0/3 nodes are available: 3 Insufficient cpu, persistentvolumeclaim "x" not found.'

    assert only_cause(unscheduled(message + suffix)).message == message


def test_pod_that_the_scheduler_ignores_is_reported() -> None:
    assert "kube-scheduler" in str(only_cause(pod({"name": "policy"}, node=None, conditions=[])).remedy)


def test_unbound_claim_is_reported_with_its_event() -> None:
    live_pod = unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
    live_pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    claim = {
        "metadata": {"name": "data", "namespace": NAMESPACE, "uid": "claim"},
        "spec": {"storageClassName": "fast"},
        "status": {"phase": "Pending"},
    }
    event = pod_event("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found')
    event["involvedObject"] = {"uid": "claim"}
    [diagnosis] = diagnose_on(build_api_server([live_pod], [event], further={f"{CLAIMS}/data": claim}), workload())

    first, second = diagnosis.causes
    assert first.subject == "PersistentVolumeClaim data"
    assert first.message == 'storage class fast: storageclass.storage.k8s.io "fast" not found'
    assert "kubectl get storageclass" in str(first.remedy)
    assert (second.reason, second.remedy) == ("Unschedulable", None)


def test_missing_claim_is_reported() -> None:
    message = '0/1 nodes are available: persistentvolumeclaim "data" not found.'

    assert "create PersistentVolumeClaim data" in str(only_cause(unscheduled(message)).remedy)


def test_evicted_pod_is_reported_with_starting_replacement() -> None:
    message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi."
    evicted = pod({"name": "policy"}, name="linkerd-destination-7d9c8f5b6d-old", phase="Failed", reason="Evicted")
    evicted["status"]["message"] = message
    [diagnosis] = diagnose_on(build_api_server([evicted, pod(waiting("ContainerCreating"))]), workload())

    assert [each.reason for each in diagnosis.causes] == ["Evicted", "ContainerCreating"]
    assert diagnosis.causes[0].message == message


@pytest.mark.parametrize(
    ("conditions", "reason", "message"),
    [
        (
            [
                {
                    "type": "Ready",
                    "status": "Unknown",
                    "reason": "NodeStatusUnknown",
                    "message": "Kubelet stopped posting",
                }
            ],
            "NodeNotReady",
            "Node node-1: NodeStatusUnknown: Kubelet stopped posting",
        ),
        (
            [
                {"type": "Ready", "status": "True"},
                {"type": "DiskPressure", "status": "True", "message": "kubelet has disk pressure"},
            ],
            "DiskPressure",
            "Node node-1: kubelet has disk pressure",
        ),
    ],
)
def test_node_that_is_not_well_is_reported(conditions: list[Any], reason: str, message: str) -> None:
    api_server = build_api_server([pod(running())], further={NODE: {"status": {"conditions": conditions}}})
    [diagnosis] = diagnose_on(api_server, workload())

    assert (diagnosis.causes[0].reason, diagnosis.causes[0].message) == (reason, message)


def test_pod_of_missing_node_is_reported() -> None:
    api_server = build_api_server([pod({"name": "policy"})])
    del api_server.objects[NODE]
    [diagnosis] = diagnose_on(api_server, workload())

    assert diagnosis.causes[0].message == "Node node-1 no longer exists"
    assert "--force" in str(diagnosis.causes[0].remedy)


def test_pod_stuck_terminating_on_lost_node_is_reported() -> None:
    stuck = pod(running(ready=True))
    stuck["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api_server = build_api_server([stuck])
    del api_server.objects[NODE]
    [diagnosis] = diagnose_on(api_server, workload("StatefulSet"))

    [cause] = diagnosis.causes
    assert cause.reason == "Terminating"
    assert "Node node-1 no longer exists" in cause.message
    assert f"`kubectl -n linkerd delete pod {POD} --force --grace-period=0`" in str(cause.remedy)


def test_pod_with_finalizers_is_reported() -> None:
    stuck = pod(running())
    stuck["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/hold"]}

    assert "example.com/hold" in only_cause(stuck).message


def test_equal_causes_of_several_pods_are_one() -> None:
    pods = [pod(crashing(1), name=f"linkerd-destination-7d9c8f5b6d-{number}") for number in range(3)]
    [diagnosis] = diagnose_on(build_api_server(pods), workload(replicas=3), with_logs=False)

    [cause] = diagnosis.causes
    assert diagnosis.summary == "3 of 3 pods not ready"
    assert cause.subject == "Pod linkerd-destination-7d9c8f5b6d-0 and 2 more pods, container policy"


def test_probes_of_several_pods_differ_in_addresses_only() -> None:
    pods, events = [], []
    for number in range(2):
        name, address = f"web-{number}", f"10.42.0.{number}"
        pods.append(pod(running(), name=name, podIP=address))
        event = pod_event("Unhealthy", f"Readiness probe failed: dial tcp {address}:9990: refused", "policy")
        event["involvedObject"]["uid"] = f"uid-of-{name}"
        events.append(event)
    [diagnosis] = diagnose_on(build_api_server(pods, events), workload(replicas=2))

    assert len(diagnosis.causes) == 1


def test_log_of_one_replica_is_read() -> None:
    pods = [pod(crashing(1), name=f"web-{number}") for number in range(3)]
    for each in pods:
        each["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "uid": "replica-set-1"}]
    api_server = build_api_server(pods, further={f"{PODS}/web-0/log": b"no route\n"})
    [diagnosis] = diagnose_on(api_server, workload(replicas=3))

    assert [each.log for each in diagnosis.causes] == [("no route",)]
    assert sum("/log" in request for request in api_server.requests) == 1
