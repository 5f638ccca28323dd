"""Hostile YAML wherever the project reads YAML: a specific error within the resource limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hack.lab import lifecycle
from hack.make import __main__ as command
from hack.make import stack
from mesh import strict_yaml
from mesh.kube import kubeconfig
from mesh.kube.kubeconfig_syntax import KubeconfigError
from review import redaction
from tests.helpers import kubeconfigs
from tests.helpers.hostile_yaml import HOSTILE_YAML, billion_laughs
from tests.helpers.resource_limits import limited_resources as limited_resources
from tests.helpers.stack_files import Environment, error_message

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("limited_resources")]
for_each_text = pytest.mark.parametrize(("content", "error"), HOSTILE_YAML.values(), ids=HOSTILE_YAML.keys())
SHORT_TEXTS = {name: each for name, each in HOSTILE_YAML.items() if len(each[0]) < 500_000}
for_each_short_text = pytest.mark.parametrize(("content", "error"), SHORT_TEXTS.values(), ids=SHORT_TEXTS.keys())


@for_each_text
def test_hostile_stack_file_is_refused(content: bytes, error: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.evil.yaml"
    file.write_bytes(content)
    remedy = "make it a readable file" if error.startswith("larger than") else "correct the file"

    with pytest.raises(stack.StackFileError, match=f"^{re.escape(str(file))}: {error}.*; {remedy}$") as raised:
        stack.read_stack("evil", file)

    assert str(raised.value).isprintable()


@for_each_text
def test_hostile_kubeconfig_is_refused(content: bytes, error: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(content)

    with pytest.raises(KubeconfigError, match=f"^{re.escape(str(file))}: {error}"):
        kubeconfig.read_kubeconfigs([file])


@for_each_short_text
def test_hostile_secret_kubeconfig_is_refused_and_not_shown(
    content: bytes, error: str, small_environment: Environment
) -> None:
    text = content.decode("latin-1")

    message = error_message(
        {"clusters": {"west": {}}, "kubeconfigs": {"west": text}}, ["kubeconfigs"], small_environment
    )

    if error != "not YAML":  # decoded as Latin-1, some of them are valid YAML, but no kubeconfig
        assert re.search(
            rf"^kubeconfigs\.west: \[secret\]: {error}.*; store the output of `kubectl", message, re.MULTILINE
        )
    assert "no such context" in message or "kubeconfigs.west: [secret]: " in message


@for_each_short_text
def test_secrets_of_hostile_text_are_found_within_limits(content: bytes, error: str) -> None:
    text = content[:100_000].decode("latin-1")

    assert all(
        secret.strip() in text or len(secret) >= redaction.MIN_SECRET_LENGTH for secret in redaction.secret_forms(text)
    )


def test_make_up_reports_hostile_stack_file_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Pulumi.evil.yaml").write_text(billion_laughs(9))
    monkeypatch.setattr(stack, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(lifecycle, "start", lambda *_, **__: pytest.fail("the lab was started"))

    assert command.main(["up", "evil"]) == 1

    output = capsys.readouterr().err
    assert re.fullmatch(
        r".*Pulumi\.evil\.yaml: line \d+: more than \d+ values, with aliases expanded; correct the file\n", output
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_stack_file_can_begin_with_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.marked.yaml"
    byte_order_mark = "\ufeff" if encoding.endswith("e") else ""
    file.write_bytes(f"{byte_order_mark}config:\n  multicluster-mesh:clusters: {{west: }}\n".encode(encoding))

    assert [cluster.name for cluster in stack.read_stack("marked", file).clusters] == ["west"]


def test_words_and_dates_of_stack_file_are_texts(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.words.yaml"
    file.write_text("config:\n  multicluster-mesh:clusters: {on: {context: no}, 2026-11-21: {context: 2026-11-22}}\n")

    clusters = stack.read_stack("words", file).clusters

    assert [(cluster.name, cluster.context) for cluster in clusters] == [("on", "no"), ("2026-11-21", "2026-11-22")]


def test_anchors_and_merge_keys_are_resolved(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.anchors.yaml"
    file.write_text(
        "x: &none {gateway: {loadBalancer: false}}\n"
        "config:\n  multicluster-mesh:clusters:\n"
        "    west: {<<: *none, context: one}\n    east: {<<: [*none, {context: other}], context: two}\n"
    )

    clusters = stack.read_stack("anchors", file).clusters

    assert [(cluster.context, cluster.has_load_balancer) for cluster in clusters] == [("one", False), ("two", False)]


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "---\n", "null\n", "config:\n", "text", "1", "[]", "config: [1]", "config: {}"]
)
def test_stack_file_without_clusters_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.empty.yaml"
    file.write_text(text)

    with pytest.raises(stack.StackFileError, match="clusters: null: at least one cluster is required; write "):
        stack.read_stack("empty", file)


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: 1\n---\n- a: 1\n  a: 2\n"])
def test_last_duplicate_key_of_rendered_chart_wins(text: str) -> None:
    document = strict_yaml.load_all(text)[-1]

    assert (document if isinstance(document, dict) else document[0]) == {"a": 2}


def test_kubeconfig_with_many_users_is_accepted(tmp_path: Path) -> None:
    servers = {f"c{number}": {"server": f"https://c{number}.example.com"} for number in range(100)}
    (tmp_path / "many").write_text(kubeconfigs.build_kubeconfig(servers))

    assert len(kubeconfig.read_kubeconfigs([tmp_path / "many"]).contexts) == 100
