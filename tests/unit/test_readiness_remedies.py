"""Settings that remedies name."""

from __future__ import annotations

import re

import pytest

from mesh.paths import PROJECT_ROOT
from mesh.readiness.diagnosis import RemedySettings
from tests.helpers.unready_objects import (
    OWNER_UID,
    build_api_server,
    crashing,
    diagnose_on,
    event,
    pod,
    replica_set,
    unscheduled,
    waiting,
    workload,
)

SETTINGS_PAGE = (PROJECT_ROOT / "docs/settings.md").read_text()
SCHEDULER_MESSAGE = (
    "untolerated taint; didn't match Pod's node affinity/selector; anti-affinity rules; Insufficient cpu; unschedulable"
)
PULL_ERRORS = (
    "not found",
    "401 Unauthorized",
    "429 Too Many Requests",
    "i/o timeout",
    "no match for platform",
    "other",
)
PODS = [
    *(pod(waiting("ErrImagePull", each), name=f"pull-{number}") for number, each in enumerate(PULL_ERRORS)),
    pod(crashing(137, "OOMKilled"), name="memory"),
    pod(waiting("PodInitializing"), init=[crashing(1, name="linkerd-init")], name="init"),
    unscheduled(SCHEDULER_MESSAGE),
]
REFUSALS = ('violates PodSecurity "restricted:latest": "NET_ADMIN"', "failed quota: compute: must specify limits.cpu")
CHARTS = [
    *("linkerd-control-plane", "linkerd2-cni", "linkerd-multicluster", "linkerd-viz", "linkerd-jaeger", "linkerd-smi"),
    *("service-mirror", "metallb", "ingress-nginx", "cilium"),
]


def find_settings(remedy: str) -> set[str]:
    """Return the settings in a remedy, in the form of the settings page."""
    paths = re.findall(r"`((?:clusters|linkerd|extensions|cilium|workloads|imagePullSecret)\b[\w.\[\]-]*)", remedy)
    settings = {path.replace("clusters.west.linkerd.", "linkerd.").replace(".west", ".<cluster>") for path in paths}
    values = re.compile(r"(linkerd\.values|images|pools)\..*")
    return {values.sub(r"\1", setting) for setting in settings if setting not in ("linkerd-proxy", "workloads")}


@pytest.mark.parametrize("chart", CHARTS)
def test_settings_in_remedies_exist(chart: str) -> None:
    settings = RemedySettings(cluster="west", owner=chart, chart=chart)
    service = {
        "kind": "Service",
        "metadata": {"name": "gateway", "namespace": "linkerd", "uid": OWNER_UID},
        "spec": {"type": "LoadBalancer"},
    }
    diagnoses = diagnose_on(build_api_server(PODS), workload(replicas=len(PODS)), service, settings=settings)
    for refusal in REFUSALS:
        events = [event("FailedCreate", f"Error creating: {refusal}", "replica-set-1")]
        api_server = build_api_server(events=events, replica_sets=[replica_set()])
        diagnoses += diagnose_on(api_server, workload(updatedReplicas=0), settings=settings)
    remedies = [str(cause.remedy) for diagnosis in diagnoses for cause in diagnosis.causes]
    names = {name for remedy in remedies for name in find_settings(remedy)}

    assert names
    assert [name for name in names if f"`{name}`" not in SETTINGS_PAGE and f":{name}" not in SETTINGS_PAGE] == []


def test_command_has_the_context_and_no_shell_syntax() -> None:
    settings = RemedySettings(cluster="west", owner="podinfo", context="kind-west")

    assert settings.kubectl("get pods", "test") == "`kubectl --context kind-west -n test get pods`"
    assert settings.kubectl("edit resourcequota x;$(reboot)`") == (
        "`kubectl --context kind-west edit resourcequota x___reboot__`"
    )
