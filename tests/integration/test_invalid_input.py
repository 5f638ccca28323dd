"""A wrong stack file, given to Pulumi as a person would."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hack.lab.state_dir import StateDir
from tests.helpers.lab_stack import PROJECT, Deployment, everything

pytestmark = pytest.mark.lab("west")


def test_a_wrong_stack_file_is_told_whole_before_anything_is_touched(lab: StateDir, tmp_path: Path) -> None:
    wrong = {
        "clusters": {"west": {"contxt": "west"}, "east": {"context": "nowhere"}},
        "links": [{"source": "west", "target": "west"}],
    }
    deployment = Deployment(lab, tmp_path, "wrong", {"clusters": {"west": {}}})
    # Past what `make up` says of it already.
    content = {"config": {f"{PROJECT}:{key}": value for key, value in wrong.items()}}
    deployment.stack.file.write_text(yaml.safe_dump(content))
    there = everything(deployment, "west")

    printed = deployment.failing_up()

    assert "3 faults in the configuration; nothing was touched" in printed
    for path in ("clusters.west.contxt", "clusters.east.context", "links[0]"):
        assert path in printed
    assert "Traceback" not in printed
    assert everything(deployment, "west") == there
