"""Comparison of a link's objects with the output of the Linkerd CLI."""

from __future__ import annotations

import base64
import json
from typing import Any

import yaml

from tests.helpers.stack_under_test import StackUnderTest


def assert_matches_linkerd_cli(mesh: StackUnderTest, source: str, target: str, *flags: str) -> None:
    """Compare a link's objects with the output of `linkerd multicluster link`.

    Args:
        mesh: deployed mesh.
        source: source of the link.
        target: target of the link.
        flags: flags of the command.
    """
    namespaces = {cluster.name: cluster.namespace for cluster in mesh.stack.clusters}
    command = ("linkerd", "--context", mesh.contexts[target], "--linkerd-namespace", namespaces[target])
    output = mesh.run(*command, "multicluster", "link", "--cluster-name", target, *flags)
    compared_kinds = set()
    for expected in filter(None, yaml.safe_load_all(output.stdout)):
        kind, metadata = expected["kind"], expected["metadata"]
        compared_kinds.add(kind)
        namespace = metadata.get("namespace", "default")
        if kind == "Secret" and namespace == namespaces[target]:
            # The command assumes the same control plane namespace in both clusters.
            namespace = namespaces[source]
        live = json.loads(
            mesh.kubectl(mesh.contexts[source], "-n", namespace, "get", kind, metadata["name"], "-o", "json")
        )
        for field in ("type", "rules", "roleRef", "subjects"):
            assert live.get(field) == expected.get(field), f"{kind} {metadata['name']}"
        for part in ("labels", "annotations"):
            for name, value in (metadata.get(part) or {}).items():
                assert name == "linkerd.io/created-by" or live["metadata"][part][name] == value, (
                    kind,
                    metadata["name"],
                )
        if kind == "Link":
            # An empty selector of the program has no expressions instead of no keys.
            selector = live["spec"].get("selector")
            live["spec"]["selector"] = {} if selector == {"matchExpressions": []} else selector
            assert live["spec"] == expected["spec"]
        if kind == "Deployment":
            _assert_same_pod_template(live["spec"]["template"], expected["spec"]["template"])
            assert live["spec"]["selector"] == expected["spec"]["selector"]
        if kind == "Secret":
            assert _authority_and_server(live) == _authority_and_server(expected)
    assert {"Link", "Deployment", "Secret", "ClusterRole", "ServiceAccount"} <= compared_kinds


def _assert_same_pod_template(live: dict[str, Any], expected: dict[str, Any]) -> None:
    (live_container, expected_container) = (template["spec"]["containers"][0] for template in (live, expected))
    assert live_container["image"] == expected_container["image"]
    assert live_container["ports"][0]["containerPort"] == expected_container["ports"][0]["containerPort"]
    # Only the newer release has the log format flag, set to its default.
    assert live_container["args"] == [
        argument for argument in expected_container["args"] if not argument.startswith("-log-format")
    ]
    assert set(expected["metadata"]["labels"].items()) <= set(live["metadata"]["labels"].items())
    assert set(expected["metadata"]["annotations"].items()) <= set(live["metadata"]["annotations"].items())


def _authority_and_server(secret: dict[str, Any]) -> dict[str, str]:
    content = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
    cluster = content["clusters"][0]["cluster"]
    return {key: cluster[key] for key in ("certificate-authority-data", "server")}
