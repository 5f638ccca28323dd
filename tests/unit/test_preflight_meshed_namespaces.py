"""Check of declared namespaces that the proxy injector ignores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.preflight import declared_namespaces
from mesh.preflight.declared_target import DeclaredTarget, NamespaceTarget
from mesh.preflight.service_reader import DeclaredObjects
from tests.helpers.fake_api_server import check_target


@pytest.mark.parametrize(("value", "count"), [("enabled", 1), ("disabled", 0)])
def test_namespace_without_webhooks_is_reported(value: str, count: int) -> None:
    namespace = NamespaceTarget(name="shop", annotations={"linkerd.io/inject": value})
    target = replace(check_target(), declared=DeclaredTarget(namespaces=(namespace,)))
    labels = {"config.linkerd.io/admission-webhooks": "disabled"}

    findings = list(
        declared_namespaces.check(target, DeclaredObjects(namespaces={"shop": {"metadata": {"labels": labels}}}))
    )

    assert len(findings) == count
    assert all("so its pods get no proxy; remove the label" in str(each) for each in findings)
