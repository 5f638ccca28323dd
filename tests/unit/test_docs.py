"""Stack files, links and commands in the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.make import stack
from mesh.config import PROJECT, docs_generator
from mesh.paths import PROJECT_ROOT
from mesh.preflight import permissions
from mesh.preflight.cilium_identity import CONFIG_MAP_PATH
from mesh.preflight.cilium_upgrade_path import DAEMON_SET_PATH
from mesh.preflight.target import CiliumTarget, GatewayApiTarget
from tests.helpers.fake_api_server import healthy_server, run_checks_against
from tests.helpers.project_files import list_project_files

PAGES = sorted([*PROJECT_ROOT.glob("*.md"), *PROJECT_ROOT.glob("docs/*.md")])


def blocks(page: str) -> list[str]:
    """Return all YAML blocks of a page."""
    return re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


# Blocks with a setting of this project are stack files, or parts of one.
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page.read_text()))
    if f"{PROJECT}:" in block
]


def test_settings_page_is_up_to_date() -> None:
    assert (PROJECT_ROOT / docs_generator.SETTINGS_PAGE).read_text() == docs_generator.render_settings_page(), (
        "run `make schema`"
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_documented_stack_file_is_valid(block: str, tmp_path: Path) -> None:
    content = yaml.safe_load(block)
    config = content.get("config", content)
    # A page may show a part of a stack file without its clusters.
    config.setdefault(f"{PROJECT}:clusters", {"west": {}, "east": {}})
    file = tmp_path / "Pulumi.shown.yaml"
    file.write_text(yaml.safe_dump({"config": config}))

    stack.read_stack("shown", file)


def test_pages_contain_stack_files() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("name", ["clustermesh", "east-west", "emojivoto", "kpaas", "openstack-nks"])
def test_shipped_stack_file_equals_documented_one(name: str) -> None:
    shipped = yaml.safe_load((PROJECT_ROOT / f"Pulumi.{name}.yaml").read_text())

    page = (PROJECT_ROOT / "docs" / f"{name}.md").read_text()

    assert shipped["config"] in [yaml.safe_load(block)["config"] for block in blocks(page) if "config:" in block]


def read_role(name: str) -> Any:
    """Return a documented ClusterRole."""
    documents = [yaml.safe_load(block) for block in blocks((PROJECT_ROOT / "docs/preflight.md").read_text())]
    [role] = [each for each in documents if each.get("kind") == "ClusterRole" and each["metadata"]["name"] == name]
    return role


def test_documented_role_has_all_required_permissions() -> None:
    rules = read_role("multicluster-mesh")["rules"]

    def allowed(verb: str, group: str, resource: str) -> bool:
        return any(
            verb in rule["verbs"] and group in rule["apiGroups"] and {resource, "*"} & set(rule["resources"])
            for rule in rules
        )

    assert [right for right in permissions._REQUIRED_PERMISSIONS if not allowed(*right)] == []
    reading = [verb for rule in read_role("multicluster-mesh-preview")["rules"] for verb in rule["verbs"]]
    assert set(reading) <= {"get", "list"}


def test_documented_preview_role_allows_all_reads_of_preflight() -> None:
    cluster = healthy_server()
    cluster.objects |= {
        CONFIG_MAP_PATH: {"data": {"cluster-id": "1", "cluster-name": "west"}},
        DAEMON_SET_PATH: {
            "spec": {"template": {"spec": {"containers": [{"name": "cilium-agent", "image": "cilium:v1.17.4"}]}}}
        },
    }
    gateway_api = GatewayApiTarget(installed_by="manifest", required_routes=(), oldest="v1.1.0", newest="v1.5.0")
    cilium = CiliumTarget(id=1, version="1.17.4", max_connected_clusters=255)

    findings = run_checks_against(cluster, gateway_api=gateway_api, cilium=cilium, trust_domain="cluster.local")

    assert findings == []
    rules = read_role("multicluster-mesh-preview")["rules"]
    paths = [request.removeprefix("GET ") for request in cluster.requests if request.startswith("GET /api")]
    assert {CONFIG_MAP_PATH, DAEMON_SET_PATH} <= set(paths)
    for path in paths:
        group, resource, is_list = parse_resource_path(path)
        verb = "list" if is_list else "get"
        assert any(
            verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"] for rule in rules
        ), path


def parse_resource_path(path: str) -> tuple[str, str, bool]:
    """Return the group and the resource of an API path, and whether the path is that of a list."""
    match = re.fullmatch(
        r"/(?:api|apis/(?P<group>[^/]+))/v\w+/(?:namespaces/[^/]+/(?=.))?(?P<resource>[a-z]+)(?P<name>/.+)?", path
    )
    assert match is not None, path
    return match["group"] or "", match["resource"], match["name"] is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_page_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        address, _, heading = target.partition("#")
        if address.startswith("https://"):
            continue
        file = (page.parent / address).resolve() if address else page
        assert file.exists(), f"{page.name}: {target}"
        assert not heading or heading in anchors(file), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_make_targets_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z][a-z-]*):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))

    documented = set(re.findall(r"(?:^|`)make (?:-s )?([a-z][a-z-]*)", page.read_text(), re.MULTILINE))

    assert documented <= known


def test_files_contain_no_pulumi_new_placeholders() -> None:
    # Composed here, so that this file does not contain the placeholders.
    placeholders = ["${" + name + "}" for name in ("PROJECT", "DESCRIPTION")]

    for name in list_project_files():
        file = PROJECT_ROOT / name
        content = file.read_bytes() if file.is_file() else b""
        assert not any(word.encode() in content or word in name for word in placeholders), name


def anchors(page: Path) -> set[str]:
    """Return the anchors that Git hosts generate from the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
