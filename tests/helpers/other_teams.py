"""Workloads that other teams deploy, with kubectl, Helm and server-side apply."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from mesh.paths import PROJECT_ROOT
from tests.helpers.stack_under_test import StackUnderTest

CHART = PROJECT_ROOT / "tests/testdata/charts/ledger"
# Its mirror of the cluster east has 63 characters, the most that Kubernetes allows.
LONG_NAME = f"a{'-long-name' * 5}-of-sho"
assert len(f"{LONG_NAME}-east") <= 63


def build_service(name: str, *ports: int, **spec: Any) -> dict[str, Any]:
    """Return a Service that selects the pods with its name."""
    entries = [{"name": f"port-{port}", "port": port, "targetPort": 8080} for port in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"team": "shop"}},
        "spec": {"selector": {"app": name}, "ports": entries, **spec},
    }


def build_workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """Return a Deployment, StatefulSet or DaemonSet with one container."""
    container = {
        "name": name,
        "image": f"registry.example.com/{name}:1.0",
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def apply(
    stack: StackUnderTest, context: str, namespace: str, *objects: dict[str, Any], manager: str | None = None
) -> None:
    """Apply objects as another team does.

    Args:
        stack: the stack, for its environment.
        context: context of the cluster.
        namespace: namespace of the objects.
        objects: the objects.
        manager: field manager of a server-side apply; None: `kubectl apply` of the client.
    """
    options = ["--server-side", "--force-conflicts", f"--field-manager={manager}"] if manager is not None else []
    command = ["kubectl", "--context", context, "--namespace", namespace, "apply", *options, "-f", "-"]
    subprocess.run(
        command, env=stack.environment, input=yaml.safe_dump_all(objects), text=True, check=True, capture_output=True
    )


def upgrade_release(stack: StackUnderTest, context: str, namespace: str, **values: str) -> None:
    """Install or upgrade the release of another team's chart."""
    options = [f"--set-string={key}={value}" for key, value in values.items()]
    stack.run(
        *("helm", "upgrade", "--install", "ledger", str(CHART), "--kube-context", context),
        *("--namespace", namespace, "--create-namespace", *options),
    )
