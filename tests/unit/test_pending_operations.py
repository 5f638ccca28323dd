"""What a killed Pulumi has left: which processes are ended, and what becomes of operations whose end isn't known."""

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


def pending(resource: dict[str, Any], what: str = "creating") -> dict[str, Any]:
    return {"resource": resource, "type": what}


def test_what_may_have_been_made_is_known_to_destroy_by_the_id_that_its_provider_gives_it() -> None:
    found = {"resources": [KEY], "pending_operations": [pending(NAMESPACE), pending(SECRET), pending(RELEASE)]}

    pending_operations.adopt_pending(found)

    taken = {resource["urn"]: resource.get("id") for resource in found["resources"]}
    assert taken == {
        KEY["urn"]: None,
        NAMESPACE["urn"]: "test",
        SECRET["urn"]: "linkerd/linkerd-identity-issuer",
        RELEASE["urn"]: "linkerd/linkerd-crds",
    }
    assert "pending_operations" not in found


def test_a_key_that_was_never_written_down_is_nowhere() -> None:
    found: dict[str, Any] = {"pending_operations": [pending(KEY)]}

    pending_operations.adopt_pending(found)

    assert found == {}


@pytest.mark.parametrize("what", ["creating", "updating", "deleting"])
def test_what_is_known_is_not_taken_up_twice(what: str) -> None:
    found = {"resources": [{**SECRET, "id": "linkerd/linkerd-identity-issuer"}]}
    before = {"resources": list(found["resources"])}

    pending_operations.adopt_pending(found | {"pending_operations": [pending(SECRET, what)]})

    assert found == before


def test_only_what_has_been_made_since_is_forgotten() -> None:
    found: dict[str, Any] = {
        "resources": [{**SECRET, "id": "linkerd/linkerd-identity-issuer"}],
        "pending_operations": [pending(SECRET), pending(NAMESPACE)],
    }

    assert pending_operations.drop_completed_operations(found)

    assert found["pending_operations"] == [pending(NAMESPACE)]
    assert not pending_operations.drop_completed_operations(found)


@contextmanager
def provider(*parents: str, backend: str) -> Iterator[psutil.Process]:
    """What looks like a dynamic provider, in a process under others."""
    serve = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", "pulumi.dynamic"]
    process = subprocess.Popen([*parents, *serve], env={"PULUMI_BACKEND_URL": backend}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    found = psutil.Process(process.pid)
    family = [found, *found.children(recursive=True)]
    try:
        yield family[-1]
    finally:
        for one in family:
            if one.is_running():
                one.kill()
        process.wait()
        process.stdout.close()


def test_a_provider_without_its_engine_is_ended(tmp_path: Path) -> None:
    with provider(backend=tmp_path.as_uri()) as orphan:
        assert pending_operations.kill_orphans(tmp_path.as_uri()) == [orphan.pid]


def test_providers_of_other_labs_and_of_an_engine_that_lives_are_left_alone(tmp_path: Path) -> None:
    engine = tmp_path / "pulumi"
    engine.write_text('#!/bin/sh\n"$@"\nexit\n')
    engine.chmod(0o755)
    with provider(backend="file:///elsewhere") as other, provider(str(engine), backend=tmp_path.as_uri()) as own:
        assert pending_operations.kill_orphans(tmp_path.as_uri()) == []
        assert other.is_running()
        assert own.is_running()
