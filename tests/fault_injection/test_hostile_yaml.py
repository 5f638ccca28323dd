"""YAML that somebody hands in, wherever the project reads it: an error that says what is wrong, in no time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hack.lab import lifecycle
from hack.make import __main__ as command
from hack.make import stack
from mesh import strict_yaml
from mesh.kube import kubeconfig
from review import redaction
from tests.helpers import kubeconfigs
from tests.helpers.hostile_yaml import REFUSED, laughs
from tests.helpers.resource_limits import bounded as bounded
from tests.helpers.stack_files import Environment, judged

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("bounded")]
everything = pytest.mark.parametrize(("content", "said"), REFUSED.values(), ids=REFUSED.keys())
SHORT = {name: each for name, each in REFUSED.items() if len(each[0]) < 500_000}
all_that_is_short = pytest.mark.parametrize(("content", "said"), SHORT.values(), ids=SHORT.keys())


@everything
def test_a_hostile_stack_file_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.evil.yaml"
    file.write_bytes(content)

    with pytest.raises(stack.StackFileError, match=f"^{re.escape(str(file))}: {said}.*; mend it$") as caught:
        stack.read("evil", file)

    assert str(caught.value).isprintable()


@everything
def test_a_hostile_kubeconfig_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(content)

    with pytest.raises(kubeconfig.KubeconfigError, match=f"^{re.escape(str(file))}: {said}"):
        kubeconfig.read_kubeconfigs([file])


@all_that_is_short
def test_a_hostile_kubeconfig_among_the_secrets_is_refused_and_not_shown(
    content: bytes, said: str, small: Environment
) -> None:
    text = content.decode("latin-1")

    message = judged({"clusters": {"west": {}}, "kubeconfigs": {"west": text}}, ["kubeconfigs"], small)

    if said != "not YAML":  # as texts some of them are YAML, of another kind than a kubeconfig
        assert re.search(rf"^kubeconfigs\.west: \[secret\]: {said}.*; give it what `kubectl", message, re.MULTILINE)
    assert "no such context" in message or "kubeconfigs.west: [secret]: " in message


@all_that_is_short
def test_what_is_secret_in_a_hostile_text_is_looked_for_in_no_time(content: bytes, said: str) -> None:
    text = content[:100_000].decode("latin-1")

    assert all(each.strip() in text or len(each) >= redaction.SHORTEST for each in redaction.secrets_of(text))


def test_make_up_tells_of_a_hostile_stack_file_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Pulumi.evil.yaml").write_text(laughs(9))
    monkeypatch.setattr(stack, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(lifecycle, "start", lambda *_, **__: pytest.fail("the lab was started"))

    assert command.main(["up", "evil"]) == 1

    told = capsys.readouterr().err
    assert re.fullmatch(r".*Pulumi\.evil\.yaml: line \d+: more than \d+ values, aliases written out; mend it\n", told)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_stack_file_may_begin_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.marked.yaml"
    mark = "\ufeff" if encoding.endswith("e") else ""
    file.write_bytes(f"{mark}config:\n  multicluster-mesh:clusters: {{west: }}\n".encode(encoding))

    assert [cluster.name for cluster in stack.read("marked", file).clusters] == ["west"]


def test_words_and_dates_of_a_stack_file_are_texts_as_they_are_for_pulumi(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.words.yaml"
    file.write_text("config:\n  multicluster-mesh:clusters: {on: {context: no}, 2026-11-21: {context: 2026-11-22}}\n")

    found = stack.read("words", file).clusters

    assert [(cluster.name, cluster.context) for cluster in found] == [("on", "no"), ("2026-11-21", "2026-11-22")]


def test_anchors_and_merge_keys_stand_for_what_they_name(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.anchors.yaml"
    file.write_text(
        "x: &none {gateway: {loadBalancer: false}}\n"
        "config:\n  multicluster-mesh:clusters:\n"
        "    west: {<<: *none, context: one}\n    east: {<<: [*none, {context: other}], context: two}\n"
    )

    found = stack.read("anchors", file).clusters

    assert [(cluster.context, cluster.load_balancer) for cluster in found] == [("one", False), ("two", False)]


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "---\n", "null\n", "config:\n", "text", "1", "[]", "config: [1]", "config: {}"]
)
def test_a_stack_file_without_clusters_is_told_of_that(text: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.empty.yaml"
    file.write_text(text)

    with pytest.raises(stack.StackFileError, match="clusters: null: at least one cluster is needed; write "):
        stack.read("empty", file)


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: 1\n---\n- a: 1\n  a: 2\n"])
def test_of_what_a_chart_renders_the_last_of_two_keys_counts_as_it_does_for_kubernetes(text: str) -> None:
    found = strict_yaml.load_all(text)[-1]

    assert (found if isinstance(found, dict) else found[0]) == {"a": 2}


def test_a_kubeconfig_with_many_users_is_read(tmp_path: Path) -> None:
    servers = {f"c{number}": {"server": f"https://c{number}.example.com"} for number in range(100)}
    (tmp_path / "many").write_text(kubeconfigs.text(servers))

    assert len(kubeconfig.read_kubeconfigs([tmp_path / "many"]).contexts) == 100
