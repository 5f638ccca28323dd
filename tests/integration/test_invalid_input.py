"""An invalid stack file, passed to Pulumi without `make up`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hack.lab.state_dir import StateDir
from mesh.config import PROJECT
from tests.helpers.stack_configs import with_lab_release
from tests.helpers.stack_under_test import StackUnderTest, list_all_objects

pytestmark = pytest.mark.lab("west")


def test_invalid_stack_file_reports_all_errors_before_changes(lab: StateDir, tmp_path: Path) -> None:
    config = {
        "clusters": {"west": {"contxt": "west"}, "east": {"context": "nowhere"}},
        "links": [{"source": "west", "target": "west"}],
    }
    lab_stack = StackUnderTest(lab, tmp_path, "wrong", {"clusters": {"west": {}}})
    # `StackUnderTest` validates the file as `make up` does, so the invalid file replaces a valid one.
    content = {"config": {f"{PROJECT}:{key}": value for key, value in with_lab_release(config).items()}}
    lab_stack.stack.file.write_text(yaml.safe_dump(content))
    objects = list_all_objects(lab_stack, "west")

    output = lab_stack.up_expecting_failure()

    assert "3 errors in the configuration; nothing was changed" in output
    for path in ("clusters.west.contxt", "clusters.east.context", "links[0]"):
        assert path in output
    assert "Traceback" not in output
    assert list_all_objects(lab_stack, "west") == objects
