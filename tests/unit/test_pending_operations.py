"""Leftovers of a killed Pulumi: orphaned provider processes and pending operations."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from hack.make import pending_operations

STACK = "urn:pulumi:dev::multicluster-mesh::"
NAMESPACE = {
    "urn": f"{STACK}kubernetes:core/v1:Namespace::west-test",
    "custom": True,
    "type": "kubernetes:core/v1:Namespace",
    "inputs": {"metadata": {"name": "test"}},
}
SECRET = {
    "urn": f"{STACK}kubernetes:core/v1:Secret::west-issuer",
    "custom": True,
    "type": "kubernetes:core/v1:Secret",
    "inputs": {"metadata": {"namespace": "linkerd", "name": "linkerd-identity-issuer"}},
}
RELEASE = {
    "urn": f"{STACK}kubernetes:helm.sh/v3:Release::west-linkerd-crds",
    "custom": True,
    "type": "kubernetes:helm.sh/v3:Release",
    "inputs": {"namespace": "linkerd", "name": "linkerd-crds", "chart": "linkerd-crds"},
}
KEY = {
    "urn": f"{STACK}tls:index/privateKey:PrivateKey::trust-root",
    "custom": True,
    "type": "tls:index/privateKey:PrivateKey",
    "inputs": {"algorithm": "ECDSA"},
}


def pending(resource: dict[str, Any], operation: str = "creating") -> dict[str, Any]:
    return {"resource": resource, "type": operation}


def test_pending_creates_are_adopted_with_provider_ids() -> None:
    state = {"resources": [KEY], "pending_operations": [pending(NAMESPACE), pending(SECRET), pending(RELEASE)]}

    pending_operations.adopt_pending(state)

    ids = {resource["urn"]: resource.get("id") for resource in state["resources"]}
    assert ids == {
        KEY["urn"]: None,
        NAMESPACE["urn"]: "test",
        SECRET["urn"]: "linkerd/linkerd-identity-issuer",
        RELEASE["urn"]: "linkerd/linkerd-crds",
    }
    assert "pending_operations" not in state


def test_pending_private_key_is_dropped() -> None:
    state: dict[str, Any] = {"pending_operations": [pending(KEY)]}

    pending_operations.adopt_pending(state)

    assert state == {}


@pytest.mark.parametrize("operation", ["creating", "updating", "deleting"])
def test_resource_in_state_is_not_adopted_twice(operation: str) -> None:
    state = {"resources": [{**SECRET, "id": "linkerd/linkerd-identity-issuer"}]}
    before = {"resources": list(state["resources"])}

    pending_operations.adopt_pending(state | {"pending_operations": [pending(SECRET, operation)]})

    assert state == before


def test_only_completed_operations_are_dropped() -> None:
    state: dict[str, Any] = {
        "resources": [{**SECRET, "id": "linkerd/linkerd-identity-issuer"}],
        "pending_operations": [pending(SECRET), pending(NAMESPACE)],
    }

    assert pending_operations.drop_completed_operations(state)

    assert state["pending_operations"] == [pending(NAMESPACE)]
    assert not pending_operations.drop_completed_operations(state)


@contextmanager
def provider(*parents: str, backend: str) -> Iterator[psutil.Process]:
    """Start a process that looks like a dynamic provider, as a child of other processes."""
    serve = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", "pulumi.dynamic"]
    process = subprocess.Popen([*parents, *serve], env={"PULUMI_BACKEND_URL": backend}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    outer = psutil.Process(process.pid)
    family = [outer, *outer.children(recursive=True)]
    try:
        yield family[-1]
    finally:
        for member in family:
            if member.is_running():
                member.kill()
        process.wait()
        process.stdout.close()


def test_provider_without_engine_is_terminated(tmp_path: Path) -> None:
    with provider(backend=tmp_path.as_uri()) as orphan:
        assert pending_operations.kill_orphans(tmp_path.as_uri()) == [orphan.pid]


def test_providers_of_other_labs_or_live_engines_stay(tmp_path: Path) -> None:
    engine = tmp_path / "pulumi"
    engine.write_text('#!/bin/sh\n"$@"\nexit\n')
    engine.chmod(0o755)
    with provider(backend="file:///elsewhere") as other, provider(str(engine), backend=tmp_path.as_uri()) as own:
        assert pending_operations.kill_orphans(tmp_path.as_uri()) == []
        assert other.is_running()
        assert own.is_running()
