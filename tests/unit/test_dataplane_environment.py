"""Environment variables and volumes of the data plane's containers."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hack.lab.dataplane.environment import (
    FindObject,
    MissingObjectError,
    PodFields,
    container_environment,
    expand,
)
from hack.lab.dataplane.volumes import mounts, project_files, token_requests, write_files

POD = {
    "metadata": {
        "name": "web-0",
        "namespace": "shop",
        "uid": "u1",
        "labels": {"app": "web", "tier": "1"},
        "annotations": {"linkerd.io/inject": "enabled"},
    },
    "spec": {"nodeName": "west-1", "serviceAccountName": "web"},
}
FIELDS = PodFields(pod=POD, address="10.1.0.10", node_address="192.0.2.1")


def finder(**objects: Mapping[str, Any]) -> FindObject:
    """Return a finder of objects that are named `<kind>_<name>`."""
    return lambda kind, name: objects.get(f"{kind}_{name}")


def test_references_are_expanded_and_unknown_ones_kept() -> None:
    assert expand("$(A)-$(B)-$$(A)", {"A": "1"}) == "1-$(B)-$(A)"


def test_variable_reads_fields_of_pod() -> None:
    container = {
        "env": [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "URL", "value": "http://$(IP):80"},
        ]
    }
    variables = container_environment(container, FIELDS, "10.128.0.1", finder())
    assert (variables["IP"], variables["APP"], variables["URL"]) == ("10.1.0.10", "web", "http://10.1.0.10:80")
    assert variables["KUBERNETES_SERVICE_HOST"] == "10.128.0.1"


def test_variable_reads_config_map_and_secret() -> None:
    find = finder(
        configMap_roots={"data": {"ca": "roots"}}, secret_key={"data": {"k": base64.b64encode(b"value").decode()}}
    )
    container = {
        "envFrom": [{"configMapRef": {"name": "roots"}, "prefix": "L_"}],
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}],
    }
    variables = container_environment(container, FIELDS, "10.128.0.1", find)
    assert (variables["L_ca"], variables["KEY"]) == ("roots", "value")


def test_missing_object_is_reported_unless_optional() -> None:
    reference: dict[str, Any] = {"name": "key", "key": "k"}
    container = {"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": reference}}]}
    with pytest.raises(MissingObjectError, match="secret key: does not exist yet"):
        container_environment(container, FIELDS, "10.128.0.1", finder())
    reference["optional"] = True
    assert "KEY" not in container_environment(container, FIELDS, "10.128.0.1", finder())


def test_projected_volume_has_files_of_all_sources() -> None:
    volume = {
        "name": "all",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "audience": "identity.l5d.io"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]
        },
    }
    find = finder(**{"configMap_kube-root-ca.crt": {"data": {"ca.crt": "CA", "other": "x"}}})
    assert project_files(volume, FIELDS, find) == {"ca.crt": b"CA", "ns": b"shop"}
    assert token_requests(volume) == [{"path": "token", "audience": "identity.l5d.io"}]


def test_missing_key_of_volume_is_reported() -> None:
    volume = {"name": "v", "secret": {"secretName": "tls", "items": [{"key": "tls.crt", "path": "crt"}]}}
    with pytest.raises(MissingObjectError, match=r"tls: has no key tls\.crt yet"):
        project_files(volume, FIELDS, finder(secret_tls={"data": {}}))


def test_empty_dir_is_left_to_the_pod() -> None:
    assert project_files({"name": "tmp", "emptyDir": {}}, FIELDS, finder()) is None


def test_changed_volume_is_replaced_at_once(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"1", "sub/b": b"2"})
    (tmp_path / "token").write_text("kept")
    before = (tmp_path / "..data").readlink()
    write_files(tmp_path, {"a": b"1", "sub/b": b"2"})
    assert (tmp_path / "..data").readlink() == before
    write_files(tmp_path, {"a": b"3"})
    assert (tmp_path / "a").read_bytes() == b"3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["..2", "..data", "a", "token"]


def test_mounts_of_outer_folders_come_first(tmp_path: Path) -> None:
    container = {
        "volumeMounts": [
            {"name": "inner", "mountPath": "/etc/app/keys/key", "subPath": "k"},
            {"name": "outer", "mountPath": "/etc/app"},
        ]
    }
    assert mounts(container, tmp_path) == [
        (f"{tmp_path}/outer", "/etc/app"),
        (f"{tmp_path}/inner/k", "/etc/app/keys/key"),
    ]
