"""Texts that are more than texts to a template or to YAML, in charts that Helm renders: the same objects as ever."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from hack import toolchain
from hack.toolchain.helm import program
from mesh.linkerd_releases import DEFAULT_LINKERD_VERSION
from review.discovery import ApiResources
from review.helm_template import ReleaseSpec, Renderer
from review.objects import ObjectIdentity, identify
from tests.fault_injection.test_injection import HOSTILE, leaves
from tests.helpers.full_stack import LINKERD
from tests.helpers.mock_engine import Recorder, Run, plain

pytestmark = pytest.mark.lab(minutes=0.5)

NOWHERE = ApiResources(version="v1.31.0")
WEST = LINKERD["clusters"]["west"]


def config(text: str) -> dict[str, Any]:
    """A stack file with that text wherever a text of one's own gets into a chart."""
    charts = str(toolchain.installed(f"linkerd-{DEFAULT_LINKERD_VERSION}") / "charts")
    gateway = {"loadBalancer": {"annotations": {"example.com/lb": text}}}
    return {
        "clusters": {"west": {"gateway": gateway}, "east": {"gateway": copy.deepcopy(gateway)}},
        "topology": "full-mesh",
        "linkerd": {
            "version": DEFAULT_LINKERD_VERSION,
            "tolerations": WEST["linkerd"]["tolerations"],
            "nodeSelector": WEST["linkerd"]["nodeSelector"],
        },
        "extensions": {"viz": {"prometheusUrl": "http://prometheus.example.com/{{.Values.x}}$(id)'\"`id`"}},
        "charts": {"repository": charts},
    }


def rendered(found: Recorder, renderer: Renderer) -> tuple[set[tuple[str, ObjectIdentity]], list[str]]:
    """All objects of a run's releases, and all texts in them."""
    objects: set[tuple[str, ObjectIdentity]] = set()
    texts: list[str] = []
    for name, inputs in found.of(":Release").items():
        wanted = ReleaseSpec.of(plain(inputs), first=True)
        for body in renderer.render(wanted, NOWHERE, None):
            objects.add((name, identify(body, wanted.namespace, NOWHERE.namespaced)))
            texts += [text for _, text in leaves(body, ())]
    return objects, texts


def test_no_text_makes_other_objects_of_a_chart(run: Run, tmp_path: Path) -> None:
    renderer = Renderer(program(), tmp_path, os.environ)
    harmless, _ = rendered(run(config("harmless")), renderer)
    assert {identity.kind for _, identity in harmless} >= {"Deployment", "Service", "ClusterRole"}

    for text in HOSTILE:
        objects, texts = rendered(run(config(text)), renderer)

        assert objects == harmless
        assert {each for each in texts if "evil" in each} == {text}
