"""Frontend of podinfo: its containers, its name server, and its load generators."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.workloads import frontend
from components.workloads.frontend import load_generator
from tests.helpers.mock_engine import RunProgram


@pytest.mark.parametrize(
    ("lines", "resolver"),
    [
        ("search test.svc\nnameserver 10.96.0.10\nnameserver 10.96.0.11\n", "resolver 10.96.0.10;"),
        ("nameserver fd00::a\noptions ndots:5\n", "resolver [fd00::a];"),
    ],
    ids=["ipv4", "ipv6"],
)
def test_nginx_asks_name_server_of_pod(tmp_path: Path, lines: str, resolver: str) -> None:
    (tmp_path / "resolv.conf").write_text(lines)
    (tmp_path / "nginx").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "nginx").chmod(0o755)
    script = frontend._START_SCRIPT.replace("/etc/", f"{tmp_path}/").replace("/tmp/resolver", f"{tmp_path}/resolver")

    output = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert output == "-g\ndaemon off;\n"
    assert (tmp_path / "resolver.conf").read_text().strip() == resolver


def test_load_generator_asks_every_service(tmp_path: Path) -> None:
    (tmp_path / "slow_cooker").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>{tmp_path}/requests\n')
    (tmp_path / "slow_cooker").chmod(0o755)
    container = load_generator("external", "image:1", ["podinfo-east", "podinfo-north"], 9898)
    variables = {each["name"]: each["value"] for each in container["env"]}

    subprocess.run(
        [*container["command"], *container["args"]], env={"PATH": f"{tmp_path}:/usr/bin:/bin", **variables}, check=True
    )

    assert sorted((tmp_path / "requests").read_text().splitlines()) == [
        f"-qps 1 -concurrency 1 http://podinfo-{cluster}:9898" for cluster in ("east", "north")
    ]
    assert not re.search(r"\$\(\w+\)", f"{container['args']} {frontend._START_SCRIPT}"), "Kubernetes would expand it"


@pytest.mark.parametrize(
    ("links", "podinfo_settings", "containers"),
    [
        ([{"source": "west", "target": "east"}], {"exported": []}, ["nginx", "internal"]),
        ([{"source": "east", "target": "west"}], {"exported": ["east"]}, ["nginx", "internal"]),
        ([{"source": "west", "target": "east"}], {"exported": ["east"]}, ["nginx", "internal", "external"]),
    ],
    ids=["nothing-exported", "other-direction", "mirror"],
)
def test_external_load_needs_mirror(
    run: RunProgram, links: list[dict[str, str]], podinfo_settings: dict[str, Any], containers: list[str]
) -> None:
    workload = {"podinfo": {**podinfo_settings, "frontend": ["west"], "images": {"frontend": "nginx:of-mine"}}}
    recorder = run({"clusters": {"west": {}, "east": {}}, "links": links, "workloads": [workload]})

    pod = recorder.inputs_of("Deployment")["west-test-podinfo-frontend"]["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["containers"]] == containers
    assert pod["containers"][0]["image"] == "nginx:of-mine", "the name that stack files used before"
    assert ("command" in pod["containers"][0]) == ("external" in containers), "only a mirror needs the resolver"
