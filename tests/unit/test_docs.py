"""Stack files, links and commands in the documentation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from hack.make import stack
from mesh.config import PROJECT, docs_generator
from mesh.paths import PROJECT_ROOT
from mesh.preflight import permissions
from mesh.preflight.cilium_identity import CONFIG_MAP_PATH
from mesh.preflight.cilium_upgrade_path import DAEMON_SET_PATH
from mesh.preflight.declared_target import DeclaredTarget, NamespaceTarget, ServiceTarget
from mesh.preflight.target import CiliumTarget, GatewayApiTarget
from mesh.proxied_workloads import WORKLOAD_KINDS
from tests.helpers.fake_api_server import ANCHOR, OWNER, run_checks_against, server_with_foreign_linkerd
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


def documented_rules(role: str) -> list[dict[str, list[str]]]:
    """Return the rules of a documented ClusterRole."""
    pages = [(PROJECT_ROOT / page).read_text() for page in ("docs/preflight.md", "docs/review.md")]
    documents = [yaml.safe_load(block) for page in pages for block in blocks(page)]
    (rules,) = [
        document["rules"]
        for document in documents
        if document.get("kind") == "ClusterRole" and document["metadata"]["name"] == role
    ]
    return list(rules)


def is_allowed(role: str, verb: str, group: str, resource: str) -> bool:
    """Return whether a documented ClusterRole allows a request."""
    return any(
        verb in rule["verbs"] and group in rule["apiGroups"] and {resource, "*"} & set(rule["resources"])
        for rule in documented_rules(role)
    )


def test_documented_role_has_all_required_permissions() -> None:
    required = permissions._REQUIRED_PERMISSIONS

    assert [right for right in required if not is_allowed("multicluster-mesh", *right)] == []
    reading = [verb for rule in documented_rules("multicluster-mesh-preview") for verb in rule["verbs"]]
    assert set(reading) <= {"get", "list"}


@pytest.mark.parametrize("plural", WORKLOAD_KINDS.values())
@pytest.mark.parametrize("verb", ["get", "list", "watch", "patch"])
def test_documented_role_allows_restart(plural: str, verb: str) -> None:
    assert is_allowed("multicluster-mesh", verb, "apps", plural)


def required_permission(path: str) -> tuple[str, str, str] | None:
    """Return verb, group and resource of a GET request; None for API discovery, which every user may read."""
    group_path, _, rest = path.removeprefix("/apis/").removeprefix("/api/").partition("/")
    group, _, rest = (group_path, *rest.partition("/")[1:]) if path.startswith("/apis/") else ("", "", rest)
    parts = rest.split("/") if rest else []
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    return ("get" if len(parts) == 2 else "list", group, parts[0]) if parts else None


@pytest.mark.parametrize("role", ["multicluster-mesh", "multicluster-mesh-preview", "multicluster-mesh-review"])
def test_documented_role_allows_every_read_of_preflight(role: str) -> None:
    api_server = server_with_foreign_linkerd(OWNER)
    api_server.add_namespace("test", OWNER)
    api_server.objects["/api/v1/namespaces/test"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api_server.objects |= {
        CONFIG_MAP_PATH: {"data": {"cluster-id": "1", "cluster-name": "west"}},
        DAEMON_SET_PATH: {
            "spec": {"template": {"spec": {"containers": [{"name": "cilium-agent", "image": "cilium:v1.17.4"}]}}}
        },
    }
    service = ServiceTarget(namespace="shop", name="cart", has_routes=True, has_policy=True)
    api_server.objects["/api/v1/namespaces/shop/services/cart"] = {"spec": {"selector": {"app": "cart"}}}
    cilium = CiliumTarget(id=1, version="1.17.4", max_connected_clusters=255)
    gateway_api = GatewayApiTarget(installed_by="others", required_routes=(), oldest="1.2.1", newest="1.5.1")

    run_checks_against(
        api_server,
        trust_anchor=ANCHOR,
        needs_cert_manager=True,
        gateway_api=gateway_api,
        cilium=cilium,
        trust_domain="cluster.local",
        declared=DeclaredTarget(services=(service,), namespaces=(NamespaceTarget(name="shop"),)),
    )

    reads = {request.removeprefix("GET ") for request in api_server.requests if request.startswith("GET /api")}
    required = {permission for path in reads if (permission := required_permission(path)) is not None}
    assert {CONFIG_MAP_PATH, DAEMON_SET_PATH} <= reads
    assert ("list", "apiregistration.k8s.io", "apiservices") in required
    assert ("get", "", "namespaces") in required
    assert {("list", "policy.linkerd.io", "servers"), ("list", "", "pods")} <= required
    assert {each for each in required if not is_allowed(role, *each)} == set()


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


def test_kind_clusters_of_east_west_have_worker(tmp_path: Path) -> None:
    page = (PROJECT_ROOT / "docs/east-west.md").read_text()
    (script,) = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "kind create" in block]
    for program in ("kind", "kubectl"):
        # kind receives the cluster on its standard input.
        content = f'#!/bin/sh\n[ {program} = kubectl ] || cat >"{tmp_path}/$4.yaml"\n'
        (tmp_path / program).write_text(content)
        (tmp_path / program).chmod(0o755)

    subprocess.run(["sh", "-e", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)

    clusters = {name: yaml.safe_load((tmp_path / f"{name}.yaml").read_text()) for name in ("east", "west")}
    assert [[node["role"] for node in each["nodes"]] for each in clusters.values()] == [["control-plane", "worker"]] * 2
    networks = [each["networking"][key] for each in clusters.values() for key in ("podSubnet", "serviceSubnet")]
    assert len(set(networks)) == 4
