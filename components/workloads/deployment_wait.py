"""Wait for the Deployments of a sample.

Pulumi's own wait reports no reason, and never ends if the API server stops when the wait begins. So the Deployments
skip it. A record in the stack state depends on them, and a hook waits before the record is created or updated. A
failed wait fails `up`, and the next `up` waits again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pulumi

from components.cluster import Cluster
from components.sdk.hooks import HookStep, bind_step_hook
from components.sdk.kubernetes_object import KubernetesObject
from components.services.mesh_namespace import MeshNamespace

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.readiness.diagnosis import RemedySettings
from mesh.readiness.wait import ReadinessWait


def create_deployment_wait(
    name: str,
    cluster: Cluster,
    namespace: MeshNamespace,
    sample: str,
    deployments: Mapping[str, pulumi.Output[str]],
    parent: pulumi.Resource,
) -> pulumi.Resource | None:
    """Register the record of a sample's Deployments, and the hook that waits for them; return the record.

    Args:
        name: name of the Pulumi resource.
        cluster: cluster of the sample.
        namespace: namespace of the sample.
        sample: name of the sample, for messages.
        deployments: revisions of the Deployments, by name.
        parent: component of the sample.
    """
    if not deployments:
        return None
    access, limits = cluster.access, cluster.wait_limits
    settings = RemedySettings(cluster=cluster.name, owner=sample, context=cluster.settings.context.name)
    objects = [{"kind": "Deployment", "metadata": {"name": each}} for each in deployments]

    def wait(step: HookStep) -> None:
        client = kube_client.connect(access)
        ReadinessWait(
            client, objects, namespace=namespace.name, settings=settings, limits=limits, report=step.report_status
        ).run()

    return pulumi.Stash(
        name,
        input=dict(deployments),
        opts=pulumi.ResourceOptions(parent=parent, hooks=bind_step_hook(name, wait)),
    )


def deployment_revision(deployment: KubernetesObject, spec: Mapping[str, Any]) -> pulumi.Output[str]:
    """Return a text that changes with a new Deployment, and with each change of its spec by the stack.

    A restart by `kubectl`, or another number of replicas by an autoscaler, changes nothing.

    Args:
        deployment: the Deployment.
        spec: its spec in the program.
    """
    return pulumi.Output.all(deployment.metadata, pulumi.Output.json_dumps(spec, sort_keys=True)).apply(
        lambda outputs: _format_revision(outputs[0], outputs[1])
    )


def _format_revision(metadata: Mapping[str, Any], spec: str) -> str:
    # The preview of a create can lack the UID.
    return f"{metadata['uid']}/{hashlib.sha256(spec.encode()).hexdigest()}" if "uid" in metadata else UNKNOWN_VALUE
