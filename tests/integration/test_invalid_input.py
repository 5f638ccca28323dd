"""A wrong stack file, given to Pulumi as a person would."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hack.lab.state_dir import StateDir
from tests.helpers.lab_stack import PROJECT, LabStack, list_all_objects

pytestmark = pytest.mark.lab("west")


def test_invalid_stack_file_reports_all_errors_before_changes(lab: StateDir, tmp_path: Path) -> None:
    wrong = {
        "clusters": {"west": {"contxt": "west"}, "east": {"context": "nowhere"}},
        "links": [{"source": "west", "target": "west"}],
    }
    deployment = LabStack(lab, tmp_path, "wrong", {"clusters": {"west": {}}})
    # Past what `make up` says of it already.
    content = {"config": {f"{PROJECT}:{key}": value for key, value in wrong.items()}}
    deployment.stack.file.write_text(yaml.safe_dump(content))
    there = list_all_objects(deployment, "west")

    printed = deployment.up_expecting_failure()

    assert "3 faults in the configuration; nothing was touched" in printed
    for path in ("clusters.west.contxt", "clusters.east.context", "links[0]"):
        assert path in printed
    assert "Traceback" not in printed
    assert list_all_objects(deployment, "west") == there
