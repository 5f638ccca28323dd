"""Texts with syntax of templates or YAML in charts that Helm renders: the objects stay the same."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from hack import toolchain
from hack.lab.programs import LAB_LINKERD_VERSION
from hack.toolchain.helm import find_program
from review.discovery import ApiResources
from review.helm_template import ReleaseSpec, Renderer
from review.objects import ObjectIdentity, identify
from tests.fault_injection.test_injection import HOSTILE_TEXTS, walk_texts
from tests.helpers.full_stack import LINKERD
from tests.helpers.mock_engine import Recorder, RunProgram, without_secret_marks

pytestmark = pytest.mark.lab(minutes=0.5)

API_RESOURCES = ApiResources(version="v1.31.0")
WEST_CONFIG = LINKERD["clusters"]["west"]


def build_config(text: str) -> dict[str, Any]:
    """Return a configuration with a text in each setting that passes texts to a chart."""
    charts = str(toolchain.installed(f"linkerd-{LAB_LINKERD_VERSION}") / "charts")
    gateway = {"loadBalancer": {"annotations": {"example.com/lb": text}}}
    return {
        "clusters": {"west": {"gateway": gateway}, "east": {"gateway": copy.deepcopy(gateway)}},
        "topology": "full-mesh",
        "linkerd": {
            "version": LAB_LINKERD_VERSION,
            "tolerations": WEST_CONFIG["linkerd"]["tolerations"],
            "nodeSelector": WEST_CONFIG["linkerd"]["nodeSelector"],
        },
        "extensions": {"viz": {"prometheusUrl": "http://prometheus.example.com/{{.Values.x}}$(id)'\"`id`"}},
        "charts": {"repository": charts},
    }


def render_releases(recorder: Recorder, renderer: Renderer) -> tuple[set[tuple[str, ObjectIdentity]], list[str]]:
    """Return all objects of a run's Helm releases, and all texts in them."""
    objects: set[tuple[str, ObjectIdentity]] = set()
    texts: list[str] = []
    for name, inputs in recorder.inputs_of(":Release").items():
        release_spec = ReleaseSpec.from_inputs(without_secret_marks(inputs), is_new=True)
        for body in renderer.render(release_spec, API_RESOURCES, None):
            objects.add((name, identify(body, release_spec.namespace, API_RESOURCES.is_namespaced)))
            texts += [text for _, text in walk_texts(body, ())]
    return objects, texts


def test_hostile_texts_do_not_change_objects_of_a_chart(run: RunProgram, tmp_path: Path) -> None:
    renderer = Renderer(find_program(), tmp_path, os.environ)
    baseline, _ = render_releases(run(build_config("harmless")), renderer)
    assert {identity.kind for _, identity in baseline} >= {"Deployment", "Service", "ClusterRole"}

    for text in HOSTILE_TEXTS:
        objects, texts = render_releases(run(build_config(text)), renderer)

        assert objects == baseline
        assert {value for value in texts if "evil" in value} == {text}
